"""Callers that are slow, leave, or speak no HTTP: each is answered or left in bounded time, and costs little."""

import io
import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.neighbours import Neighbours
from tests.conftest import _wait_until
from tests.service.conftest import Service, running_service

PATIENCE = {
    "header_seconds": 1.0,
    "body_seconds": 1.0,
    "answer_seconds": 1.0,
    "body_bytes_per_second": 20_000,
    "connections": 20,
    "address_connections": 15,
}


ASKED = 6


@pytest.fixture(scope="module")
def hurried(service_root: Path) -> Iterator[Service]:
    with running_service(service_root / "hurried", "redis://127.0.0.1:1", **PATIENCE) as service:
        yield service


@pytest.fixture
def line(hurried: Service) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", hurried.port), timeout=15) as connection:
        yield connection


def answer(line: socket.socket) -> tuple[int, dict[str, str]]:
    """Read to the end of the connection; return the status and the problem document."""
    received = b""
    while chunk := line.recv(65536):
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def drip(line: socket.socket, text: bytes, seconds: float) -> float:
    """Send a byte at a time until the other side has had enough; return how long that took."""
    began = time.monotonic()
    for byte in text:
        try:
            line.sendall(bytes([byte]))
        except OSError:
            break
        if time.monotonic() - began > seconds:
            break
        line.settimeout(0.05)
        try:
            if line.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
        finally:
            line.settimeout(15)
    return time.monotonic() - began


def test_a_connection_that_says_nothing(line: socket.socket) -> None:
    began = time.monotonic()
    status, problem = answer(line)
    assert (status, problem["type"]) == (408, "urn:newtond:error:request-timeout")
    assert 0.8 < time.monotonic() - began < 5


def test_a_head_that_drips(line: socket.socket) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000
    assert 0.8 < drip(line, head, 12) < 6
    assert answer(line)[0] == 408


def test_a_second_head_that_drips(line: socket.socket) -> None:
    line.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    first = b""
    while not first.endswith(b"}"):
        first += line.recv(65536)
    assert first.startswith(b"HTTP/1.1 200")
    assert 0.8 < drip(line, b"GET /livez HTTP/1.1\r\nX: " + b"a" * 10_000, 12) < 6
    assert answer(line)[0] == 408


@pytest.mark.parametrize("path", ["/arrays", "/solve"])
def test_a_body_that_drips(line: socket.socket, hurried: Service, path: str) -> None:
    line.sendall(
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 100000\r\n\r\n".encode()
    )
    if path == "/arrays":  # a submit is refused before its body is read: this service has no Redis
        assert 0.8 < drip(line, b"1" * 10_000, 12) < 6
        status, problem = answer(line)
        assert (status, problem["type"]) == (408, "urn:newtond:error:request-timeout")
    else:
        drip(line, b"1" * 10_000, 12)
        assert answer(line)[0] == 503
    _wait_until(lambda: not any((hurried.data_dir / "incoming").iterdir()), 5)


def test_who_sends_on_can_read_why_it_was_refused(line: socket.socket) -> None:
    line.sendall(
        b"POST /arrays HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 10000000\r\n\r\n[1,"
    )
    assert line.recv(1, socket.MSG_PEEK)
    for _ in range(5):
        line.sendall(b"1," * 10_000)
        time.sleep(0.05)
    assert answer(line)[0] == 408


def test_a_large_body_at_speed_is_waited_for(hurried: Service) -> None:
    def body() -> Iterator[bytes]:
        yield b"[" + b"1," * 500_000
        for _ in range(4):
            time.sleep(0.3)
            yield b"1," * 400_000
        yield b"1]"

    with hurried.client() as client:
        headers = {"Content-Type": "application/json"}
        sent = client.post("/arrays", content=body(), headers=headers)
        assert sent.status_code in (201, 413), sent.text


@pytest.mark.parametrize("piece", [1 << 12, 1 << 16, 300_001, 1 << 22])
def test_a_body_is_what_was_sent_in_whatever_pieces_and_the_next_request_follows(
    line: socket.socket, hurried: Service, piece: int
) -> None:
    file = io.BytesIO()
    np.save(file, array := np.random.default_rng(piece).standard_normal(200_000))
    body, head = (
        file.getvalue(),
        "POST /arrays?format=npy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n",
    )
    expecting = head.format(len(body)) + "Expect: 100-continue\r\n\r\n"
    following = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    line.sendall(expecting.encode())
    assert line.recv(100).startswith(b"HTTP/1.1 100")
    for start in range(0, len(body), piece):
        more = start + piece < len(body)
        line.sendall(body[start : start + piece] + (b"" if more else following))
    received = b""
    while chunk := line.recv(65536):
        received += chunk
    first, second = received.split(b"HTTP/1.1 ")[1:]
    assert (first[:3], second[:3]) == (b"201", b"200")
    stored = json.loads(first.partition(b"\r\n\r\n")[2])["id"].removeprefix("sha256:")
    assert np.array_equal(np.load(hurried.data_dir / "arrays" / stored / "data.npy"), array)


