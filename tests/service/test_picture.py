"""The picture of an array: counts of its nonzeros in a grid, exact where it is small, bounded where it is not."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from newtond.contract.array import ArrayPicture
from newtond.store.arrays import ArrayStore
from service.picture import BAND_ENTRIES, CELLS, picture
from tests.service.conftest import npy, refusal


@pytest.fixture
def store(tmp_path: Path) -> ArrayStore:
    return ArrayStore(tmp_path / "arrays")


def pictured(store: ArrayStore, array: Any) -> ArrayPicture:
    if sparse.issparse(array):
        csr = array.tocsr()
        csr.sort_indices()
        info, _ = store.put_csr(csr.shape, csr.indptr, csr.indices, csr.data)
    else:
        info, _ = store.put_dense(array)
    return picture(store.open(info.id), info.nnz)


def counted(array: NDArray[Any], found: ArrayPicture) -> list[list[int]]:
    """Count again, cell by cell."""
    rows, columns = found.rows, found.columns
    return [
        [
            int(np.count_nonzero(array[rows[i] : rows[i + 1], columns[j] : columns[j + 1]]))
            for j in range(len(columns) - 1)
        ]
        for i in range(len(rows) - 1)
    ]


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (128, 129), (1000, 7), (301, 517)])
@pytest.mark.parametrize("stored", ["sparse", "dense"])
def test_small_arrays_are_counted_exactly(store: ArrayStore, shape: tuple[int, int], stored: str) -> None:
    generator = np.random.default_rng(3)
    array = np.where(generator.random(shape) < 0.1, 1.5, 0.0)
    array[0, 0] = 1.0
    found = pictured(store, sparse.csr_array(array) if stored == "sparse" else array)
    assert found.exact
    assert found.shape == shape
    assert found.counts == counted(array, found)
    assert sum(map(sum, found.counts)) == found.nnz
    assert (found.rows[0], found.rows[-1], found.columns[0], found.columns[-1]) == (0, shape[0], 0, shape[1])
    assert len(found.counts) <= CELLS
    assert len(found.counts[0]) <= CELLS


def test_a_vector_is_one_column(store: ArrayStore) -> None:
    found = pictured(store, np.array([1.0, 0.0, 2.0]))
    assert (found.shape, found.counts) == ((3, 1), [[1], [0], [1]])


def test_a_long_sparse_matrix_is_sampled_evenly(store: ArrayStore) -> None:
    """Half of the columns hold nine entries of ten; every band has far more than its share."""
    rows, columns = CELLS * 2000, 200
    generator = np.random.default_rng(5)
    left = generator.random((rows, 27)) < 1 / 3
    indices = np.sort(
        np.where(left, generator.integers(0, 100, (rows, 27)), generator.integers(100, 200, (rows, 27)))
    )
    matrix = sparse.csr_array(
        (np.ones(rows * 27), indices.ravel(), np.arange(rows + 1) * 27), shape=(rows, columns)
    )
    matrix.sum_duplicates()
    found = pictured(store, matrix)
    assert not found.exact
    assert found.seen <= CELLS * BAND_ENTRIES
    counts = np.array(found.counts)
    assert counts.sum() == pytest.approx(matrix.nnz, rel=0.01)
    truth = matrix[:, :100].nnz
    assert counts[:, :64].sum() == pytest.approx(truth, rel=0.02)


def test_a_large_dense_matrix_is_looked_at_a_little(store: ArrayStore) -> None:
    array = np.ones((4000, 3000))
    array[:, 1500:] = 0.0
    found = pictured(store, array)
    assert not found.exact
    assert found.seen <= CELLS * BAND_ENTRIES
    counts = np.array(found.counts)
    assert counts[:, :64].sum() == array.sum()
    assert counts[:, 64:].sum() == 0


def test_it_is_served(idle: httpx.Client) -> None:
    array_id = idle.post(
        "/arrays", content=npy([[0.0, 1.0], [2.0, 0.0]]), headers={"Content-Type": "application/x-npy"}
    ).json()["id"]
    answer = idle.get(f"/arrays/{array_id}/picture")
    assert answer.status_code == 200
    assert answer.json()["counts"] == [[0, 1], [1, 0]]
    refusal(idle.get(f"/arrays/sha256:{'0' * 64}/picture"), 404)
