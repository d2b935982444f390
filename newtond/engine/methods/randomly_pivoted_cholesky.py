"""Randomly pivoted Cholesky: a low-rank factor of a positive semidefinite matrix from a few of its columns.

Columns are drawn with probability proportional to what the factor leaves of the diagonal, so the trace of the
rest falls about as fast as the best low-rank approximation lets it. Source: Chen, Epperly, Tropp, Webber,
Randomly pivoted Cholesky, arXiv:2207.06503; as a preconditioner: Díaz, Epperly, Frangella, Tropp, Webber,
arXiv:2304.12465. Difference from the source: pivots are drawn a block at a time, and those of a block that the
others already explain are dropped by a pivoted Cholesky factorisation of its core.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular, svd
from scipy.linalg.lapack import dpstrf

from newtond.engine.sketches import Key
from newtond.engine.state import Matrix, Vector

Columns = Callable[[NDArray[np.int64]], Matrix]
MOST_BLOCK = 100
BLOCKS = 10
ROUNDING = float(np.finfo(np.float64).eps)
EXHAUSTED = 64.0 * ROUNDING
SHARE_OF_REST = 0.3
"""How much of the mean of what is left of the diagonal stands for the rest: measured, flat from 0.1 to 1."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """F (n, r) with F Fᵀ ≤ M, and the diagonal of M − F Fᵀ (n)."""

    factor: Matrix
    rest: Vector

    @property
    def rank(self) -> int:
        return int(self.factor.shape[1])


def randomly_pivoted_cholesky(
    columns: Columns, diagonal: Vector, rank: int, enough: float, key: Key
) -> LowRank:
    """Return a factor of at most ``rank`` columns, of fewer once the trace of the rest is ≤ ``enough``.

    Cost: rank columns of the matrix and n rank² multiplications; memory n rank. ``key`` fixes the draws.
    """
    size = len(diagonal)
    rank = min(rank, size)
    factor, rest, filled = np.zeros((size, rank)), diagonal.copy(), 0
    least = max(enough, EXHAUSTED * float(diagonal.sum()))
    stream = 0
    while filled < rank and float(rest.sum()) > least:
        wanted = min(max(1, min(rank // BLOCKS, MOST_BLOCK)), rank - filled)
        drawn = _draw(rest, wanted, key.generator(stream))
        block = columns(drawn) - factor[:, :filled] @ factor[drawn, :filled].T
        new = _orthogonalised(block, drawn)
        factor[:, filled : filled + new.shape[1]] = new
        filled, stream = filled + new.shape[1], stream + 1
        rest = np.maximum(rest - np.einsum("ij,ij->i", new, new), 0.0)
        rest[drawn] = 0.0
    return LowRank(np.ascontiguousarray(factor[:, :filled]), rest)


def _draw(rest: Vector, wanted: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return distinct numbers, drawn with probability proportional to ``rest``."""
    reached = np.cumsum(rest)
    found = np.searchsorted(reached, generator.random(wanted) * reached[-1], side="right")
    drawn = np.unique(np.minimum(found, np.flatnonzero(rest)[-1]))
    return drawn[rest[drawn] > 0.0]


def _orthogonalised(block: Matrix, drawn: NDArray[np.int64]) -> Matrix:
    """Return the columns that ``block`` adds to the factor."""
    core = block[drawn]
    core = 0.5 * (core + core.T)
    tolerance = 100.0 * ROUNDING * len(core) * float(np.diag(core).max())
    lower, pivots, rank, _ = dpstrf(core, lower=1, tol=tolerance)
    kept = block[:, pivots[:rank] - 1]
    solved = solve_triangular(np.tril(lower[:rank, :rank]), kept.T, lower=True, check_finite=False)
    return np.asarray(solved.T)


class LowRankPreconditioner:
    """P = F Fᵀ + Δ, Δ = diag(shift + 0.3 · mean of the rest), for M + diag(shift); P⁻¹ costs 2 n r.

    P⁻¹ = Δ^{-½}(I − U diag(s²/(1 + s²)) Uᵀ)Δ^{-½} with Δ^{-½}F = U diag(s) Vᵀ: stable however small the shift.
    """

    def __init__(self, low_rank: LowRank, shift: Vector) -> None:
        floor = ROUNDING * len(shift)
        self._scale = 1.0 / np.sqrt(shift + SHARE_OF_REST * float(np.mean(low_rank.rest)) + floor)
        basis, triangle = qr(low_rank.factor * self._scale[:, None], mode="economic", check_finite=False)
        turn, values, _ = svd(triangle, full_matrices=False, check_finite=False)
        self._basis = np.ascontiguousarray(basis @ turn)
        squares = values * values
        self._share = squares / (1.0 + squares)

    def __call__(self, residual: Vector) -> Vector:
        """Return P⁻¹ residual."""
        scaled = self._scale * residual
        return self._scale * (scaled - self._basis @ (self._share * (scaled @ self._basis)))