def test_a_body_that_ends_too_early_is_not_stored(line: socket.socket, hurried: Service) -> None:
    before = sorted((hurried.data_dir / "arrays").iterdir())
    line.sendall(
        b"POST /arrays?format=npy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n\r\n"
        + b"\0" * 800_000
    )
    line.shutdown(socket.SHUT_WR)
    assert line.recv(65536) == b""
    assert sorted((hurried.data_dir / "arrays").iterdir()) == before
    _wait_until(lambda: not any((hurried.data_dir / "incoming").iterdir()), 5)


def test_what_is_no_http(line: socket.socket) -> None:
    line.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    assert answer(line)[0] == 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /arrays HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 400_000 + b"\r\n\r\n",
    ],
)
def test_a_head_that_means_two_things(line: socket.socket, head: bytes) -> None:
    line.sendall(head)
    assert answer(line)[0] in (400, 501)


def connect(service: Service, count: int, address: str = "127.0.0.1") -> list[socket.socket]:
    """Open connections from an address of this machine."""
    target, source = ("127.0.0.1", service.port), (address, 0)
    return [socket.create_connection(target, timeout=15, source_address=source) for _ in range(count)]


def get_from(service: Service, address: str) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
        return client.get(f"{service.url}/livez")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
def test_connections_have_a_bound_and_come_free(hurried: Service) -> None:
    lines = connect(hurried, 15) + connect(hurried, 15, "127.0.0.2")
    statuses = [answer(line)[0] for line in lines]
    assert statuses.count(503) >= 10
    assert statuses.count(408) + statuses.count(503) == 30
    for each in lines:
        each.close()
    assert httpx.get(f"{hurried.url}/livez").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
def test_one_address_cannot_take_all_connections(hurried: Service) -> None:
    lines = connect(hurried, 18)
    assert get_from(hurried, "127.0.0.2").status_code == 200
    answers = [answer(line) for line in lines]
    assert {status for status, _ in answers} == {408, 429}
    refused = [problem for status, problem in answers if status == 429]
    assert len(refused) == 3
    assert refused[0]["type"] == "urn:newtond:error:quota-exceeded"
    assert refused[0]["source"] == {"limit": 15}
    for each in lines:
        each.close()
    _wait_until(lambda: httpx.get(f"{hurried.url}/livez").status_code == 200, 5)


def ask_for_much(service: Service) -> tuple[socket.socket, int]:
    """Ask for more than the line holds, and return how many bytes are to come after the first head."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(15)
    line.connect(("127.0.0.1", service.port))
    line.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * ASKED)
    head = b""
    while b"\r\n\r\n" not in head:
        head += line.recv(1)
    body = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
    return line, ASKED * (len(head) + body) - len(head)


def read(line: socket.socket, pause: float = 0.0, piece: int = 4096, seconds: float = 60.0) -> int:
    """Read a piece at a time, to the end or for so long, and return how many bytes came."""
    deadline, taken = time.monotonic() + seconds, 0
    while time.monotonic() < deadline and (chunk := line.recv(piece)):
        taken += len(chunk)
        time.sleep(pause)
    return taken


def test_who_reads_nothing_is_cut_off(hurried: Service) -> None:
    line, _ = ask_for_much(hurried)
    with line:
        time.sleep(4)
        with pytest.raises(ConnectionResetError):
            read(line)


def test_who_reads_hardly_anything_is_cut_off(hurried: Service) -> None:
    line, _ = ask_for_much(hurried)
    with line:
        assert read(line, pause=0.3, piece=20, seconds=5) > 0
        with pytest.raises(ConnectionResetError):
            read(line)


def test_who_reads_steadily_gets_it_all(hurried: Service) -> None:
    line, size = ask_for_much(hurried)
    with line:
        began = time.monotonic()
        assert read(line, pause=0.01) == size
        assert time.monotonic() - began > 1.2


def test_an_address_of_ipv6_is_its_network() -> None:
    held = Neighbours()
    assert [held.enter(host) for host in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] == [1, 2, 1]
    assert [held.enter(host) for host in ("::ffff:10.0.0.1", "10.0.0.1", "fe80::1%eth0")] == [1, 2, 1]
    held.leave("2001:db8::3")
    assert held.enter("2001:db8::1") == 2
