"""Predictions by HTTP: a short job, one array in every format, and each way in which it cannot be had."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from newtond.contract.problem import PROBLEMS
from newtond.contract.solve import SolveSpec
from tests.service.conftest import Service, example, finish, npy, refusal, submit

WAIT = {"Prefer": "wait=60"}
ROWS = [[1.0], [2.5], [-0.25]]


def predicts(kind: str) -> bool:
    return SolveSpec.model_validate(example(kind)).problem.no_prediction() is None


PREDICTED = sorted(filter(predicts, PROBLEMS))


def solved(client: httpx.Client, body: dict[str, Any]) -> str:
    answer = client.post("/solve", json=body)
    assert answer.status_code == 202, answer.text
    job = finish(client, answer.json()["id"])
    assert job["status"] == "succeeded", job
    return str(job["id"])


def fetched(client: httpx.Client, job_id: str, name: str) -> Any:
    answer = client.get(f"/jobs/{job_id}/result/{name}", headers={"Accept": "application/json"})
    return np.array(answer.json()["values"])


@pytest.fixture(scope="module")
def job_id(working_service: Service) -> str:
    with working_service.client() as client:
        return solved(client, example() | {"column_names": None, "intercept": True, "tags": ["of-a-solve"]})


@pytest.mark.parametrize("kind", PREDICTED)
def test_every_kind_predicts_what_it_fitted(working: httpx.Client, kind: str) -> None:
    body = example(kind) | {"outputs": ["fitted"]}
    done = solved(working, body)
    rows = {name: body[name] for name in PROBLEMS[kind].prediction.arrays if name in body}  # type: ignore[union-attr]
    answer = working.post(f"/jobs/{done}/predict", json=rows, headers=WAIT)
    job = answer.json()
    assert (answer.status_code, job["task"], job["status"]) == (200, "predict", "succeeded"), job
    assert job["prediction"]["job_id"] == done
    assert job["prediction"]["formula"] == working.get(f"/problems/{kind}").json()["prediction"]["formula"]
    assert job["prediction"]["units"]
    found = fetched(working, job["id"], "prediction")
    np.testing.assert_allclose(found, fetched(working, done, "fitted"), rtol=1e-12, atol=1e-14)
    assert working.get(f"/jobs/{done}").json()["links"]["predict"] == f"/jobs/{done}/predict"


@pytest.mark.parametrize("kind", sorted(set(PROBLEMS) - set(PREDICTED)))
def test_a_kind_that_predicts_nothing_says_why(working: httpx.Client, kind: str) -> None:
    done = solved(working, example(kind))
    problem = refusal(working.post(f"/jobs/{done}/predict", json={"A": [[1.0]]}), 422)
    assert "new rows" in problem["detail"]
    assert "predict" not in working.get(f"/jobs/{done}").json()["links"]


def test_the_array_has_every_format_of_a_result(working: httpx.Client, job_id: str) -> None:
    job = working.post(f"/jobs/{job_id}/predict", json={"A": ROWS}, headers=WAIT).json()
    result = working.get(f"/jobs/{job_id}/result").json()
    x = fetched(working, job_id, "x")
    expected = np.exp(np.array(ROWS) @ x + result["intercept"])
    href = job["prediction"]["arrays"]["prediction"]["href"]
    assert href == f"/jobs/{job['id']}/result/prediction"
    np.testing.assert_allclose(fetched(working, job["id"], "prediction"), expected, rtol=1e-14)
    for media_type in ("text/csv", "text/x-matrix-market", "application/vnd.apache.arrow.file", "*/*"):
        answer = working.get(href, headers={"Accept": media_type})
        assert answer.status_code == 200
        assert answer.headers["etag"]
    assert answer.content[:6] == b"\x93NUMPY"
    part = working.get(href, headers={"Range": "bytes=0-5"})
    assert (part.status_code, part.content) == (206, b"\x93NUMPY")
    assert "result of its own" in refusal(working.get(f"/jobs/{job['id']}/result"), 409)["detail"]
    refusal(working.get(f"/jobs/{job['id']}/result/x"), 404)


def test_ids_inline_arrays_and_uploads_are_one(working: httpx.Client, job_id: str) -> None:
    array = working.post("/arrays?format=npy", content=npy(ROWS)).json()["id"]
    svmlight = b"".join(b"7 1:%g\n" % row[0] for row in ROWS)
    answers = [
        working.post(f"/jobs/{job_id}/predict", json={"A": ROWS}, headers=WAIT),
        working.post(f"/jobs/{job_id}/predict", json={"A": array}, headers=WAIT),
        working.post(f"/jobs/{job_id}/predict", files={"A": ("A.npy", npy(ROWS))}, headers=WAIT),
        working.post(
            f"/jobs/{job_id}/predict", files={"spec": (None, json.dumps({"A": array}))}, headers=WAIT
        ),
        working.post(f"/jobs/{job_id}/predict", files={"A": ("A.svm", svmlight)}, headers=WAIT),
    ]
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    assert len({answer.json()["prediction"]["arrays"]["prediction"]["id"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({}, "/A", "A is missing"),
        ({"A": [[1.0, 2.0]]}, "/A", "A has 2 columns, but the solve's x has length 1"),
        ({"A": ROWS, "groups": [1.0, 1.0, 1.0]}, "/groups", "hyperbolic predicts from A, not groups"),
        ({"A": ROWS, "b": [1.0]}, "/b", ""),
        ({"A": "sha256:12"}, "/A", ""),
    ],
)
def test_rows_that_do_not_fit(
    working: httpx.Client, job_id: str, body: dict[str, Any], pointer: str, words: str
) -> None:
    problem = refusal(working.post(f"/jobs/{job_id}/predict", json=body), 422)
    assert problem["source"]["pointer"] == pointer
    assert words in problem["detail"]


def test_parts_that_do_not_fit(working: httpx.Client, job_id: str) -> None:
    path = f"/jobs/{job_id}/predict"
    stranger = refusal(working.post(path, files={"B": ("B.npy", npy(ROWS))}), 422)
    assert stranger["source"]["part"] == "B"
    broken = refusal(working.post(path, files={"A": ("A.npy", b"not a file")}), 422)
    assert broken["source"]["part"] == "A"
    twice = {"A": ("A.npy", npy(ROWS)), "spec": (None, json.dumps({"A": ROWS}))}
    assert refusal(working.post(path, files=twice), 422)["source"]["part"] == "A"


def test_an_array_that_is_not_there(working: httpx.Client, job_id: str) -> None:
    problem = refusal(working.post(f"/jobs/{job_id}/predict", json={"A": "sha256:" + "1" * 64}), 404)
    assert problem["source"]["pointer"] == "/A"


def test_groups_are_needed_where_the_solve_had_groups(working: httpx.Client) -> None:
    body = {"problem": {"kind": "softmax"}, "A": [[0.0], [1.0], [0.5], [0.0]], "b": [0.3, 0.7, 0.6, 0.4]}
    done = solved(working, body | {"groups": [1.0, 1.0, 2.0, 2.0]})
    path, rows = f"/jobs/{done}/predict", [[0.0], [2.0], [1.0]]
    assert refusal(working.post(path, json={"A": rows}), 422)["source"]["pointer"] == "/groups"
    short = refusal(working.post(path, json={"A": rows, "groups": [5.0, 5.0]}), 422)
    assert short["source"]["pointer"] == "/groups"
    job = working.post(path, json={"A": rows, "groups": [5.0, 6.0, 5.0]}, headers=WAIT).json()
    found = fetched(working, job["id"], "prediction")
    assert found[1] == 1.0
    assert found[0] + found[2] == pytest.approx(1.0)


def test_tokens_are_checked_against_keys_that_are_the_solves(working: httpx.Client) -> None:
    rng = np.random.default_rng(1)
    A1, A2, A3 = rng.normal(size=(9, 2)), rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    arrays = {"A1": A1, "A2": A2, "A3": A3, "B": rng.normal(size=(9, 2))}
    body = {"problem": {"kind": "attention", "starts": 1, "ridge_x": 0.1, "ridge_y": 0.1}}
    done = solved(working, body | {name: array.tolist() for name, array in arrays.items()})
    path, new = f"/jobs/{done}/predict", A1[:3].tolist()
    job = working.post(path, json={"A1": new}, headers=WAIT).json()
    assert job["prediction"]["arrays"]["prediction"]["shape"] == [3, 2]
    problem = refusal(working.post(path, json={"A1": new, "A2": A2[:4].tolist()}), 422)
    assert "A3 has 5 rows, but A2 has 4 rows" in problem["detail"]


def test_what_float64_cannot_hold_is_an_error_that_names_the_row(working: httpx.Client, job_id: str) -> None:
    job = working.post(f"/jobs/{job_id}/predict", json={"A": [[0.0], [1e300]]}, headers=WAIT).json()
    assert (job["status"], job["error"]["source"]) == ("failed", {"rows": [1]})
    assert job["error"]["type"] == "urn:newtond:error:non-finite"


def test_jobs_that_have_nothing_to_predict_with(working: httpx.Client, idle: httpx.Client) -> None:
    waiting = submit(idle)["id"]
    refusal(idle.post(f"/jobs/{waiting}/predict", json={"A": ROWS}), 409)
    refusal(working.post("/jobs/job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG/predict", json={"A": ROWS}), 404)
    refusal(working.post(f"/jobs/{waiting}/predict", content=b"A", headers={"Content-Type": "text/csv"}), 404)


def test_a_prediction_is_of_a_solve(working: httpx.Client, job_id: str) -> None:
    path = f"/jobs/{job_id}/predict"
    prediction = working.post(path, json={"A": ROWS}, headers=WAIT).json()["id"]
    refusal(working.post(f"/jobs/{prediction}/predict", json={"A": ROWS}), 409)
    refusal(working.post(path, content=b"1,2", headers={"Content-Type": "text/csv"}), 415)


def test_the_inputs_of_the_solve_may_be_gone_but_not_its_answer(working: httpx.Client) -> None:
    body = example() | {"A": [[0.0], [1.0], [3.0]], "b": [1.0, 2.5, 9.25], "column_names": None}
    done = solved(working, body)
    inputs = working.get(f"/jobs/{done}").json()["inputs"]
    for name in ("A", "b"):
        assert working.delete(f"/arrays/{inputs[name]}").status_code == 204
    assert working.post(f"/jobs/{done}/predict", json={"A": ROWS}, headers=WAIT).status_code == 200
    x = working.get(f"/jobs/{done}/result").json()["arrays"]["x"]["id"]
    assert working.delete(f"/arrays/{x}").status_code == 204
    refusal(working.post(f"/jobs/{done}/predict", json={"A": ROWS}), 410)


def test_a_key_names_one_prediction(working: httpx.Client, job_id: str) -> None:
    def ask(rows: Any) -> httpx.Response:
        return working.post(
            f"/jobs/{job_id}/predict", json={"A": rows}, headers={"Idempotency-Key": "prediction-1"}
        )

    assert ask(ROWS).json()["id"] == ask(ROWS).json()["id"]
    refusal(ask([[9.0]]), 422)


def test_a_prediction_is_not_among_the_solves_of_a_tag(working: httpx.Client, job_id: str) -> None:
    working.post(f"/jobs/{job_id}/predict", json={"A": ROWS}, headers=WAIT)
    page = working.get("/jobs", params={"tag": "of-a-solve"}).json()
    assert [job["id"] for job in page["jobs"]] == [job_id]
