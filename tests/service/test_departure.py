"""A service that is told to stop: it says so, serves on, shuts its door, lets work end, and is gone in time."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import Valkey, _wait_until
from tests.service.conftest import Service, npy, refusal, running_service, submit

EVENTS = {"Accept": "text/event-stream"}
DRAIN = 6.0
Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path, own_valkey: Valkey) -> Iterator[Callable[..., Service]]:
    """Start a service with such settings; it must end well."""
    running: list[Iterator[Service]] = []

    def started(**settings: float) -> Service:
        service = running_service(tmp_path, own_valkey.url, **settings)
        running.append(service)  # type: ignore[arg-type]
        return service.__enter__()

    yield started
    for service in running:
        service.__exit__(None, None, None)  # type: ignore[attr-defined]


def tell(service: Service) -> float:
    """Tell a service to stop, and return when."""
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    return time.monotonic()


def ended(service: Service, told: float) -> float:
    """Wait for the end, which must be a good one, and return how long it took."""
    assert service.process is not None
    assert service.process.wait(30) == 0
    return time.monotonic() - told


def shut(service: Service) -> bool:
    """Say whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", service.port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


@contextmanager
def followed(client: httpx.Client, job_id: str) -> Iterator[list[str]]:
    """Read a job's events on the side; the lines are all there after the block, which waits for a clean end."""
    lines: list[str] = []
    begun = threading.Event()

    def read() -> None:
        with client.stream("GET", f"/jobs/{job_id}/trace", headers=EVENTS) as stream:
            for line in stream.iter_lines():
                lines.append(line)
                begun.set()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert begun.wait(10)
        yield lines
        reading.result(30)


def test_it_says_that_it_drains_and_serves_on(start: Start) -> None:
    service = start(drain_seconds=DRAIN)
    with service.client() as client, service.client() as other:
        with followed(client, submit(client)["id"]) as lines:
            told = tell(service)
            _wait_until(lambda: other.get("/readyz").status_code == 503, DRAIN)
            problem = refusal(other.get("/readyz"), 503)
            assert problem["source"] == {"check": "draining"}
            assert other.get("/livez").status_code == 200
            submit(other)
            assert not shut(service)
            assert ": leaving" not in lines
        assert ": leaving" in lines
        assert "event: end" not in lines
    assert DRAIN <= ended(service, told) < DRAIN + 8


def test_who_waits_is_answered_with_what_there_is(start: Start) -> None:
    service = start(shutdown_seconds=60.0)
    with service.client() as client, ThreadPoolExecutor(2) as pool:
        job = f"/jobs/{submit(client)['id']}"
        tag = client.get(job).headers["etag"]
        polls = [
            pool.submit(client.get, job, headers={"Prefer": "wait=60"} | known)
            for known in ({}, {"If-None-Match": tag})
        ]
        time.sleep(0.5)
        assert not any(poll.done() for poll in polls)
        told = tell(service)
        assert [poll.result(30).status_code for poll in polls] == [200, 304]
        assert polls[0].result().json()["status"] == "queued"
    assert ended(service, told) < 40.0


def test_an_upload_under_way_is_taken(start: Start) -> None:
    service, content = start(shutdown_seconds=20.0), npy(range(1000))
    with socket.create_connection(("127.0.0.1", service.port), timeout=15) as line:
        head = "POST /arrays HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-npy\r\n"
        line.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:500])
        time.sleep(0.3)
        told = tell(service)
        _wait_until(lambda: shut(service), 5)
        line.sendall(content[500:])
        assert line.recv(65536).startswith(b"HTTP/1.1 201")
    assert ended(service, told) < 20.0


def test_an_upload_that_does_not_end_is_left(start: Start) -> None:
    service = start(shutdown_seconds=1.0)
    with socket.create_connection(("127.0.0.1", service.port), timeout=15) as line:
        line.sendall(b"POST /arrays HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n123")
        time.sleep(0.3)
        assert 0.9 < ended(service, tell(service)) < 8.0
    assert not any((service.data_dir / "incoming").iterdir())
