"""The digest that the client computes is the one that the server stores under."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from newtond_client.canonical import Canonical, canonical
from newtond_client.errors import InvalidInput
from newtond_client.sources import File, read_file

from newtond.store.arrays import ArrayStore

GENERATOR = np.random.default_rng(3)
DENSE = GENERATOR.normal(size=(7, 4))
SPARSE = scipy.sparse.random(50, 30, density=0.1, format="csr", rng=3)


def unsorted() -> Any:
    """A CSR matrix with falling columns, a pair that sums to zero, a duplicate and an explicit zero."""
    indices, values = [3, 1, 1, 2, 0, 0], [1.0, 2.0, 0.5, 0.0, 1.0, -1.0]
    return scipy.sparse.csr_matrix((values, indices, [0, 4, 6]), shape=(2, 4))


@pytest.mark.parametrize(
    "value",
    [
        DENSE,
        DENSE.T,
        DENSE[:, 0],
        DENSE[::2],
        np.asfortranarray(DENSE),
        DENSE.astype(">f8"),
        DENSE.astype(np.float32),
        np.arange(12).reshape(3, 4),
        np.array([True, False]),
        [[1, 2], [3, 4.5]],
        np.array([-0.0, 0.0, 5e-324]),
        SPARSE,
        SPARSE.tocsc(),
        SPARSE.tocoo(),
        scipy.sparse.csr_array(SPARSE),
        SPARSE.astype(np.float32),
        scipy.sparse.eye(5, format="dia"),
        scipy.sparse.csr_matrix((3, 4)),
        unsorted(),
    ],
    ids=repr,
)
def test_the_digest_is_the_servers(value: Any, tmp_path: Path) -> None:
    ours = canonical(value)
    store = ArrayStore(tmp_path)
    if ours.format == "dense":
        stored, _ = store.put_dense(np.asarray(value))
    else:
        expected = value.tocsr().copy()
        expected.sum_duplicates()
        expected.eliminate_zeros()
        stored, _ = store.put_csr(expected.shape, expected.indptr, expected.indices, expected.data)
    assert ours.digest() == stored.id


def test_what_was_given_is_left_alone() -> None:
    given = unsorted()
    canonical(given)
    assert given.indices.tolist() == [3, 1, 1, 2, 0, 0]


@pytest.mark.parametrize("value", [DENSE, SPARSE], ids=["dense", "sparse"])
def test_the_body_is_the_file_and_can_be_read_again(value: Any) -> None:
    body = canonical(value).body()
    first = b"".join(body)
    assert first == b"".join(body)
    assert len(first) == body.size
    file = io.BytesIO(first)
    back = np.load(file) if value is DENSE else scipy.sparse.load_npz(file)
    assert abs(back - value).max() == 0


@pytest.mark.parametrize("value", [DENSE, SPARSE, unsorted()], ids=["dense", "sparse", "unsorted"])
def test_products(value: Any) -> None:
    x = GENERATOR.normal(size=(value.shape[1], 3))
    assert canonical(value).dot(x[:, 0]) == pytest.approx(value @ x[:, 0], rel=1e-14)
    assert canonical(value).dot(x) == pytest.approx(value @ x, rel=1e-14)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.array([[1.0, np.nan]]), r"A: the value at \[0, 1\] is not finite"),
        (np.array([[1.0 + 1j]]), "A holds complex128"),
        (np.array(["a"]), "not real numbers"),
        (np.zeros((0, 3)), "none empty"),
        (np.zeros((2, 2, 2)), "one or two dimensions"),
        (3.0, "one or two dimensions"),
        (np.array([2**60 + 1]), "past 2"),
        (scipy.sparse.csr_matrix([[0.0, np.inf]]), "a value in row 0 is not finite"),
        (scipy.sparse.csr_matrix((0, 3)), "none empty"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_place(value: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        canonical(value, "A")


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_files_of_scipy(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "A.npz"
    scipy.sparse.save_npz(path, SPARSE.asformat(layout))
    read = read_file(path)
    assert isinstance(read, Canonical)
    assert read.digest() == canonical(SPARSE).digest()


def test_a_csr_file_that_is_not_canonical(tmp_path: Path) -> None:
    path = tmp_path / "A.npz"
    scipy.sparse.save_npz(path, unsorted())
    read = read_file(path)
    assert isinstance(read, Canonical)
    assert read.digest() == canonical(unsorted()).digest()


def test_a_hostile_file_is_refused_before_scipy_multiplies(tmp_path: Path) -> None:
    path = tmp_path / "A.npz"
    parts = {"indptr": [0, 1], "indices": [9], "data": [1.0], "shape": [1, 2], "format": b"csr"}
    np.savez(path, **{name: np.array(part) for name, part in parts.items()})
    with pytest.raises(InvalidInput, match="no sparse matrix"):
        read_file(path)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "A.mtx.gz").write_bytes(b"")
    assert read_file(tmp_path / "A.mtx.gz") == File(tmp_path / "A.mtx.gz", "text/x-matrix-market", "gzip")
    with pytest.raises(InvalidInput, match="There is no file"):
        read_file(tmp_path / "missing.npy")
    (tmp_path / "A.mat").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"A\.mat: arrays are read from \.npy"):
        read_file(tmp_path / "A.mat")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object))
    with pytest.raises(InvalidInput, match="allow_pickle"):
        read_file(tmp_path / "o.npy")
