"""Uploads: streamed, named by digest, bounded, and deleted only when nobody needs them."""

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
import scipy.io
import scipy.sparse

from tests.service.conftest import Service, example, refusal, running_service, running_valkey, submit

MATRIX = scipy.sparse.csr_array([[1.0, 0, 2.5], [0, 0, -1]])


def mtx() -> bytes:
    file = io.BytesIO()
    scipy.io.mmwrite(file, MATRIX)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    scipy.sparse.save_npz(file, MATRIX)
    return file.getvalue()


def arrow() -> bytes:
    file, matrix = io.BytesIO(), MATRIX.tocoo()
    table = pa.table({"row": matrix.row, "col": matrix.col, "value": matrix.data})
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


COORDINATES = {"shape": [2, 3], "row": [0, 0, 1], "col": [0, 2, 2], "value": [1.0, 2.5, -1]}
UPLOADS = {
    "mtx": ({"Content-Type": "text/x-matrix-market"}, {}, mtx()),
    "mtx.gz": (
        {"Content-Type": "text/x-matrix-market", "Content-Encoding": "gzip"},
        {},
        gzip.compress(mtx()),
    ),
    "npz": ({"Content-Type": "application/x-npz"}, {}, npz()),
    "json": ({"Content-Type": "application/json"}, {}, json.dumps(COORDINATES).encode()),
    "arrow": (
        {"Content-Type": "application/vnd.apache.arrow.file; rows=2; columns=3"},
        {},
        arrow(),
    ),
    "arrow by query": ({}, {"format": "arrow", "rows": 2, "columns": 3}, arrow()),
    "curl": ({"Content-Type": "application/x-www-form-urlencoded"}, {"format": "mtx"}, mtx()),
}


def test_one_matrix_in_every_format_is_one_array(idle: httpx.Client) -> None:
    answers = [
        idle.post("/arrays", content=body, headers=headers, params=query)
        for headers, query, body in UPLOADS.values()
    ]
    assert [answer.status_code for answer in answers] == [201] + [200] * (len(UPLOADS) - 1)
    (location,) = {answer.headers["location"] for answer in answers}
    info = idle.get(location).json()
    assert (info["shape"], info["nnz"], info["format"], info["empty_columns"]) == ([2, 3], 3, "csr", 1)
    assert info == answers[0].json()


SVMLIGHT = b"1.5 1:1 3:2.5 # the first\n-2 3:-1\n"


def test_an_svmlight_file_is_two_arrays(idle: httpx.Client) -> None:
    headers = {"Content-Type": "text/x-svmlight"}
    answer = idle.post("/arrays", content=SVMLIGHT, headers=headers)
    arrays = answer.json()["arrays"]
    assert (answer.status_code, list(arrays)) == (201, ["A", "b"])
    assert answer.headers["location"] == f"/arrays/{arrays['A']['id']}"
    assert idle.post("/arrays", content=mtx(), params={"format": "mtx"}).json() == arrays["A"]
    assert (arrays["b"]["shape"], arrays["b"]["format"]) == ([2], "dense")
    again = idle.post("/arrays", content=SVMLIGHT, headers=headers)
    assert (again.status_code, again.json()) == (200, answer.json())


def test_what_an_svmlight_file_leaves_open_is_said_by_parameter(idle: httpx.Client) -> None:
    query = {"format": "svmlight", "index_base": 0, "columns": 9}
    answer = idle.post("/arrays", content=b"1 qid:2 0:4\n", params=query)
    arrays = answer.json()["arrays"]
    assert list(arrays) == ["A", "b", "groups"]
    assert arrays["A"]["shape"] == [1, 9]
    typed = {"Content-Type": "text/x-svmlight; index_base=0; columns=9"}
    assert idle.post("/arrays", content=b"1 qid:2 0:4\n", headers=typed).json() == answer.json()


