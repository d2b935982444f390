"""The null space of a rank-deficient design, and the minimiser of least norm among those it makes equal.

One-hot tables are always rank deficient. A pivoted Cholesky factorisation of the scaled AᵀA proposes null
vectors; they count as null only where ‖A v‖ ≤ 1e-11 ‖A‖, measured on A itself, since the Gram alone cannot
tell a singular value of 1e-8 from zero.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lstsq, solve_triangular
from scipy.linalg.lapack import dpstrf

from newtond.engine.design import DesignMatrix
from newtond.engine.hessians.dense import ROUNDING
from newtond.engine.state import Matrix, Vector

LARGEST = 6000
NULL = 1e-11


@dataclass(frozen=True, slots=True)
class NullSpace:
    """Null vectors as columns (width, nullity); ``known`` False where d is too large to factorise."""

    basis: Matrix
    known: bool

    @property
    def nullity(self) -> int:
        return self.basis.shape[1]

    def least_norm(self, x: Vector, penalised: int) -> Vector:
        """Return the x + N t whose first ``penalised`` entries (all but an intercept) have least norm."""
        if self.nullity == 0:
            return x
        shift = lstsq(self.basis[:penalised], x[:penalised])[0]
        least: Vector = x - self.basis @ shift
        return least


def null_space(design: DesignMatrix, used: Vector) -> NullSpace:
    """Return the null space of the rows of A where ``used`` (n) is 1 rather than 0. Cost: a Gram and d³/3."""
    if design.width > LARGEST:
        return NullSpace(np.empty((design.width, 0)), False)
    gram = design.gram(used)
    norms = np.sqrt(np.diag(gram))
    scale = 1.0 / np.where(norms > 0.0, norms, 1.0)
    gram *= scale[:, None]
    gram *= scale
    proposed = _proposed(gram)
    if proposed.shape[1] == 0:
        return NullSpace(proposed, True)
    images = np.column_stack([design.matvec(scale * column) * used for column in proposed.T])
    squares, mixing = np.linalg.eigh(images.T @ images)
    null = mixing[:, np.sqrt(np.maximum(squares, 0.0)) <= NULL * np.sqrt(np.count_nonzero(norms) or 1)]
    basis = np.linalg.qr(scale[:, None] * (proposed @ null))[0]
    return NullSpace(basis, True)


def _proposed(gram: Matrix) -> Matrix:
    """Return orthonormal vectors (d, k) that span what a pivoted Cholesky factorisation leaves of the Gram."""
    width = len(gram)
    factor, pivots, rank, _ = dpstrf(gram.T, lower=1, tol=8.0 * width * ROUNDING, overwrite_a=1)
    if rank == width:
        return np.empty((width, 0))
    order = pivots - 1
    tail = solve_triangular(factor[:rank, :rank], factor[rank:, :rank].T, lower=True, trans="T")
    vectors = np.zeros((width, width - rank))
    vectors[order[:rank]] = -tail
    vectors[order[rank:], np.arange(width - rank)] = 1.0
    return np.linalg.qr(vectors)[0]
