"""White coordinates: a matrix by its left singular vectors, and the way back, which leaves out what it does not see."""

from dataclasses import dataclass

import numpy as np

from newtond.engine.state import Matrix, Vector


@dataclass(frozen=True)
class White:
    """A (rows, k) = U S Wᵀ of numerical rank r: Q = √rows U, and back = √rows W S⁻¹."""

    design: Matrix
    back: Matrix
    nullity: int

    @classmethod
    def of(cls, A: Matrix, *, centred: bool) -> "White":
        """Factor A, or A less its mean row; of rank 0 it keeps one column of zeros."""
        U, s, Wt = np.linalg.svd(A - A.mean(axis=0) if centred else A, full_matrices=False)
        size = max(float(np.abs(A).max()) * np.sqrt(A.size), np.finfo(float).tiny)
        rank = int(np.sum(s > max(A.shape) * np.finfo(float).eps * size))
        if rank == 0:
            return cls(np.zeros((len(A), 1)), np.zeros((A.shape[1], 1)), A.shape[1])
        root = np.sqrt(len(A))
        design = np.ascontiguousarray(U[:, :rank] * root)
        return cls(design, Wt[:rank].T * (root / s[:rank]), A.shape[1] - rank)

    @property
    def squares(self) -> Vector:
        """The squared norms of the columns of ``back``, which are orthogonal."""
        return np.sum(self.back**2, axis=0)

    def coordinates(self, M: Matrix) -> Matrix:
        """Return back⁺ M."""
        squares = self.squares
        return (self.back.T @ M) / np.where(squares > 0.0, squares, 1.0)[:, None]
