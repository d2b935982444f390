"""A dense symmetric positive semidefinite system by Cholesky; where rounding makes it singular, of least norm.

A matrix that has no Cholesky factor in float64 is factorised with pivots, P M Pᵀ ≈ L Lᵀ, L (n, rank), and the
solution is the one of least norm of that: Q (R Rᵀ)⁻¹ Qᵀ, with L = Q R.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotrs, dpstrf

from newtond.engine.state import Matrix, Vector

ROUNDING = float(np.finfo(np.float64).eps)


class CholeskySolver:
    """M⁻¹, or its pseudo-inverse where M is singular to rounding; ``rank`` is then less than the order."""

    def __init__(self, form: Callable[[], Matrix]) -> None:
        """Factorise what ``form`` returns, which is overwritten and asked for again if M is singular."""
        matrix = form()
        self.size = len(matrix)
        self._factor, info = dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
        self.rank = self.size
        self._basis: Matrix | None = None
        if info != 0 or not self._distinct(self._factor):
            self._factor = np.empty((0, 0))
            self._of_least_norm(form())

    def _distinct(self, factor: Matrix) -> bool:
        pivots = np.abs(np.diag(factor))
        return bool(pivots.min() ** 2 > 16.0 * ROUNDING * pivots.max() ** 2)

    def _of_least_norm(self, matrix: Matrix) -> None:
        tolerance = self.size * ROUNDING * float(np.diag(matrix).max())
        factor, pivots, rank, _ = dpstrf(matrix.T, lower=1, tol=tolerance, overwrite_a=1)
        lower = np.tril(factor[:, :rank])
        basis, triangle = qr(lower, mode="economic", check_finite=False)
        self._basis = np.empty_like(basis)
        self._basis[pivots - 1] = basis
        self._factor, self.rank = triangle, int(rank)

    def __call__(self, right: Vector) -> Vector:
        """Return M⁻¹ right."""
        if self._basis is None:
            return np.asarray(dpotrs(self._factor, right, lower=1)[0])
        inner = solve_triangular(self._factor, right @ self._basis, check_finite=False)
        return np.asarray(self._basis @ solve_triangular(self._factor, inner, trans="T", check_finite=False))
