"""Sums over rows of Kronecker products, and the preconditioner I ⊗ M of a matrix of unknowns with white rows."""

import numpy as np
from numpy.typing import NDArray

from newtond.engine.state import Matrix, Vector

SAMPLE = 64
FLOOR = 1e-10


class KroneckerInverse:
    """(I ⊗ M + diag(vec ridge))⁻¹ for M (c, c), ridge (r, c): one inverse a row of X, or one for all."""

    def __init__(self, M: Matrix, ridge: Matrix) -> None:
        self.shape = ridge.shape
        floor = FLOOR * max(float(np.trace(M)) / len(M), float(ridge.max()), np.finfo(float).tiny)
        rows = ridge[:1] if (ridge == ridge[0]).all() else ridge
        self.inverses: Matrix = np.asarray(
            np.linalg.inv(M + (rows[:, :, None] + floor) * np.eye(len(M))), dtype=np.float64
        )

    def apply(self, d: Vector) -> Vector:
        """Return the preconditioner times d."""
        D = d.reshape(self.shape)
        if len(self.inverses) == 1:
            return (D @ self.inverses[0]).ravel()
        return np.matmul(D[:, None, :], self.inverses).ravel()


def sample_rows(n: int) -> NDArray[np.int64]:
    """Return at most 64 evenly spaced row numbers."""
    return np.unique(np.linspace(0, n - 1, min(SAMPLE, n)).astype(np.int64))


def outer_sum(left: Matrix, right: Matrix, tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Σⱼ leftⱼ ⊗ rightⱼ ⊗ tensorⱼ, (left, right, *tensor)."""
    n = len(left)
    pairs = (left[:, :, None] * right[:, None, :]).reshape(n, -1)
    total = pairs.T @ tensor.reshape(n, -1)
    return total.reshape(left.shape[1], right.shape[1], *tensor.shape[1:])
