"""The array store: one canonical form, one digest, complete or absent."""

import fcntl
import hashlib
import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from newtond.contract.errors import InvalidArray, NotFound, QuotaExceeded
from newtond.store.arrays import ArrayStore


@pytest.fixture
def store(tmp_path):
    return ArrayStore(tmp_path / "arrays")


def put(store, matrix):
    matrix = sp.csr_array(matrix)
    return store.put_csr(matrix.shape, matrix.indptr, matrix.indices, matrix.data)


def client_digest(matrix):
    """What a client writes to know the id before it uploads."""
    if sp.issparse(matrix):
        parts = {
            "indptr": matrix.indptr.astype("<i8"),
            "indices": matrix.indices.astype("<i4"),
            "data": matrix.data,
        }
        header = {"data": "<f8", "format": "csr", "indices": "<i4", "indptr": "<i8"}
    else:
        parts, header = {"data": np.ascontiguousarray(matrix, "<f8")}, {"data": "<f8", "format": "dense"}
    line = json.dumps(header | {"shape": list(matrix.shape)}, sort_keys=True, separators=(",", ":")) + "\n"
    return (
        "sha256:" + hashlib.sha256(line.encode() + b"".join(p.tobytes() for p in parts.values())).hexdigest()
    )


MATRIX = sp.csr_array(np.array([[0.0, 2.5, 0.0], [0.0, 0.0, 0.0], [-1e-320, 3.0, 0.0]]))


def test_a_sparse_matrix_comes_back_bit_for_bit(store):
    info, created = put(store, MATRIX)
    stored = store.open(info.id)
    assert created
    assert (info.format, info.shape, info.nnz, info.empty_columns) == ("csr", (3, 3), 3, 1)
    assert [part.dtype.str for part in stored.parts.values()] == ["<i8", "<i4", "<f8"]
    back = sp.csr_array((stored.parts["data"], stored.parts["indices"], stored.parts["indptr"]), info.shape)
    assert np.array_equal(back.toarray(), MATRIX.toarray())
    assert not stored.parts["data"].flags.writeable


@pytest.mark.parametrize(
    "array", [np.arange(3.0), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array([[-0.0]])]
)
def test_a_dense_array_comes_back_in_c_order(store, array):
    info, _ = store.put_dense(array)
    data = store.open(info.id).parts["data"]
    assert data.flags.c_contiguous
    assert data.tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("array", [MATRIX, np.arange(4.0), np.eye(3), sp.csr_array((2, 5))])
def test_the_id_is_the_digest_that_a_client_computes(store, array):
    info, _ = put(store, array) if sp.issparse(array) else store.put_dense(array)
    assert info.id == client_digest(array)


def test_the_same_content_twice_is_one_array(store):
    assert put(store, MATRIX)[1]
    assert not put(store, MATRIX.copy())[1]
    assert len(list(store.root.iterdir())) == 2


LARGE = np.arange(2.0**20)


def test_a_large_array_is_hashed_while_it_is_written_and_is_the_same(store):
    info, created = store.put_dense(LARGE)
    assert (info.id, created) == (client_digest(LARGE), True)
    assert np.array_equal(store.open(info.id).parts["data"], LARGE)
    assert store.put_dense(LARGE) == (info, False)
    assert list(store._incoming.iterdir()) == []


def test_a_large_array_past_its_room_is_refused_and_one_that_is_there_is_not(store):
    narrow = ArrayStore(store.root, room=LARGE.nbytes - 1)
    with pytest.raises(QuotaExceeded):
        narrow.put_dense(LARGE)
    assert list(store.root.iterdir()) == [store._incoming]
    assert list(store._incoming.iterdir()) == []
    info, _ = store.put_dense(LARGE)
    assert narrow.put_dense(LARGE) == (info, False)
    whole = ArrayStore(store.root, room=LARGE.nbytes)
    assert whole.put_dense(-LARGE)[1]
    with pytest.raises(QuotaExceeded):
        whole.put_dense(np.arange(2.0))


def test_a_part_is_a_plain_npy_file(store):
    info, _ = store.put_dense(np.arange(5.0))
    assert np.array_equal(np.load(store.path(info.id, "data")), np.arange(5.0))
    with pytest.raises(NotFound):
        store.path(info.id, "indptr")


def test_integers_and_booleans_become_doubles_exactly(store):
    info, _ = store.put_dense(np.array([True, False]))
    assert store.open(info.id).parts["data"].tolist() == [1.0, 0.0]
    assert store.put_dense(np.array([2**53, -(2**53)]))[0].dtype == "float64"
    with pytest.raises(InvalidArray, match="exactly"):
        store.put_dense(np.array([2**53 + 1]))


@pytest.mark.parametrize(
    ("shape", "indptr", "indices", "data", "words"),
    [
        ((2, 3), [0, 1], [0], [1.0], "2 rows need 3"),
        ((2, 3), [1, 1, 1], [0], [1.0], "goes from 1"),
        ((2, 3), [0, 1, 2], [0], [1.0], "to 2, not from 0 to 1"),
        ((2, 3), [0, 2, 1], [0], [1.0], "falls at row 1"),
        ((1, 3), [0, 1], [3], [1.0], "Entry 0: the column index"),
        ((1, 3), [0, 1], [-1], [1.0], "Entry 0: the column index"),
        ((1, 3), [0, 2], [1, 0], [1.0, 1.0], "Entry 1: columns do not rise"),
        ((1, 3), [0, 2], [1, 1], [1.0, 1.0], "Entry 1: columns do not rise"),
        ((1, 3), [0, 1], [1], [np.inf], "not finite"),
        ((1, 3), [0, 1], [1], [0.0], "explicit zero"),
        ((1, 3), [0, 1], [1, 2], [1.0], "2 indices and 1 values"),
        ((0, 3), [0], [], [], "no entries"),
        ((1, 3), [0.5, 1], [1], [1.0], "not one of int64"),
    ],
)
def test_what_is_not_canonical_is_refused(store, shape, indptr, indices, data, words):
    with pytest.raises(InvalidArray, match=words):
        store.put_csr(shape, np.array(indptr), np.array(indices, dtype=np.int64), np.array(data))
    assert list(store._incoming.iterdir()) == []


