"""Stored arrays become the engine's inputs without a copy."""

import numpy as np
import pytest
import scipy.sparse as sp

from newtond.contract.errors import InvalidArray, InvalidSpec, NotFound
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr
from newtond.store import DataDirectory
from worker.inputs import load


def spec_of(A: object, b: object, **rest: object) -> SolveSpec:
    problem = {"kind": "hyperbolic", "function": "exp"}
    return SolveSpec.model_validate({"problem": problem, "A": A, "b": b, **rest})


def put_csr(data: DataDirectory, matrix: "sp.csr_array") -> str:
    info, _ = data.arrays.put_csr(matrix.shape, matrix.indptr, matrix.indices, matrix.data)
    return info.id


def test_a_sparse_matrix_is_mapped_part_by_part(data: DataDirectory) -> None:
    matrix = sp.random_array((50, 7), density=0.3, format="csr", rng=np.random.default_rng(1))
    b = data.arrays.put_dense(np.arange(50.0))[0].id
    A = load(spec_of(put_csr(data, matrix), b), data.arrays)["A"]
    assert isinstance(A, Csr)
    assert A.shape == (50, 7)
    assert (A.indptr.dtype, A.indices.dtype, A.data.dtype) == (np.int64, np.int32, np.float64)
    assert np.array_equal(sp.csr_array((A.data, A.indices, A.indptr), A.shape).todense(), matrix.todense())
    for part in (A.indptr, A.indices, A.data):
        assert type(part) is np.ndarray
        assert not part.flags.writeable


def test_a_vector_is_the_one_column_of_a_matrix(data: DataDirectory) -> None:
    values = data.arrays.put_dense(np.arange(4.0))[0].id
    inputs = load(spec_of(values, values), data.arrays)
    assert np.array_equal(np.asarray(inputs["A"]), np.arange(4.0)[:, None])
    assert np.array_equal(np.asarray(inputs["b"]), np.arange(4.0))


def test_vectors_are_flat_however_they_were_stored(data: DataDirectory) -> None:
    A = data.arrays.put_dense(np.ones((4, 2)))[0].id
    values = np.array([1.0, 0.0, 3.0, 0.0])
    column = put_csr(data, sp.csr_array(values[:, None]))
    flat = data.arrays.put_dense(values)[0].id
    inputs = load(spec_of(A, column, row_weights=flat, regulariser={"weights": flat}), data.arrays)
    assert set(inputs) == {"A", "b", "row_weights", "weights"}
    for name in ("b", "row_weights", "weights"):
        assert np.array_equal(inputs[name], values)  # type: ignore[arg-type]
    assert inputs["A"].shape == (4, 2)


def test_what_cannot_be_read_is_said(data: DataDirectory) -> None:
    A = data.arrays.put_dense(np.ones((4, 2)))[0].id
    for b, error in (
        ("sha256:" + "0" * 64, NotFound),
        (A, InvalidArray),
        ([1.0, 2.0, 3.0, 4.0], InvalidSpec),
    ):
        with pytest.raises(error):
            load(spec_of(A, b), data.arrays)
