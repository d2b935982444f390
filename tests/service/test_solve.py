"""POST /solve: every way in, every way out, and every refusal with its place."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from newtond.contract.problem import PROBLEMS
from service.catalogue import variants
from tests.service.conftest import example, finish, npy, refusal, submit

UNKNOWN = "sha256:" + "0" * 64


@pytest.mark.parametrize("kind", PROBLEMS)
def test_the_example_of_each_kind_is_solved_as_it_is(working: httpx.Client, kind: str) -> None:
    answer = working.post("/solve", json=example(kind), headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["preference-applied"] == "wait=60"
    job = answer.json()
    assert (job["status"], job["converged"], job["kind"]) == ("succeeded", True, kind)
    result = working.get(f"/jobs/{job['id']}/result").json()
    assert result["certificate"]["loss"] == pytest.approx(result["loss"], rel=1e-6)
    assert result["column_names"] == example(kind).get("column_names")


def solved(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a body that must converge."""
    job = client.post("/solve", json=body, headers={"Prefer": "wait=60"}).json()
    result: dict[str, Any] = client.get(f"/jobs/{job['id']}/result").json()
    assert result["termination"] == "converged"
    return result


def array(client: httpx.Client, result: dict[str, Any], name: str) -> Any:
    answer = client.get(result["arrays"][name]["href"], headers={"Accept": "application/x-npy"})
    return np.load(io.BytesIO(answer.content))


def test_many_targets_are_each_the_regression_of_its_column(working: httpx.Client) -> None:
    body = variants("least_squares")["many_targets"]
    result = solved(working, body)
    wide = np.column_stack([body["A"], np.ones(len(body["A"]))])
    expected = np.linalg.lstsq(wide, np.array(body["B"], float))[0]
    np.testing.assert_allclose(array(working, result, "X"), expected[:1], rtol=1e-12)
    np.testing.assert_allclose(array(working, result, "intercepts"), expected[1], rtol=1e-12)


def test_a_guarantee_keeps_its_promise_by_one_sketched_solve(working: httpx.Client) -> None:
    bodies = variants("least_squares")
    A, b = (np.array(bodies["guarantee_linf"][name], float) for name in ("A", "b"))
    best, squares, _, singular = np.linalg.lstsq(A, b)
    results = {name: solved(working, bodies[name]) for name in ("guarantee_linf", "guarantee_epsilon")}
    assert {result["plan"]["hessian"] for result in results.values()} == {"sketch_and_solve"}
    near = array(working, results["guarantee_linf"], "x")
    assert 0.0 < np.abs(near - best).max() <= np.sqrt(squares[0]) / singular[-1]
    far = array(working, results["guarantee_epsilon"], "x")
    assert squares[0] < np.sum((A @ far - b) ** 2) <= 2.0 * squares[0]
    assert "quantum_query_model" in results["guarantee_epsilon"]["plan"]["estimates"]


def test_one_column_is_a_matrix_and_a_vector_in_every_format(working: httpx.Client) -> None:
    A, b = [1.0, 2.0, 4.0], [2.0, 3.0, 9.0]
    mtx = {
        name: "%%MatrixMarket matrix array real general\n3 1\n" + "".join(f"{v}\n" for v in values)
        for name, values in (("A", A), ("b", b))
    }
    uploads = {
        "mtx": {name: working.post("/arrays?format=mtx", content=text) for name, text in mtx.items()},
        "npy": {
            name: working.post("/arrays?format=npy", content=npy(values))
            for name, values in (("A", A), ("b", b))
        },
    }
    kind = {"problem": {"kind": "least_squares"}}
    bodies = [
        kind | {name: answer.json()["id"] for name, answer in files.items()} for files in uploads.values()
    ]
    bodies.append(kind | {"A": [[value] for value in A], "b": b})
    losses = {solved(working, body)["loss"] for body in bodies}
    assert len(losses) == 1
    assert losses.pop() == pytest.approx(0.5 * (94.0 - 44.0**2 / 21.0))


