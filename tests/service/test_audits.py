"""Audits by HTTP: a job of its own, its report, and every way in which one cannot be had."""

from typing import Any

import httpx
import pytest

from newtond.contract.problem import PROBLEMS
from tests.service.conftest import Service, example, finish, refusal, submit

AUDITED = sorted(kind for kind, problem in PROBLEMS.items() if "audit" in problem.supports)
ASKED = {"fraction": 1.0, "seed": 1}


def audited(kind: str = "hyperbolic") -> dict[str, Any]:
    body = example(kind)
    return body | {"solver": body.get("solver", {}) | {"audit": True}}


@pytest.fixture(scope="module")
def job_id(working_service: Service) -> str:
    with working_service.client() as client:
        return str(finish(client, client.post("/solve", json=audited()).json()["id"])["id"])


@pytest.mark.parametrize("kind", AUDITED)
def test_every_kind_with_row_blocks_is_audited(working: httpx.Client, kind: str) -> None:
    solved = finish(working, working.post("/solve", json=audited(kind)).json()["id"])
    answer = working.post(f"/jobs/{solved['id']}/audits", json=ASKED, headers={"Prefer": "wait=60"})
    job = answer.json()
    assert (answer.status_code, job["task"], job["status"]) == (200, "audit", "succeeded")
    report = job["audit"]
    assert (report["verdict"], report["faults"], report["failed"]) == ("held", [], [])
    assert report["drawn"] == report["shards"] == report["held"] > 0
    assert report["iterates"] == len(working.get(f"/jobs/{solved['id']}/trace").json()["records"])
    assert (report["job_id"], report["seal"]) == (solved["id"], solved["seal"]["digest"])
    assert working.get(answer.headers["location"]).json()["audit"] == report


@pytest.mark.parametrize("kind", sorted(set(PROBLEMS) - set(AUDITED)))
def test_a_kind_without_row_blocks_says_so(idle: httpx.Client, kind: str) -> None:
    problem = refusal(idle.post("/solve", json=audited(kind)), 422)
    assert problem["source"]["pointer"] == "/solver/audit"
    assert "row blocks" in problem["detail"]


def test_many_targets_are_not_audited(working: httpx.Client) -> None:
    body = {"problem": {"kind": "least_squares"}, "A": [[1.0], [2.0]], "B": [[1.0, 2.0], [2.0, 3.0]]}
    answer = working.post("/solve?dry_run=true", json=body | {"solver": {"audit": True}})
    assert refusal(answer, 422)["source"]["pointer"] == "/solver/audit"


def test_what_cannot_be_audited(working: httpx.Client, idle: httpx.Client, job_id: str) -> None:
    plain = finish(working, submit(working)["id"])["id"]
    assert "solver.audit" in refusal(working.post(f"/jobs/{plain}/audits", json=ASKED), 422)["detail"]
    waiting = idle.post("/solve", json=audited()).json()["id"]
    refusal(idle.post(f"/jobs/{waiting}/audits", json=ASKED), 409)
    refusal(working.post("/jobs/job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG/audits", json=ASKED), 404)
    audit = working.post(f"/jobs/{job_id}/audits", json=ASKED, headers={"Prefer": "wait=60"}).json()["id"]
    refusal(working.post(f"/jobs/{audit}/audits", json=ASKED), 409)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/fraction"),
        ({"fraction": 0, "seed": 1}, "/fraction"),
        ({"fraction": 1.5, "seed": 1}, "/fraction"),
        ({"fraction": 0.5, "seed": -1}, "/seed"),
        ({"fraction": 0.5, "seed": 1, "blocks": 3}, "/blocks"),
    ],
)
def test_an_audit_asked_for_badly(
    working: httpx.Client, job_id: str, body: dict[str, Any], pointer: str
) -> None:
    assert refusal(working.post(f"/jobs/{job_id}/audits", json=body), 422)["source"]["pointer"] == pointer


def test_an_audit_is_asked_for_in_json(working: httpx.Client, job_id: str) -> None:
    refusal(working.post(f"/jobs/{job_id}/audits", content=b"{"), 400)
    refusal(working.post(f"/jobs/{job_id}/audits", content=b"a", headers={"Content-Type": "text/plain"}), 415)


def test_a_key_names_one_audit(working: httpx.Client, job_id: str) -> None:
    def ask(seed: int) -> httpx.Response:
        body = {"fraction": 0.5, "seed": seed}
        return working.post(f"/jobs/{job_id}/audits", json=body, headers={"Idempotency-Key": "audit-1"})

    first, again = ask(1), ask(1)
    assert first.json()["id"] == again.json()["id"]
    refusal(ask(2), 422)


def test_inputs_that_are_gone(working: httpx.Client) -> None:
    body = audited() | {"A": [[0.0], [1.0], [2.0]], "b": [1.0, 2.5, 7.25], "column_names": None}
    job = finish(working, working.post("/solve", json=body).json()["id"])
    assert working.delete(f"/arrays/{job['inputs']['b']}").status_code == 204
    refusal(working.post(f"/jobs/{job['id']}/audits", json=ASKED), 410)
