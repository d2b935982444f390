"""Uploads, solves, cancels, deletes and reads in any order, against a live service with a real worker.

Whatever the order: no answer is a 5xx, an accepted job ends, a finished result never changes, what is deleted is
404, and an array that an unfinished job needs cannot vanish.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.service.conftest import Service, npy

ENDED = ("succeeded", "failed", "cancelled")
ROWS = (8, 9)
"""Two heights, so that some arrays do not fit each other."""
FORMATS = ("npy", "mtx", "svmlight", "json")
END_SECONDS = 60.0


def matrix(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1.0, (rows, 2))


def body_of(format: str, values: np.ndarray) -> bytes:
    """Return values (n, 2) as a file: the first column is the target of svmlight."""
    if format == "npy":
        return npy(values)
    if format == "json":
        return json.dumps(values.tolist()).encode()
    if format == "mtx":
        entries = "".join(f"{value!r}\n" for value in values.T.reshape(-1).tolist())
        return f"%%MatrixMarket matrix array real general\n{len(values)} 2\n{entries}".encode()
    return "".join(f"{first!r} 1:{second!r}\n" for first, second in values.tolist()).encode()


class Api(RuleBasedStateMachine):
    """One client's whims; ``client`` is set by the test."""

    client: httpx.Client
    matrices: Bundle[str] = Bundle("matrices")
    vectors: Bundle[str] = Bundle("vectors")
    jobs: Bundle[str] = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.needs: dict[str, dict[str, str]] = {}
        self.results: dict[str, tuple[bytes, bytes]] = {}
        self.deleted: set[str] = set()

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        answer = self.client.request(method, path, **request)
        assert answer.status_code < 500, answer.text
        return answer

    @rule(
        target=matrices, format=st.sampled_from(FORMATS), seed=st.integers(0, 3), rows=st.sampled_from(ROWS)
    )
    def upload(self, format: str, seed: int, rows: int) -> Any:
        answer = self.call(
            "POST", "/arrays", params={"format": format}, content=body_of(format, matrix(seed, rows))
        )
        assert answer.status_code in (200, 201)
        found = answer.json()
        return multiple(*(info["id"] for info in found.get("arrays", {"A": found}).values()))

    @rule(target=vectors, seed=st.integers(0, 3), rows=st.sampled_from(ROWS))
    def upload_target(self, seed: int, rows: int) -> str:
        answer = self.call(
            "POST", "/arrays", params={"format": "npy"}, content=npy(matrix(seed, rows)[:, 0] + 1)
        )
        return str(answer.json()["id"])

    @rule(format=st.sampled_from(FORMATS), content=st.binary(min_size=1, max_size=60))
    def upload_nonsense(self, format: str, content: bytes) -> None:
        self.call("POST", "/arrays", params={"format": format}, content=content)

    @rule(target=jobs, A=matrices, b=vectors, iterations=st.integers(1, 30), hurry=st.booleans())
    def solve(self, A: str, b: str, iterations: int, hurry: bool) -> Any:
        body = {
            "problem": {"kind": "hyperbolic", "function": "exp"},
            "A": A,
            "b": b,
            "regulariser": {"ridge": 0.5},
            "solver": {"max_iterations": iterations},
        }
        answer = self.call("POST", "/solve", json=body, headers={"Prefer": f"wait={5 if hurry else 0}"})
        if answer.status_code in (404, 422):
            return multiple()
        assert answer.status_code in (200, 202)
        self.needs[answer.json()["id"]] = {"A": A, "b": b}
        return answer.json()["id"]

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        answer = self.call("POST", f"/jobs/{job}/cancel")
        assert answer.status_code == 404 if job in self.deleted else answer.status_code in (200, 202)

    @rule(job=consumes(jobs))
    def delete_job(self, job: str) -> None:
        if self.call("DELETE", f"/jobs/{job}").status_code == 204:
            self.deleted.add(job)
            self.results.pop(job, None)
            assert self.call("GET", f"/jobs/{job}").status_code == 404
            assert self.call("GET", f"/jobs/{job}/result").status_code == 404

    @rule(array=consumes(matrices) | consumes(vectors))
    def delete_array(self, array: str) -> None:
        needed = [job for job, arrays in self.needs.items() if array in arrays.values()]
        before = {job for job in needed if self.status(job) not in (*ENDED, None)}
        status = self.call("DELETE", f"/arrays/{array}").status_code
        after = {job for job in needed if self.status(job) not in (*ENDED, None)}
        assert status in (204, 404, 409)
        if before & after:
            assert status != 204, "an array that an unfinished job needs was deleted"
        if status != 409:
            assert self.call("GET", f"/arrays/{array}").status_code == 404

    def status(self, job: str) -> str | None:
        answer = self.call("GET", f"/jobs/{job}")
        return None if answer.status_code == 404 else str(answer.json()["status"])

    @rule(job=jobs)
    def read(self, job: str) -> None:
        trace = self.call("GET", f"/jobs/{job}/trace", headers={"Accept": "application/x-ndjson"})
        numbers = [json.loads(line)["iteration"] for line in trace.text.splitlines()]
        assert numbers == sorted(set(numbers))
        result = self.call("GET", f"/jobs/{job}/result")
        if result.status_code != 200:
            assert result.status_code in (404, 409, 410)
            return
        x = self.call("GET", f"/jobs/{job}/result/x")
        if x.status_code == 200:
            assert self.results.setdefault(job, (result.content, x.content)) == (result.content, x.content)

    def teardown(self) -> None:
        """Whatever was accepted ends."""
        deadline = time.monotonic() + END_SECONDS
        for job in self.needs:
            while (status := self.status(job)) not in (*ENDED, None):
                assert time.monotonic() < deadline, f"{job} is {status}"
                self.call("GET", f"/jobs/{job}", headers={"Prefer": "wait=5"})
            if job not in self.deleted and status is not None:
                self.read(job)