@pytest.mark.parametrize("array", [np.zeros((2, 2, 2)), np.zeros((0, 3)), np.array(1.0), np.array(["a"])])
def test_what_is_no_array_of_numbers_is_refused(store, array):
    with pytest.raises(InvalidArray):
        store.put_dense(array)


def test_the_first_value_that_is_not_finite_is_named(store):
    with pytest.raises(InvalidArray) as refusal:
        store.put_dense(np.array([[1.0, 2.0], [np.nan, np.inf]]))
    assert refusal.value.source == {"entry": [1, 0]}


@pytest.mark.parametrize("id", ["sha256:" + "0" * 64, "../../etc/passwd", "incoming", "sha256:" + "A" * 64])
def test_an_id_that_is_not_there_is_not_found(store, id):
    for ask in (store.info, store.open, store.path, store.delete):
        with pytest.raises(NotFound):
            ask(id)


def test_a_deleted_array_is_gone_and_a_mapped_one_is_still_read(store):
    info, _ = store.put_dense(np.arange(4.0))
    mapped = store.open(info.id)
    store.delete(info.id)
    assert not store.exists(info.id)
    assert mapped.parts["data"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("vector", [np.arange(3.0), np.arange(3.0)[:, None], np.arange(3.0)[None, :]])
def test_a_column_or_a_row_is_a_vector(store, vector):
    ids = [store.put_dense(vector)[0].id]
    if vector.ndim == 2:
        ids.append(put(store, vector)[0].id)
    for id in ids:
        assert store.open(id).as_vector().tolist() == [0, 1, 2]
    with pytest.raises(InvalidArray, match="2 x 2"):
        store.open(store.put_dense(np.eye(2))[0].id).as_vector()


@given(
    st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
        min_size=1,
        max_size=9,
    )
)
def test_column_norms_neither_overflow_nor_vanish(tmp_path_factory, rows):
    dense = np.array(rows)
    matrix = sp.csr_array(dense)
    store = ArrayStore(tmp_path_factory.mktemp("arrays"))
    info, _ = put(store, matrix)
    with np.errstate(over="ignore"):
        exact = np.array([float(np.hypot.reduce(column)) if column.any() else 0.0 for column in dense.T])
    if info.column_norms is None:
        assert not (exact < 1e308).all()
    else:
        assert np.allclose(info.column_norms, exact, rtol=1e-14, atol=1e-322)
    assert info.empty_columns == int((dense == 0).all(axis=0).sum())


def test_many_columns_are_counted_and_their_norms_left_out(store):
    info, _ = put(store, sp.csr_array(([1.0], ([0], [10_000])), shape=(1, 10_001)))
    assert info.column_norms is None
    assert info.empty_columns == 10_000


def test_row_starts_are_found_across_chunks(store):
    matrix = sp.random_array((3000, 1000), density=0.5, rng=np.random.default_rng(0), format="csr")
    assert put(store, matrix)[0].nnz == matrix.nnz


def put_and_report(root, barrier, answers):
    barrier.wait()
    answers.put(ArrayStore(root).put_dense(np.arange(200_000.0))[1])


def test_concurrent_writers_of_one_content_leave_one_array(store):
    spawn = multiprocessing.get_context("fork")
    barrier, answers = spawn.Barrier(4), spawn.Queue()
    writers = [spawn.Process(target=put_and_report, args=(store.root, barrier, answers)) for _ in range(4)]
    for writer in writers:
        writer.start()
    created = [answers.get(timeout=30) for _ in writers]
    for writer in writers:
        writer.join()
    assert sorted(created) == [False, False, False, True]
    assert list(store._incoming.iterdir()) == []


def test_what_a_killed_writer_left_is_swept_and_a_living_writer_is_left_alone(store):
    dead, living = store._incoming / "dead", store._incoming / "living"
    for directory in (dead, living):
        (directory / "array").mkdir(parents=True)
        (directory / "array" / "data.npy").write_bytes(b"half")
    lock = os.open(living, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert store.sweep() == 1
    assert (dead.exists(), living.exists()) == (False, True)
    os.close(lock)
    assert store.sweep() == 1


def test_a_directory_without_meta_does_not_exist(store):
    Path(store.root / ("0" * 64)).mkdir()
    assert not store.exists("sha256:" + "0" * 64)


def test_what_is_computed_of_an_array_is_kept_beside_it_and_lost_with_it(store: ArrayStore) -> None:
    info, _ = put(store, sp.random_array((20, 5), density=0.4, rng=np.random.default_rng(0), format="csr"))
    assert store.beside(info.id, "counts-1") is None
    store.keep_beside(info.id, "counts-1", {"products": np.arange(5.0)})
    kept = store.beside(info.id, "counts-1")
    assert kept is not None
    np.testing.assert_array_equal(kept["products"], np.arange(5.0))
    file = next(store.root.rglob("counts-1.npz"))
    file.write_bytes(file.read_bytes()[:-20])
    assert store.beside(info.id, "counts-1") is None
    store.delete(info.id)
    store.keep_beside(info.id, "counts-1", {"products": np.arange(5.0)})
    assert not list(store.root.rglob("counts-1.npz"))
