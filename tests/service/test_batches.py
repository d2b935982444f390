"""Batches by HTTP: all or nothing, each member an ordinary job, a path that goes on from answer to answer."""

import io
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pytest
import scipy.sparse

from tests.service.conftest import Service, example, finish, npy, refusal, running_service

WAIT = {"Prefer": "wait=60"}
NOBODY = "batch_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"
RIDGES = [10.0, 1.0, 0.1]


def without(*names: str, kind: str = "hyperbolic", **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (example(kind) | changes).items() if name not in names}


def ended(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 202), answer.text
    assert answer.headers["location"] == f"/batches/{answer.json()['id']}"
    for _ in range(5):
        batch: dict[str, Any] = client.get(f"/batches/{answer.json()['id']}", headers=WAIT).json()
        if batch["finished"]:
            return batch
    raise AssertionError(batch)


def array(client: httpx.Client, job_id: str, name: str = "x") -> str:
    return str(client.get(f"/jobs/{job_id}/result").json()["arrays"][name]["id"])


@pytest.fixture(scope="module")
def path(working_service: Service) -> dict[str, Any]:
    with working_service.client() as client:
        body = {"solve": without(intercept=True, tags=["sweep"]), "ridges": RIDGES}
        return ended(client, client.post("/batches", json=body, headers=WAIT))


def test_a_path_goes_on_from_answer_to_answer(working: httpx.Client, path: dict[str, Any]) -> None:
    assert (path["counts"], path["total"], path["varies"]) == ({"succeeded": 3}, 3, "ridges")
    assert [member["ridge"] for member in path["members"]] == RIDGES
    start: dict[str, Any] = {}
    for member, ridge in zip(path["members"], RIDGES, strict=True):
        body = example() | {"intercept": True, "regulariser": {"ridge": ridge}} | start
        alone = finish(working, working.post("/solve", json=body).json()["id"])
        assert array(working, alone["id"]) == array(working, member["job_id"])
        job = working.get(f"/jobs/{member['job_id']}").json()
        assert job["inputs"] == alone["inputs"]
        assert ("warm_start" in job["inputs"]) == bool(start)
        assert (job["iteration"], job["loss"]) == (member["iterations"], member["loss"])
        assert (job["batch"], job["links"]["batch"]) == (path["id"], f"/batches/{path['id']}")
        start = {"warm_start": {"job": alone["id"]}}


def test_what_is_counted_of_a_sparse_A_is_counted_once(
    working: httpx.Client, working_service: Service
) -> None:
    """The file beside A is the first member's to the end: another count would have put another in its place."""
    sparse = scipy.sparse.random_array((3000, 100), density=0.4, rng=np.random.default_rng(5), format="csr")
    body = io.BytesIO()
    scipy.sparse.save_npz(body, sparse)
    headers = {"Content-Type": "application/x-npz"}
    A = working.post("/arrays", content=body.getvalue(), headers=headers).json()["id"]
    solve = {"problem": {"kind": "least_squares"}, "A": A, "b": list(map(float, sparse.sum(axis=1)))}
    batch = ended(
        working, working.post("/batches", json={"solve": solve, "ridges": [*RIDGES, 0.01]}, headers=WAIT)
    )
    assert batch["counts"] == {"succeeded": 4}
    folder = working_service.data_dir / "arrays" / A.removeprefix("sha256:")
    kept = (folder / "prepared-1.npz").stat().st_mtime
    finished = [working.get(f"/jobs/{member['job_id']}").json()["finished_at"] for member in batch["members"]]
    assert kept < datetime.fromisoformat(finished[0]).timestamp()


def test_members_are_listed_by_the_tag_of_the_batch(working: httpx.Client, path: dict[str, Any]) -> None:
    ids = [member["job_id"] for member in path["members"]]
    first = working.get(path["links"]["jobs"], params={"limit": 2}).json()
    assert path["links"]["jobs"] == f"/jobs?tag={path['id']}"
    query = {"tag": path["id"], "limit": 2}
    first = working.get("/jobs", params=query).json()
    rest = working.get("/jobs", params=query | {"after": first["after"]}).json()
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == ids[::-1]
    assert rest["after"] is None
    assert path["tags"] == ["sweep", path["id"]]


