"""A path of ridges whose worker, queue and service are killed in its middle ends with the bits of one left alone."""

import signal
from typing import Any

import httpx
import numpy as np
import pytest

from newtond.store.queue import JobQueue
from tests.conftest import Valkey, WorkerProcesses, _wait_until
from tests.service.conftest import SLOW, Service, npy

ROWS, COLUMNS = 40_000, 12
RIDGES = [30.0, 10.0, 3.0, 1.0]
SECONDS = 240


@pytest.fixture
def solve(own_service: Service) -> dict[str, Any]:
    """The body of a solve of some seconds: the papers' own method, of a small sample."""
    rng = np.random.default_rng(7)
    A = rng.normal(size=(ROWS, COLUMNS)) / COLUMNS**0.5
    b = np.exp(A @ rng.normal(size=COLUMNS)) + 0.1 * rng.normal(size=ROWS)
    with own_service.client() as client:
        ids = [client.post("/arrays?format=npy", content=npy(array)).json()["id"] for array in (A, b)]
    return {**SLOW, "A": ids[0], "b": ids[1]}


def begin(client: httpx.Client, solve: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/batches", json={"solve": solve, "ridges": RIDGES})
    assert answer.status_code == 202, answer.text
    batch: dict[str, Any] = answer.json()
    return batch


def seen(client: httpx.Client, batch: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = client.get(batch["links"]["self"]).json()
    return state


Answer = tuple[str, str, int]


def answers(client: httpx.Client, batch: dict[str, Any]) -> list[Answer]:
    """Return of each member that there is the digest of x, that of where it started, and its iterations."""
    members = seen(client, batch)["members"]
    return [_answer(client, member) for member in members if member["status"] != "deleted"]


def _answer(client: httpx.Client, member: dict[str, Any]) -> Answer:
    assert member["status"] == "succeeded", member
    inputs = client.get(member["links"]["job"]).json()["inputs"]
    x = client.get(member["links"]["result"]).json()["arrays"]["x"]["id"]
    return x, inputs.get("warm_start", ""), member["iterations"]


def test_killed_in_its_middle(own_service: Service, own_valkey: Valkey, solve: dict[str, Any]) -> None:
    url, data = own_valkey.url, own_service.data_dir

    def in_the_second() -> bool:
        first, second, *_ = seen(client, batch)["members"]
        trace = client.get(f"/jobs/{second['job_id']}/trace").json()["records"]
        return first["status"] == "succeeded" and second["status"] == "running" and len(trace) > 2

    with own_service.client() as client, WorkerProcesses(url, data) as start:
        worker = start()
        undisturbed = begin(client, solve)
        _wait_until(lambda: seen(client, undisturbed)["finished"], SECONDS, 0.2)
        expected = answers(client, undisturbed)
        assert [x for x, _, _ in expected[:-1]] == [before for _, before, _ in expected[1:]]

        batch = begin(client, solve)
        _wait_until(in_the_second, SECONDS, 0.05)
        worker.kill()
        worker.wait()
        JobQueue(url).connection.flushall()
        own_service.stop(signal.SIGKILL)
        own_service.start()
        assert not seen(client, batch)["finished"]
        # What the second goes on from is settled: that the first is deleted now changes nothing.
        first, second, *_ = (member["job_id"] for member in seen(client, batch)["members"])
        assert client.delete(f"/jobs/{first}").status_code == 204
        start(reconcile_seconds=0.5)
        _wait_until(lambda: seen(client, batch)["finished"], SECONDS, 0.2)
        assert seen(client, batch)["counts"] == {"deleted": 1, "succeeded": len(RIDGES) - 1}
        assert answers(client, batch) == expected[1:]
        assert client.get(f"/jobs/{second}").json()["attempt"] == 2