def test_three_ways_in_are_one_solve(working: httpx.Client) -> None:
    body = example()
    ids = {
        name: working.post(
            "/arrays", content=npy(body[name]), headers={"Content-Type": "application/x-npy"}
        ).json()["id"]
        for name in ("A", "b")
    }
    spec = {name: value for name, value in body.items() if name not in ids}
    mtx = "%%MatrixMarket matrix array real general\n12 1\n" + "".join(f"{v}\n" for v in body["b"])
    files = {
        "spec": (None, json.dumps(spec), "application/json"),
        "A": ("A.npy", npy(body["A"]), "application/octet-stream"),
        "b": ("whatever", mtx, "text/x-matrix-market"),
    }
    answers = [
        working.post("/solve", json=body),
        working.post("/solve", json=spec | ids),
        working.post("/solve", files=files),
    ]
    jobs = [finish(working, answer.json()["id"]) for answer in answers]
    assert [answer.status_code for answer in answers] == [202] * 3, answers[2].text
    assert len({job["loss"] for job in jobs}) == 1
    assert jobs[0]["inputs"] == ids
    assert jobs[2]["inputs"] == ids


def svmlight(A: Any, b: Any, groups: Any = None) -> str:
    lines = []
    for i, row in enumerate(np.asarray(A, dtype=float)):
        query = f" qid:{groups[i]}" if groups is not None else ""
        lines.append(f"{b[i]!r}{query} " + " ".join(f"{j}:{v!r}" for j, v in enumerate(row.tolist(), 1)))
    return "\n".join(lines)


