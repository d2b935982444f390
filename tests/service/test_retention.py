"""What expires, over real HTTP: 410 for a job whose time is over, and no accepted job without its arrays."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from newtond.store import DataDirectory
from tests.conftest import WorkerProcesses, _wait_until
from tests.service.conftest import Service, example, finish, npy, refusal, running_service, running_valkey

NPY = {"Content-Type": "application/x-npy"}
HOUR = 3600.0


@pytest.fixture(scope="module")
def forgetful(service_root: Path) -> Iterator[Service]:
    with (
        running_valkey() as valkey,
        running_service(
            service_root / "forgetful", valkey.url, retention_seconds=HOUR, collect_seconds=0.05
        ) as service,
        WorkerProcesses(valkey.url, service.data_dir) as start_worker,
    ):
        start_worker()
        yield service


@pytest.fixture
def client(forgetful: Service) -> Iterator[httpx.Client]:
    with forgetful.client() as client:
        yield client


def age(path: Path) -> None:
    stat = path.stat()
    os.utime(path, (stat.st_atime - 2 * HOUR, stat.st_mtime - 2 * HOUR))


def test_an_expired_job_and_its_result_are_gone(client: httpx.Client, forgetful: Service) -> None:
    job_id = client.post("/solve", json=example()).json()["id"]
    job = finish(client, job_id)
    assert job["status"] == "succeeded"
    assert client.get(f"/jobs/{job_id}/result/x").status_code == 200
    data = DataDirectory(forgetful.data_dir)
    for array in data.arrays.ids():
        age(data.arrays.path(array).parent)
    age(data.jobs.root / job_id / "finished.json")
    _wait_until(lambda: client.get(f"/jobs/{job_id}").status_code == 410, 20)
    for end in ("", "/trace", "/result", "/result/x"):
        assert refusal(client.get(f"/jobs/{job_id}{end}"), 410)["type"].endswith("gone")
    refusal(client.post(f"/jobs/{job_id}/cancel"), 410)
    _wait_until(lambda: not data.arrays.ids(), 10)
    _wait_until(lambda: 'newtond_expired_total{what="job"} 1.0' in client.get("/metrics").text, 10)


def test_no_accepted_job_loses_its_arrays_to_the_collector(client: httpx.Client, forgetful: Service) -> None:
    """Arrays expire in the instant in which a submit names them: it is refused, or it is solved."""
    data, generator = DataDirectory(forgetful.data_dir), np.random.default_rng(5)
    problem = {"kind": "least_squares"}

    def attempt(_: int) -> tuple[int, str]:
        arrays = [npy(generator.normal(size=size)) for size in ((6, 2), 6)]
        A, b = (client.post("/arrays", content=body, headers=NPY).json()["id"] for body in arrays)
        for array in (A, b):
            age(data.arrays.root / array.removeprefix("sha256:"))
        answer = client.post("/solve", json={"problem": problem, "A": A, "b": b})
        return answer.status_code, answer.json().get("id", "")

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(attempt, range(40)))
    assert {status for status, _ in outcomes} <= {202, 404}
    accepted = [job_id for status, job_id in outcomes if status == 202]
    assert all(finish(client, job_id)["status"] == "succeeded" for job_id in accepted)