def test_no_order_of_calls_breaks_a_promise(working_service: Service) -> None:
    with working_service.client() as client:
        machine = type("LiveApi", (Api,), {"client": client})
        bounded = settings(
            max_examples=5,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=bounded)


Spoil = Callable[[httpx.Request, int], bytes | int | None]
"""Of a request, answered so often before: another end of its answer, another status, or nothing."""
FAULTS: dict[str, Spoil] = {
    "a result changes": lambda request, before: (
        b" " if request.url.path.endswith("/result") and before else None
    ),
    "a solution changes": lambda request, before: (
        b"\0" if request.url.path.endswith("/result/x") and before else None
    ),
    "a deletion is none": lambda request, before: (
        200 if request.method == "GET" and request.url.path.startswith("/arrays/") else None
    ),
    "a fault of the server": lambda request, before: 500 if request.url.path.endswith("/trace") else None,
    "a record twice": lambda request, before: (
        b'{"iteration": 0}\n' if request.url.path.endswith("/trace") else None
    ),
}


class Spoilt(httpx.HTTPTransport):
    """A real server's answers on a line that spoils some of them."""

    def __init__(self, spoil: Spoil) -> None:
        super().__init__()
        self.spoil, self.answered = spoil, Counter[str]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        content = answer.read()
        change = self.spoil(request, self.answered[request.url.path])
        self.answered[request.url.path] += 1
        if change is None:
            return answer
        if isinstance(change, int):
            return httpx.Response(change, content=content)
        return httpx.Response(answer.status_code, content=content + change)


def use(client: httpx.Client) -> None:
    """One order of calls: upload, solve, read twice, delete."""
    machine = type("LiveApi", (Api,), {"client": client})()
    (matrix,) = machine.upload(format="npy", seed=0, rows=8).values
    job = machine.solve(A=matrix, b=machine.upload_target(seed=0, rows=8), iterations=30, hurry=True)
    machine.teardown()
    machine.read(job)
    machine.delete_array(matrix)


def test_an_order_of_calls_without_a_fault(working_service: Service) -> None:
    with working_service.client() as client:
        use(client)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_promise_is_found(working_service: Service, fault: str) -> None:
    with (
        httpx.Client(base_url=working_service.url, timeout=70, transport=Spoilt(FAULTS[fault])) as client,
        pytest.raises(AssertionError),
    ):
        use(client)