def test_an_svmlight_part_brings_target_and_groups_along(working: httpx.Client) -> None:
    body = example()
    spec = {name: value for name, value in body.items() if name not in ("A", "b")}
    part = ("A", svmlight(body["A"], body["b"]), "text/x-svmlight")
    answer = working.post("/solve", files={"spec": (None, json.dumps(spec)), "A": part})
    assert answer.status_code == 202, answer.text
    assert answer.json()["inputs"]["b"] == submit(working)["inputs"]["b"]
    assert finish(working, answer.json()["id"])["converged"]
    ranked = example("softmax")
    rows = np.asarray(ranked["A"])
    groups = [i // (len(rows) // 2) for i in range(len(rows))]
    part = ("A.libsvm", svmlight(rows, ranked["b"], groups), "text/plain")
    spec = {name: value for name, value in ranked.items() if name not in ("A", "b", "groups")}
    answer = working.post("/solve", files={"spec": (None, json.dumps(spec)), "A": part})
    assert answer.status_code == 202, answer.text
    assert sorted(answer.json()["inputs"]) == ["A", "b", "groups"]


@pytest.mark.parametrize(
    ("kind", "name", "text", "more", "words"),
    [
        ("hyperbolic", "b", "1 1:1\n", {"A": [[1.0]]}, "send it as the part A"),
        ("hyperbolic", "A", "1 1:1\n", {"b": [1.0]}, "given twice"),
        ("hyperbolic", "A", "1 qid:1 1:1\n", {}, "takes no groups"),
        ("softmax", "A", "1 qid:1 1:1\n", {"groups": [1]}, "groups is given twice"),
        ("hyperbolic", "A", "1 1:x\n", {}, "A: Line 1: `x` is not a number"),
    ],
)
def test_an_svmlight_part_refused(
    idle: httpx.Client, kind: str, name: str, text: str, more: dict[str, Any], words: str
) -> None:
    spec = {"problem": example(kind)["problem"]} | more
    files: dict[str, Any] = {"spec": (None, json.dumps(spec)), name: (name, text, "text/x-svmlight")}
    assert words in refusal(idle.post("/solve", files=files), 422)["detail"]


def test_every_array_field_comes_as_a_part(idle: httpx.Client) -> None:
    spec = {"problem": {"kind": "hyperbolic", "function": "exp"}, "regulariser": {"ridge": 0.5}}
    parts = {"A": np.eye(3), "b": np.ones(3), "w": [1, 2, 3], "offset": [3, 2, 1], "row_weights": [1, 1, 2]}
    parts["warm_start"] = [0.5, 0.5, 0.5]
    files: dict[str, Any] = {name: (f"{name}.npy", npy(values)) for name, values in parts.items()}
    answer = idle.post("/solve", files=files | {"spec": (None, json.dumps(spec))})
    assert answer.status_code == 202, answer.text
    names = {"A", "b", "weights", "offset", "row_weights", "warm_start"}
    assert set(answer.json()["inputs"]) == names


def test_an_inline_sparse_matrix(working: httpx.Client) -> None:
    sparse = {"shape": [3, 2], "row": [0, 1, 2], "col": [0, 1, 1], "value": [1.0, 1.0, 2.0]}
    body = {"problem": {"kind": "least_squares"}, "A": sparse, "b": [1, 2, 4]}
    job = working.post("/solve", json=body, headers={"Prefer": "wait=60"}).json()
    x = working.get(f"/jobs/{job['id']}/result/x", headers={"Accept": "application/json"}).json()
    assert x["values"] == pytest.approx([1, 2])


def test_a_dry_run_answers_with_the_plan(working: httpx.Client) -> None:
    answer = working.post("/solve", params={"dry_run": True}, json=example())
    assert answer.status_code == 200, answer.text
    assert {"hessian", "why", "memory_bytes", "full_passes"} <= set(answer.json())
    job = working.get(answer.headers["location"]).json()
    assert (job["task"], job["status"], job["plan"]) == ("plan", "succeeded", answer.json())


def test_a_dry_run_that_the_engine_refuses_is_a_problem(working: httpx.Client) -> None:
    body = example() | {"b": [-1.0] * 12, "regulariser": {"offset": "target", "weights": 1.0}}
    problem = refusal(working.post("/solve", params={"dry_run": True}, json=body), 422)
    assert problem["source"]["pointer"] == "/regulariser/offset"


def test_a_solve_is_accepted_before_it_is_done(idle: httpx.Client) -> None:
    answer = idle.post("/solve", json=example(), headers={"Prefer": "respond-async, wait=0"})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert (job["status"], job["attempt"]) == ("queued", 0)
    assert job["queue_position"] is not None


def test_one_idempotency_key_is_one_job(idle: httpx.Client) -> None:
    first, second = (
        idle.post("/solve", json=example(), headers={"Idempotency-Key": "one"}) for _ in range(2)
    )
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    other = idle.post("/solve", json=example("least_squares"), headers={"Idempotency-Key": "one"})
    refusal(other, 422)


def test_the_key_is_of_the_arrays_and_not_of_their_bytes(idle: httpx.Client) -> None:
    body = example()
    files = {
        "spec": (None, json.dumps({k: v for k, v in body.items() if k not in ("A", "b")})),
        "A": ("A.npy", npy(body["A"])),
        "b": ("b.npy", npy(body["b"])),
    }
    answers = [idle.post("/solve", files=files, headers={"Idempotency-Key": "parts"}) for _ in range(2)]
    answers.append(idle.post("/solve", json=body, headers={"Idempotency-Key": "parts"}))
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_a_key_sent_at_once_by_many_is_one_job(idle: httpx.Client) -> None:
    def send(_: int) -> str:
        answer = idle.post("/solve", json=example(), headers={"Idempotency-Key": "many"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(send, range(16)))) == 1


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"colour": "crimson"}, "/colour"),
    "unknown field within": ({"solver": {"tolerence": 1e-3}}, "/solver/tolerence"),
    "unknown kind": ({"problem": {"kind": "tea"}}, "/problem"),
    "no function": ({"problem": {"kind": "hyperbolic"}}, "/problem/function"),
    "tolerance": ({"solver": {"tolerance": 2}}, "/solver/tolerance"),
    "time limit": ({"solver": {"time_limit": 1e9}}, "/solver/time_limit"),
    "number past a double": ({"solver": {"time_limit": 10**400}}, "/solver/time_limit"),
    "bad weights": ({"regulariser": {"weights": -1}}, "/regulariser/weights"),
    "regulariser is no object": ({"regulariser": 3}, "/regulariser"),
    "margin": ({"regulariser": {"margin": 1}}, "/regulariser"),
    "names": ({"column_names": ["a", "a"]}, "/column_names"),
    "names and columns": ({"column_names": ["a", "b"]}, "/column_names"),
    "short b": ({"b": [1, 2, 3]}, "/b"),
    "b is a matrix": ({"b": [[1, 2], [3, 4]]}, "/b"),
    "A is a vector of another length": ({"A": [1, 2, 3]}, "/b"),
    "ragged A": ({"A": [[1, 2], [3]]}, "/A/1"),
    "words in A": ({"A": [["a"]]}, "/A/0/0"),
    "not finite": ({"b": [1e400] * 12}, "/b/0"),
    "short weights": ({"regulariser": {"weights": [1, 2]}}, "/regulariser/weights"),
    "warm start without intercept": ({"warm_start": [1]}, "/warm_start"),
    "tag": ({"tags": ["x" * 65]}, "/tags/0"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_pointed_at(idle: httpx.Client, name: str) -> None:
    changes, pointer = FAULTS[name]
    text = json.dumps(example() | changes).replace("Infinity", "1e400")
    answer = idle.post("/solve", content=text, headers={"Content-Type": "application/json"})
    problem = refusal(answer, 422)
    assert problem["source"]["pointer"] == pointer, problem
    assert "crimson" not in answer.text


TEN, SQUARE = [[0.5, 1.0]] * 10, [[0.1] * 10] * 10
MISFITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "values of a map": ("attention", {"problem": {"target": "map"}, "B": SQUARE, "A3": TEN}, "/A3"),
    "a map that is not square": ("attention", {"problem": {"target": "map"}}, "/B"),
    "a map over fewer keys": ("attention", {"problem": {"target": "map"}, "A2": TEN[1:], "B": SQUARE}, "/B"),
    "values of other keys": ("attention", {"A3": TEN[1:]}, "/A3"),
    "a mask over other keys": ("attention", {"problem": {"causal": True}, "A2": TEN[1:]}, "/A2"),
    "a start of another shape": ("attention", {"X0": [[1.0, 2.0]]}, "/X0"),
    "rows where there are columns": (
        "gram_power",
        {"problem": {"power": 1, "form": "gram"}, "b": TEN[0] * 9},
        "/b",
    ),
    "columns where there are rows": (
        "gram_power",
        {"problem": {"power": 1, "form": "design"}, "b": [1.0]},
        "/b",
    ),
}