@pytest.mark.parametrize(
    ("query", "content_type"),
    [
        ({"format": "npy", "columns": 3}, None),
        ({"format": "svmlight", "rows": 3}, None),
        ({"format": "svmlight", "index_base": 2}, None),
        ({"format": "svmlight", "columns": 0}, None),
        ({}, "text/x-svmlight; columns=many"),
        ({}, "text/x-svmlight; columns=3; columns=4"),
        ({"columns": 4}, "text/x-svmlight; columns=3"),
        ({}, "application/x-npy; columns=3"),
    ],
)
def test_an_option_out_of_place_is_refused(
    idle: httpx.Client, query: dict[str, str | int], content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    refusal(idle.post("/arrays", content=SVMLIGHT, params=query, headers=headers), 422)


def test_a_chunked_upload(idle: httpx.Client) -> None:
    file = io.BytesIO()
    np.save(file, np.arange(1.0, 500_001.0))
    body = file.getvalue()
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    answer = idle.post("/arrays", content=pieces, headers={"Content-Type": "application/x-npy"})
    assert (answer.status_code, answer.json()["shape"]) == (201, [500_000])


def test_duplicates_are_summed_on_request(idle: httpx.Client) -> None:
    twice = b"%%MatrixMarket matrix coordinate real general\n1 1 2\n1 1 1.5\n1 1 2.5\n"
    headers = {"Content-Type": "text/x-matrix-market"}
    refusal(idle.post("/arrays", content=twice, headers=headers), 422)
    summed = idle.post("/arrays", content=twice, headers=headers, params={"duplicates": "sum"})
    assert (summed.status_code, summed.json()["nnz"]) == (201, 1)


@pytest.mark.parametrize(
    ("headers", "query", "body", "status"),
    [
        ({"Content-Type": "application/x-hdf5"}, {}, b"\x89HDF", 415),
        ({}, {}, b"1", 415),
        ({"Content-Type": "application/x-npy", "Content-Encoding": "br"}, {}, b"1", 415),
        ({"Content-Type": "application/x-npy"}, {}, b"nonsense", 422),
        ({"Content-Type": "application/x-npy"}, {}, b"", 422),
        ({"Content-Type": "application/x-npy"}, {"format": "hdf5"}, b"1", 422),
    ],
)
def test_an_upload_refused(
    idle: httpx.Client, headers: dict[str, str], query: dict[str, str], body: bytes, status: int
) -> None:
    refusal(idle.post("/arrays", content=body, headers=headers, params=query), status)


def test_a_fault_in_a_file_has_its_place(idle: httpx.Client) -> None:
    bad = b"%%MatrixMarket matrix coordinate real general\n2 2 1\n1 1 1,5\n"
    problem = refusal(
        idle.post("/arrays", content=bad, headers={"Content-Type": "text/x-matrix-market"}), 422
    )
    assert problem["source"]["line"] == 3
    assert "1,5" not in json.dumps(problem["source"])


def test_a_body_of_unsaid_length(idle: httpx.Client) -> None:
    request = idle.build_request("POST", "/arrays", headers={"Content-Type": "application/x-npy"})
    request.headers.pop("content-length", None)
    refusal(idle.send(request), 411)


@pytest.fixture(scope="module")
def small_service(service_root: Path) -> Iterator[Service]:
    with running_valkey() as valkey:
        small = {"upload_bytes": 10_000, "queued_jobs": 1}
        with running_service(service_root / "small", valkey.url, **small) as service:
            yield service


@pytest.mark.parametrize("size", [10_001, 30_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_past_the_limit(small_service: Service, size: int, chunked: bool) -> None:
    body = bytes(size)
    content = (body[start : start + 5000] for start in range(0, size, 5000)) if chunked else body
    with small_service.client() as client:
        answer = client.post("/arrays", content=content, headers={"Content-Type": "application/x-npy"})
        assert refusal(answer, 413)["source"] == {"limit": 10_000}
    assert list((small_service.data_dir / "incoming").iterdir()) == []


def test_a_full_queue_says_try_later(small_service: Service) -> None:
    with small_service.client() as client:
        submit(client)
        answer = client.post("/solve", json=example())
        assert refusal(answer, 503)["type"].endswith("queue-full")
        assert int(answer.headers["retry-after"]) > 0


def test_an_array_that_a_job_needs_stays(idle: httpx.Client) -> None:
    job = submit(idle, b=[float(k) for k in range(1, 13)])
    array_id = job["inputs"]["b"]
    refusal(idle.delete(f"/arrays/{array_id}"), 409)
    idle.post(f"/jobs/{job['id']}/cancel")
    assert idle.delete(f"/arrays/{array_id}").status_code == 204
    refusal(idle.get(f"/arrays/{array_id}"), 404)
    refusal(idle.delete(f"/arrays/{array_id}"), 404)


@pytest.mark.parametrize("array_id", ["sha256:" + "0" * 64, "sha256:..", "..%2f..%2fetc%2fpasswd"])
def test_no_such_array(idle: httpx.Client, array_id: str) -> None:
    refusal(idle.get(f"/arrays/{array_id}"), 404)
