"""A warm start that names a job: from its answer, for good, and in words where that cannot be."""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.conftest import Service, example, finish, refusal, submit

NOBODY = "job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"


def solved(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/solve", json=body)
    assert answer.status_code == 202, answer.text
    return finish(client, answer.json()["id"])


def values(client: httpx.Client, job_id: str, name: str) -> Any:
    answer = client.get(f"/jobs/{job_id}/result/{name}", headers={"Accept": "application/json"})
    return np.array(answer.json()["values"])


@pytest.fixture(scope="module")
def job(working_service: Service) -> dict[str, Any]:
    with working_service.client() as client:
        return solved(client, example() | {"intercept": True})


def test_it_starts_where_the_job_ended(working: httpx.Client, job: dict[str, Any]) -> None:
    again = solved(working, example() | {"intercept": True, "warm_start": {"job": job["id"]}})
    assert again["status"] == "succeeded", again
    assert job["iteration"] > 2 > again["iteration"]
    result = working.get(f"/jobs/{job['id']}/result").json()
    x = working.get(f"/arrays/{again['inputs']['warm_start']}").json()
    assert x["shape"] == [2]
    by_hand = [*values(working, job["id"], "x").tolist(), result["intercept"]]
    same = solved(working, example() | {"intercept": True, "warm_start": by_hand})
    assert same["inputs"]["warm_start"] == again["inputs"]["warm_start"]
    assert same["seal"]["inputs"] == again["seal"]["inputs"]
    assert same["seal"]["digest"] == again["seal"]["digest"]


def test_the_job_may_be_deleted_before_it_runs(idle: httpx.Client, working: httpx.Client) -> None:
    first = solved(working, example() | {"tags": ["to go"]})
    body = example() | {"warm_start": {"job": first["id"]}}
    later = working.post("/solve", json=body).json()["id"]
    assert working.delete(f"/jobs/{first['id']}").status_code == 204
    refusal(working.post("/solve", json=body), 404)
    ended = finish(working, later)
    assert ended["status"] == "succeeded"
    assert ended["iteration"] < first["iteration"]
    assert working.get(f"/arrays/{ended['inputs']['warm_start']}").status_code == 200


def test_attention_goes_on_from_its_own_array(working: httpx.Client) -> None:
    body = example("attention")
    first = solved(working, body)
    again = solved(working, body | {"warm_start": {"job": first["id"]}})
    result = working.get(f"/jobs/{first['id']}/result").json()
    assert again["inputs"]["X0"] == result["arrays"]["X"]["id"]
    assert values(working, again["id"], "losses")[0] <= result["loss"] * (1 + 1e-9)
    taken = body | {"X0": np.zeros(result["arrays"]["X"]["shape"]).tolist()}
    twice = refusal(working.post("/solve", json=taken | {"warm_start": {"job": first["id"]}}), 422)
    assert "X0" in twice["detail"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"intercept": False}, "has an intercept"),
        ({"problem": {"kind": "least_squares"}}, "cannot start where a hyperbolic one ended"),
        ({"A": [[1.0, 2.0], [2.0, 1.0], [0.0, 1.0]], "b": [1.0, 2.0, 3.0]}, "warm_start has length 2"),
    ],
)
def test_a_job_that_does_not_fit(
    working: httpx.Client, job: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    body = example() | {"intercept": True, "column_names": None, "warm_start": {"job": job["id"]}}
    assert words in refusal(working.post("/solve", json=body | changes), 422)["detail"]


def test_a_job_that_has_no_answer(working: httpx.Client, idle: httpx.Client, job: dict[str, Any]) -> None:
    waiting = submit(idle)["id"]
    unfinished = refusal(idle.post("/solve", json=example() | {"warm_start": {"job": waiting}}), 409)
    assert unfinished["source"]["pointer"] == "/warm_start/job"
    absent = refusal(working.post("/solve", json=example() | {"warm_start": {"job": NOBODY}}), 404)
    assert absent["source"]["pointer"] == "/warm_start/job"
    rows = {"A": [[1.0]]}
    made = working.post(f"/jobs/{job['id']}/predict", json=rows, headers={"Prefer": "wait=60"}).json()["id"]
    refusal(working.post("/solve", json=example() | {"warm_start": {"job": made}}), 409)


def test_an_answer_whose_array_is_gone(working: httpx.Client) -> None:
    body = example() | {"A": [[0.0], [1.0], [3.5]], "b": [1.0, 2.5, 9.75], "column_names": None}
    first = solved(working, body)
    x = working.get(f"/jobs/{first['id']}/result").json()["arrays"]["x"]["id"]
    assert working.delete(f"/arrays/{x}").status_code == 204
    gone = refusal(working.post("/solve", json=body | {"warm_start": {"job": first["id"]}}), 410)
    assert gone["source"]["pointer"] == "/warm_start/job"


@pytest.mark.parametrize("kind", ["attention_kernel", "gram_power", "gram_exponential"])
def test_a_kind_that_has_no_start(idle: httpx.Client, kind: str) -> None:
    body = example(kind) | {"warm_start": {"job": NOBODY}}
    assert refusal(idle.post("/solve", json=body), 422)["source"]["pointer"] == "/warm_start"


def test_several_targets_have_no_start(working: httpx.Client) -> None:
    body = {"problem": {"kind": "least_squares"}, "A": [[1.0], [2.0]], "B": [[1.0, 2.0], [2.0, 3.0]]}
    first = solved(working, body)
    again = refusal(working.post("/solve", json=body | {"warm_start": {"job": first["id"]}}), 422)
    assert "several targets" in again["detail"]


@pytest.mark.parametrize("start", [{"job": "job_1"}, {"job": 7}, {"job": NOBODY, "iteration": 3}])
def test_a_job_named_badly(idle: httpx.Client, start: Any) -> None:
    problem = refusal(idle.post("/solve", json=example() | {"warm_start": start}), 422)
    assert problem["source"]["pointer"].startswith("/warm_start")


def test_a_dry_run_says_that_it_starts_there(working: httpx.Client, job: dict[str, Any]) -> None:
    body = example() | {"intercept": True, "warm_start": {"job": job["id"]}}
    assert working.post("/solve", params={"dry_run": True}, json=body).status_code == 200