@pytest.mark.parametrize(("kind", "changes", "pointer"), MISFITS.values(), ids=MISFITS)
def test_arrays_that_the_options_rule_out_are_refused_at_once(
    idle: httpx.Client, kind: str, changes: dict[str, Any], pointer: str
) -> None:
    body = example(kind) | {"outputs": []}
    changed = body | changes | {"problem": body["problem"] | changes.get("problem", {})}
    problem = refusal(idle.post("/solve", json=changed), 422)
    assert problem["source"]["pointer"] == pointer, problem


def test_a_map_of_as_many_columns_as_keys_is_taken(idle: httpx.Client) -> None:
    body = example("attention") | {"problem": {"kind": "attention", "target": "map"}, "B": SQUARE}
    assert idle.post("/solve", json=body).status_code == 202


def test_attention_reports_the_loss_of_every_start_and_that_the_best_is_local(working: httpx.Client) -> None:
    generator = np.random.default_rng(1)
    A1, A2, A3, B = (generator.normal(size=(20, 2)).tolist() for _ in range(4))
    body = {"problem": {"kind": "attention", "starts": 4}, "A1": A1, "A2": A2, "A3": A3, "B": B}
    job = working.post("/solve", json=body, headers={"Prefer": "wait=60"}).json()
    result = working.get(f"/jobs/{job['id']}/result").json()
    losses = array(working, result, "losses")
    assert losses.shape == (4,)
    assert np.ptp(losses) > 1e-3 * losses.min()
    assert result["loss"] == pytest.approx(losses.min(), rel=1e-9)
    assert result["certificate"]["scope"] == "local"
    assert any("4 of 4 starts ended" in said and "x is local" in said for said in result["warnings"])


