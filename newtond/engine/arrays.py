"""Reading a kind's arrays: a matrix is a matrix, a vector has the length that it must have."""

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import ARRAY_POINTERS
from newtond.engine.state import Csr, Inputs, Matrix, Vector


def matrix_of(inputs: Inputs, name: str) -> Csr | Matrix:
    """Return the matrix of this name, sparse as it is, dense in C order; raises InvalidSpec."""
    array = inputs[name]
    if isinstance(array, Csr):
        return array
    if array.ndim != 2 or 0 in array.shape:
        raise InvalidSpec(f"{name} must be a matrix", source={"pointer": ARRAY_POINTERS[name]})
    return np.ascontiguousarray(array, np.float64)


def dense_of(inputs: Inputs, name: str) -> Matrix:
    """Return the matrix of this name as a dense array; raises InvalidSpec."""
    array = matrix_of(inputs, name)
    if not isinstance(array, Csr):
        return array
    dense = np.zeros(array.shape)
    dense[np.repeat(np.arange(array.shape[0]), np.diff(array.indptr)), array.indices] = array.data
    return dense


def vector_of(inputs: Inputs, name: str, length: int) -> Vector:
    """Return the vector of this name; raises InvalidSpec unless it has ``length`` entries."""
    array = inputs[name]
    if isinstance(array, Csr) or array.ndim != 1 or len(array) != length:
        raise InvalidSpec(
            f"{name} has shape {tuple(array.shape)}, expected ({length},)",
            source={"pointer": ARRAY_POINTERS[name]},
        )
    return np.ascontiguousarray(array, np.float64)
