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


def vector_of(inputs: Inputs, name: str, length: int) -> Vector:
    """Return the vector of this name; raises InvalidSpec unless it has ``length`` entries."""
    array = inputs[name]
    if isinstance(array, Csr) or array.ndim != 1 or len(array) != length:
        raise InvalidSpec(
            f"{name} has shape {tuple(array.shape)}, expected ({length},)",
            source={"pointer": ARRAY_POINTERS[name]},
        )
    return np.ascontiguousarray(array, np.float64)
