"""Results: one resource, its arrays in five formats, by range, and gone when deleted."""

import csv
import io
from collections.abc import Iterator

import httpx
import numpy as np
import pyarrow as pa
import pytest
import scipy.io

from tests.service.conftest import Service, example, finish, refusal, submit


@pytest.fixture(scope="module")
def job_id(working_service: Service) -> Iterator[str]:
    with working_service.client() as client:
        yield finish(client, submit(client, tags=["results"])["id"])["id"]


def fetch(client: httpx.Client, job_id: str, name: str = "x", **headers: str) -> httpx.Response:
    return client.get(f"/jobs/{job_id}/result/{name}", headers=headers)


def test_the_result_links_to_its_arrays(working: httpx.Client, job_id: str) -> None:
    job = working.get(f"/jobs/{job_id}").json()
    answer = working.get(job["links"]["result"])
    arrays = answer.json()["arrays"]
    assert set(arrays) == {"x", "fitted", "residual"}
    for array in arrays.values():
        assert list(np.load(io.BytesIO(working.get(array["href"]).content)).shape) == array["shape"]
    again = working.get(job["links"]["result"], headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["x", "fitted"])
def test_five_formats_say_the_same_bits(working: httpx.Client, job_id: str, name: str) -> None:
    exact = np.load(io.BytesIO(fetch(working, job_id, name).content))
    body = fetch(working, job_id, name, Accept="application/json").json()
    assert np.array_equal(body["values"], exact)
    market = fetch(working, job_id, name, Accept="text/x-matrix-market").content
    assert np.array_equal(scipy.io.mmread(io.BytesIO(market)).ravel(), exact)
    file = fetch(working, job_id, name, Accept="application/vnd.apache.arrow.file").content
    table = pa.ipc.open_file(io.BytesIO(file)).read_all()
    assert np.array_equal(table.column(name).to_numpy(), exact)
    assert working.post("/arrays", content=file, params={"format": "arrow"}).json()["shape"] == list(
        exact.shape
    )
    rows = list(csv.reader(io.StringIO(fetch(working, job_id, name, Accept="text/csv").text)))
    assert np.array_equal([float(value) for _, value in rows[1:]], exact)
    assert rows[0] == (["name", "x"] if name == "x" else ["row", "fitted"])


def test_columns_keep_their_names(working: httpx.Client, job_id: str) -> None:
    assert "decades since 1790," in fetch(working, job_id, Accept="text/csv").text
    assert fetch(working, job_id, Accept="application/json").json()["names"] == ["decades since 1790"]


def test_each_representation_has_its_tag(working: httpx.Client, job_id: str) -> None:
    kinds = ("application/x-npy", "text/x-matrix-market", "text/csv", "application/json")
    kinds += ("application/vnd.apache.arrow.file",)
    tags = [fetch(working, job_id, Accept=kind).headers["etag"] for kind in kinds]
    assert len(set(tags)) == 5
    for kind, tag in zip(kinds, tags, strict=True):
        assert fetch(working, job_id, Accept=kind, **{"If-None-Match": tag}).status_code == 304


def test_a_download_goes_on_where_it_stopped(working: httpx.Client, job_id: str) -> None:
    whole = fetch(working, job_id, "fitted")
    assert whole.headers["accept-ranges"] == "bytes"
    first = fetch(working, job_id, "fitted", Range="bytes=0-99")
    rest = fetch(working, job_id, "fitted", Range="bytes=100-", **{"If-Range": whole.headers["etag"]})
    assert first.status_code == rest.status_code == 206
    assert first.headers["content-range"] == f"bytes 0-99/{len(whole.content)}"
    assert first.content + rest.content == whole.content
    changed = fetch(working, job_id, "fitted", Range="bytes=100-", **{"If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole.content)


def test_no_such_bytes(working: httpx.Client, job_id: str) -> None:
    answer = fetch(working, job_id, Range="bytes=100000-")
    refusal(answer, 416)
    assert answer.headers["content-range"].startswith("bytes */")


def test_no_such_array_or_representation(working: httpx.Client, job_id: str) -> None:
    refusal(fetch(working, job_id, "y"), 404)
    refusal(fetch(working, job_id, Accept="image/png"), 406)


def test_standard_errors_of_a_coupled_loss_and_of_a_layer(working: httpx.Client) -> None:
    rng = np.random.default_rng(6)
    labels, A = np.repeat(np.arange(8.0), 4), rng.normal(size=(32, 2))
    shares = np.exp(A @ [0.7, -0.4]).reshape(8, 4)
    shares = shares / shares.sum(axis=1, keepdims=True) + 0.05 * rng.normal(size=(8, 4))
    softmax = {"problem": {"kind": "softmax"}, "A": A, "b": shares.ravel(), "groups": labels}
    A1 = rng.normal(size=(12, 2))
    B = rng.dirichlet(np.ones(12), size=12)
    layer = {"problem": {"kind": "attention", "target": "map", "starts": 1, "ridge_x": 0.1}, "A1": A1, "B": B}
    for body, shapes in (
        (softmax, {"standard_errors": [2], "sandwich_errors": [2]}),
        (layer, {"standard_errors_X": [2, 2], "sandwich_errors_X": [2, 2]}),
    ):
        listed = working.get(f"/problems/{body['problem']['kind']}").json()
        assert "standard_errors" in listed["outputs"]
        sent = {
            name: np.asarray(given).tolist() if name != "problem" else given for name, given in body.items()
        }
        answer = working.post("/solve", json=sent | {"outputs": ["standard_errors"]})
        job = finish(working, answer.json()["id"])
        arrays = working.get(job["links"]["result"]).json()["arrays"]
        assert {name: arrays[name]["shape"] for name in shapes} == shapes
        for name in shapes:
            assert arrays[name]["meaning"] == listed["results"][name]["meaning"]
            assert (np.load(io.BytesIO(working.get(arrays[name]["href"]).content)) > 0.0).all()


@pytest.mark.parametrize("kind", ["attention_kernel", "gram_power"])
def test_no_standard_errors_where_they_mean_nothing(working: httpx.Client, kind: str) -> None:
    entry = working.get(f"/problems/{kind}").json()
    assert "standard_errors" not in entry["outputs"]
    answer = working.post("/solve", json=example(kind) | {"outputs": ["standard_errors"]})
    assert entry["refuses"]["standard_errors"] in refusal(answer, 422)["detail"]


def test_what_was_deleted_is_gone(working: httpx.Client) -> None:
    job_id = finish(working, submit(working, intercept=False)["id"])["id"]
    array_id = working.get(f"/jobs/{job_id}/result").json()["arrays"]["x"]["id"]
    assert working.delete(f"/arrays/{array_id}").status_code == 204
    refusal(working.get(f"/jobs/{job_id}/result"), 410)
    refusal(fetch(working, job_id), 410)
    assert fetch(working, job_id, "fitted").status_code == 200


def test_a_plan_has_no_result(working: httpx.Client) -> None:
    answer = working.post("/solve", params={"dry_run": True}, json=example())
    refusal(working.get(answer.headers["location"] + "/result"), 409)
