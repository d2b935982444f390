"""A tenant's bounds, each reached for real: 429 with Retry-After, and never another tenant's loss."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from newtond.store import DataDirectory
from newtond.store.credentials import Credentials
from newtond.store.queue import JobQueue
from tests.conftest import SLOW, WorkerProcesses, _wait_until, submit_to
from tests.service.conftest import Service, example, npy, refusal, running_service, running_valkey, submit

NPY = {"Content-Type": "application/x-npy"}
BOUNDS = {
    "tenant_queued_jobs": 3,
    "tenant_running_jobs": 1,
    "tenant_stored_bytes": 20_000,
    "tenant_requests_per_second": 8,
    "tenant_streams": 2,
    "reconcile_seconds": 0.3,
}


@pytest.fixture(scope="module")
def bounded(service_root: Path) -> Iterator[Service]:
    with (
        running_valkey() as valkey,
        running_service(service_root / "bounded", valkey.url, **BOUNDS) as service,
    ):
        yield service


def enter(service: Service, tenant: str) -> httpx.Client:
    key, _ = Credentials(service.data_dir).create(tenant)
    return httpx.Client(base_url=service.url, timeout=30, headers={"Authorization": f"Bearer {key}"})


def throttled(answer: httpx.Response, slug: str) -> None:
    assert refusal(answer, 429)["type"].endswith(slug)
    assert int(answer.headers["retry-after"]) >= 1


def test_the_bounds_are_shown(bounded: Service) -> None:
    with enter(bounded, "shown") as client:
        shown = client.get("/limits").json()
        assert {name: shown[name] for name in BOUNDS if name in shown} == {
            name: value for name, value in BOUNDS.items() if name.startswith("tenant_")
        }


def test_queued_jobs(bounded: Service) -> None:
    with enter(bounded, "queue-a") as client, enter(bounded, "queue-b") as other:
        ids = [submit(client)["id"] for _ in range(3)]
        throttled(client.post("/solve", json=example()), "quota-exceeded")
        submit(other)
        client.post(f"/jobs/{ids[0]}/cancel")
        submit(client)


def test_queued_jobs_at_once(bounded: Service) -> None:
    """The bound holds however many submits race for the last place."""
    with enter(bounded, "race") as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.post("/solve", json=example()), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 5


def test_stored_bytes(bounded: Service) -> None:
    with enter(bounded, "bytes-a") as client, enter(bounded, "bytes-b") as other:
        generator = np.random.default_rng(3)
        first, second, small = (npy(generator.normal(size=size)) for size in (1500, 1500, 500))
        assert client.post("/arrays", content=first, headers=NPY).status_code == 201
        throttled(client.post("/arrays", content=second, headers=NPY), "quota-exceeded")
        assert client.post("/arrays", content=first, headers=NPY).status_code == 200
        assert client.post("/arrays", content=small, headers=NPY).status_code == 201
        assert other.post("/arrays", content=second, headers=NPY).status_code == 201
        full = client.post("/arrays", content=npy(generator.normal(size=600)), headers=NPY)
        throttled(full, "quota-exceeded")
        tenant = DataDirectory(bounded.data_dir).tenant("bytes-a")
        assert tenant.arrays.stored_bytes() == 16_000
        client.delete(f"/arrays/{tenant.arrays.ids()[0]}")
        assert tenant.arrays.stored_bytes() < 16_000


def test_request_rate(bounded: Service) -> None:
    with enter(bounded, "rate-a") as client, enter(bounded, "rate-b") as other:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: client.get("/jobs"), range(80)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 5 <= len(refused) <= 64
        for answer in refused:
            throttled(answer, "rate-limited")
        assert other.get("/jobs").status_code == 200
        _wait_until(lambda: client.get("/jobs").status_code == 200, 5, 0.2)


def test_event_streams(bounded: Service) -> None:
    events = {"Accept": "text/event-stream"}
    with enter(bounded, "streams") as client:
        path = f"/jobs/{submit(client)['id']}/trace"
        with client.stream("GET", path, headers=events) as first:
            assert first.status_code == 200
            with client.stream("GET", path, headers=events) as second:
                assert second.status_code == 200
                throttled(client.get(path, headers=events), "quota-exceeded")
                assert client.get(path).status_code == 200

        def opened() -> bool:
            with client.stream("GET", path, headers=events) as again:
                return again.status_code == 200

        _wait_until(opened, 10, 0.3)


def test_running_jobs_are_held_back_and_tenants_take_turns(data: DataDirectory) -> None:
    """Two workers, four solves of one tenant that may run one: the other tenant's, sent last, does not wait."""
    with running_valkey() as valkey:
        queue = JobQueue(valkey.url, heartbeat=0.5)
        busy = [submit_to(data, queue, tenant="busy", **SLOW) for _ in range(3)]
        late = submit_to(data, queue, tenant="late")
        with WorkerProcesses(valkey.url, data.path) as start:
            for _ in range(2):
                start(tenant_running_jobs=1)
            most = 0

            def done() -> bool:
                nonlocal most
                most = max(most, queue.running_in(["solve:busy"])[0])
                return data.tenant("late").jobs.is_finished(late)

            _wait_until(done, 90)
            jobs = data.tenant("busy").jobs
            assert not jobs.is_finished(busy[2])
            _wait_until(lambda: done() and all(jobs.is_finished(job_id) for job_id in busy), 180, 0.05)
            assert most == 1
            assert all(jobs.attempts(job_id) == 1 for job_id in busy)