def test_the_length_of_b_is_said_in_words(idle: httpx.Client) -> None:
    problem = refusal(idle.post("/solve", json=example() | {"b": [1, 2, 3]}), 422)
    assert problem["detail"] == "b has length 3, but A has 12 rows."


def test_an_unknown_array_is_404_and_pointed_at(idle: httpx.Client) -> None:
    problem = refusal(idle.post("/solve", json=example() | {"b": UNKNOWN}), 404)
    assert problem["source"]["pointer"] == "/b"


def test_a_missing_array_is_named(idle: httpx.Client) -> None:
    body = example()
    del body["A"]
    assert "needs the array A" in refusal(idle.post("/solve", json=body), 422)["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"problem": NaN}', 400),
        (b'{"a": 1, "a": 2}', 400),
        (b"[" * 200_000, 400),
        (b'{"a": ' + b"9" * 5000 + b"}", 400),
        (b"\xff\xfe{}", 400),
        (b"[]", 422),
        (b"null", 422),
    ],
)
def test_what_is_not_a_json_object(idle: httpx.Client, body: bytes, status: int) -> None:
    refusal(idle.post("/solve", content=body, headers={"Content-Type": "application/json"}), status)


def test_broken_json_says_where(idle: httpx.Client) -> None:
    answer = idle.post("/solve", content=b'{\n "A": ]', headers={"Content-Type": "application/json"})
    assert refusal(answer, 400)["source"] == {"line": 2, "column": 7}


def test_a_body_past_the_limit(idle: httpx.Client) -> None:
    padding = b" " * 1_000_001
    json_type = {"Content-Type": "application/json"}
    assert refusal(idle.post("/solve", content=padding, headers=json_type), 413)["source"] == {
        "limit": 1_000_000
    }
    pieces = (padding[:1000] for _ in range(1100))
    refusal(idle.post("/solve", content=pieces, headers=json_type), 413)
    refusal(idle.post("/solve", files={"spec": (None, padding, "application/json")}), 413)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_a_body_of_another_kind(idle: httpx.Client, headers: dict[str, str]) -> None:
    refusal(idle.post("/solve", content=b"{}", headers=headers), 415)


def form(*parts: tuple[str, str]) -> bytes:
    lines = [f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in parts]
    return ("".join(lines) + "--x--\r\n").encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(("A", "1")), 422),
        (form(("spec", "{}"), ("spec", "{}")), 422),
        (form(("spec", "{}"), ("A", "1"), ("A", "1")), 422),
        (form(("spec", "{}"), ("weights", "1"), ("w", "1")), 422),
        (form(("spec", "{}"), ("../../etc/passwd", "1")), 422),
        (form(("spec", '{"A": [[1]]}'), ("A", "1")), 422),
        (form(("spec", '{"regulariser": 1}'), ("w", "1")), 422),
        (form(("spec", "{}"))[:-6], 400),
        (b"nothing of the kind", 400),
        (b"", 400),
    ],
)
def test_a_form_that_is_wrong(idle: httpx.Client, body: bytes, status: int) -> None:
    answer = idle.post("/solve", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    refusal(answer, status)
    assert "passwd" not in answer.text


def test_a_form_without_a_boundary(idle: httpx.Client) -> None:
    refusal(idle.post("/solve", content=b"--", headers={"Content-Type": "multipart/form-data"}), 400)


def test_a_part_says_its_place(idle: httpx.Client) -> None:
    spec = {k: v for k, v in example().items() if k not in ("A", "b")}
    bad = "%%MatrixMarket matrix array real general\n2 1\n1.0\n1,5\n"
    files: dict[str, Any] = {
        "spec": (None, json.dumps(spec)),
        "A": ("A.mtx", bad, "text/x-matrix-market"),
        "b": ("b.npy", npy([1, 2])),
    }
    problem = refusal(idle.post("/solve", files=files), 422)
    assert problem["source"]["part"] == "A"
    assert problem["source"]["line"] == 4


def test_tags_and_kind_are_in_the_job(idle: httpx.Client) -> None:
    job = submit(idle, tags=["sweep-3"])
    assert (job["tags"], job["kind"], job["shapes"]["A"]) == (["sweep-3"], "hyperbolic", [12, 1])