def test_many_targets_and_the_columns_of_a_matrix_are_one(working: httpx.Client) -> None:
    rng = np.random.default_rng(3)
    A, B = rng.normal(size=(12, 2)), rng.normal(size=(12, 3))
    solve = {"problem": {"kind": "least_squares"}, "A": A.tolist()}
    ids = [working.post("/arrays?format=npy", content=npy(b)).json()["id"] for b in B.T]
    matrix = working.post("/arrays?format=npy", content=npy(B)).json()["id"]
    varied: list[dict[str, Any]] = [{"targets": ids}, {"columns": matrix}, {"columns": B.tolist()}]
    batches = [ended(working, working.post("/batches", json={"solve": solve, **each})) for each in varied]
    for batch in batches:
        assert batch["counts"] == {"succeeded": 3}
        assert [member["b"] for member in batch["members"]] == ids
    answers = [[array(working, member["job_id"]) for member in batch["members"]] for batch in batches]
    assert answers[0] == answers[1] == answers[2]
    x = working.get(f"/jobs/{batches[0]['members'][1]['job_id']}/result/x?", headers={"Accept": "*/*"})
    assert x.status_code == 200


@pytest.mark.parametrize("kind", ["attention_kernel", "gram_power"])
def test_a_path_of_a_kind_that_has_no_start(working: httpx.Client, kind: str) -> None:
    body = without("regulariser", kind=kind)
    batch = ended(working, working.post("/batches", json={"solve": body, "ridges": [1.0, 0.5]}))
    assert batch["counts"] == {"succeeded": 2}
    for member in batch["members"]:
        assert "warm_start" not in working.get(f"/jobs/{member['job_id']}").json()["inputs"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing varies": ({"solve": without("b")}, ""),
    "two things vary": ({"solve": without(), "ridges": [1.0], "targets": ["sha256:" + "0" * 64]}, ""),
    "no solve": ({"ridges": [1.0]}, "/solve"),
    "no ridge": ({"solve": without(), "ridges": []}, "/ridges"),
    "a ridge below 0": ({"solve": without(), "ridges": [1.0, -1.0]}, "/ridges/1"),
    "two ridges": (
        {"solve": without(regulariser={"ridge": 1.0}), "ridges": [1.0]},
        "/solve/regulariser/ridge",
    ),
    "two targets": ({"solve": without(), "columns": [[1.0], [2.0]]}, "/solve/b"),
    "a target that is too short": ({"solve": without("b"), "columns": [[1.0], [2.0]]}, "/columns/0"),
    "a sparse matrix": (
        {"solve": without("b"), "columns": {"shape": [12, 1], "row": [0], "col": [0], "value": [1.0]}},
        "/columns",
    ),
    "a matrix that is none": (
        {"solve": without("b"), "columns": {"shape": [1, 1], "row": [], "col": [0], "value": []}},
        "/columns/col",
    ),
    "a kind without b": (
        {"solve": without(kind="attention"), "columns": [[1.0], [2.0]]},
        "/solve/problem/kind",
    ),
    "a kind without a ridge": (
        {"solve": without(kind="attention"), "ridges": [1.0]},
        "/solve/regulariser/ridge",
    ),
    "a field that is not there": ({"solve": without(colour="red"), "ridges": [1.0]}, "/solve/colour"),
    "too many tags": ({"solve": without(tags=["t"] * 32), "ridges": [1.0]}, "/solve/tags"),
    "too many members": ({"solve": without(), "ridges": [1.0] * 501}, "/ridges"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_batch_asked_for_badly(idle: httpx.Client, case: str) -> None:
    body, pointer = REFUSED[case]
    before = idle.get("/jobs").json()
    assert refusal(idle.post("/batches", json=body), 422)["source"]["pointer"] == pointer
    assert idle.get("/jobs").json() == before


def test_one_target_that_does_not_fit_refuses_all(idle: httpx.Client) -> None:
    good = idle.post("/arrays?format=npy", content=npy(example()["b"])).json()["id"]
    short = idle.post("/arrays?format=npy", content=npy([1.0, 2.0])).json()["id"]
    before = idle.get("/jobs").json()
    for targets, status in (([good, short], 422), ([good, "sha256:" + "2" * 64], 404)):
        problem = refusal(idle.post("/batches", json={"solve": without("b"), "targets": targets}), status)
        assert problem["source"]["pointer"] == "/targets/1"
    assert idle.get("/jobs").json() == before


def test_limits_on_size(service_root: Any, working_service: Service) -> None:
    bounds = {"batch_jobs": 2, "tenant_queued_jobs": 3}
    root = service_root / "bounded"
    with running_service(root, working_service.redis_url, **bounds) as service, service.client() as client:
        assert client.get("/limits").json()["batch_jobs"] == 2
        problem = refusal(client.post("/batches", json={"solve": without(), "ridges": RIDGES}), 422)
        assert problem["source"] == {"pointer": "/ridges", "limit": 2}
        wide = {"solve": without("b"), "columns": [[1.0, 2.0, 3.0]] * 12}
        assert refusal(client.post("/batches", json=wide), 422)["source"]["limit"] == 2


def test_a_key_names_one_batch(idle: httpx.Client) -> None:
    def ask(ridges: list[float]) -> httpx.Response:
        body = {"solve": without(), "ridges": ridges}
        return idle.post("/batches", json=body, headers={"Idempotency-Key": "batch-1"})

    first, again = ask([2.0, 1.0]), ask([2.0, 1.0])
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    refusal(ask([2.0, 0.5]), 422)
    assert len(idle.get("/jobs", params={"tag": first.json()["id"]}).json()["jobs"]) == 2
    assert idle.delete(f"/batches/{first.json()['id']}").status_code == 204
    assert ask([2.0, 0.5]).status_code == 202


def test_a_batch_is_cancelled_and_deleted(idle: httpx.Client) -> None:
    batch = idle.post("/batches", json={"solve": without(), "ridges": RIDGES}).json()
    assert (batch["counts"], batch["finished"]) == ({"queued": 3}, False)
    answer = idle.post(f"/batches/{batch['id']}/cancel")
    assert (answer.status_code, answer.json()["counts"]) == (200, {"cancelled": 3})
    assert idle.delete(f"/jobs/{batch['members'][1]['job_id']}").status_code == 204
    counts = idle.get(f"/batches/{batch['id']}").json()["counts"]
    assert counts == {"cancelled": 2, "deleted": 1}
    assert idle.delete(f"/batches/{batch['id']}").status_code == 204
    refusal(idle.get(f"/batches/{batch['id']}"), 404)
    for member in batch["members"]:
        refusal(idle.get(f"/jobs/{member['job_id']}"), 404)


def test_batches_are_listed_newest_first_by_page_tag_and_end(
    working: httpx.Client, path: dict[str, Any]
) -> None:
    solve = without(tags=["listed"])
    made = [working.post("/batches", json={"solve": solve, "ridges": [1.0]}) for _ in range(3)]
    ids = [ended(working, answer)["id"] for answer in made][::-1]
    first = working.get("/batches", params={"tag": "listed", "limit": 2}).json()
    rest = working.get("/batches", params={"tag": "listed", "after": first["after"]}).json()
    assert [batch["id"] for batch in first["batches"] + rest["batches"]] == ids
    assert rest["after"] is None
    whole = {name: value for name, value in path.items() if name != "members"}
    query = {"tag": path["id"], "finished": True}
    assert working.get("/batches", params=query).json() == {"batches": [whole], "after": None}
    assert working.get("/batches", params=query | {"finished": False}).json()["batches"] == []


def test_a_batch_that_waits_is_listed_as_not_finished(idle: httpx.Client) -> None:
    batch = idle.post("/batches", json={"solve": without(tags=["waits"]), "ridges": RIDGES}).json()
    (listed,) = idle.get("/batches", params={"tag": "waits", "finished": False}).json()["batches"]
    assert (listed["id"], listed["counts"]) == (batch["id"], {"queued": 3})
    idle.delete(f"/batches/{batch['id']}")
    assert idle.get("/batches", params={"tag": "waits"}).json()["batches"] == []


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"after": "job_1"}, {"finished": "soon"}])
def test_a_list_asked_for_badly(idle: httpx.Client, query: dict[str, Any]) -> None:
    refusal(idle.get("/batches", params=query), 422)


def test_members_say_what_is_proven(working: httpx.Client, path: dict[str, Any]) -> None:
    for member in path["members"]:
        result = working.get(f"/jobs/{member['job_id']}/result").json()
        assert member["curvature"] == result["certificate"]["curvature"]


@pytest.mark.parametrize("batch_id", [NOBODY, "batch_1", "job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"])
def test_no_such_batch(idle: httpx.Client, batch_id: str) -> None:
    refusal(idle.get(f"/batches/{batch_id}"), 404)
    refusal(idle.post(f"/batches/{batch_id}/cancel"), 404)
    refusal(idle.delete(f"/batches/{batch_id}"), 404)


def test_a_batch_is_asked_for_in_json(idle: httpx.Client) -> None:
    refusal(idle.post("/batches", content=b"{"), 400)
    refusal(idle.post("/batches", files={"spec": (None, "{}")}), 415)
