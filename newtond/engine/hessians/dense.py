"""The exact Hessian as a dense matrix, factorised by Cholesky.

Cost: the Gram's products (Σ nnzᵢ² / 2 for a sparse A) and d³/3. The factor is of the matrix scaled to a unit
diagonal, with 4 d u added to it: the size of the rounding errors of its entries, so that a singular Hessian
(one-hot columns) gives a bounded step; the part of the step in the null space is of the size of rounding.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtrmv, strmv
from scipy.linalg.lapack import dpotrf, dpotrs, spotrs

from newtond.engine.curvature import Curvature
from newtond.engine.hessians import Direction, Factor, Request
from newtond.engine.objective import Objective
from newtond.engine.state import Matrix, Vector

ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class DenseFactor:
    """M = diag(1/scale) L Lᵀ diag(1/scale), L lower triangular in float64 or float32, or the identity (None)."""

    triangle: NDArray[np.floating] | None
    scale: Vector

    def solve(self, right: Vector) -> Vector:
        """Return M⁻¹ right."""
        inner = self.scale * right
        if self.triangle is None:
            return self.scale * inner
        if self.triangle.dtype == np.float64:
            return np.asarray(self.scale * dpotrs(self.triangle, inner, lower=1)[0])
        size = float(np.abs(inner).max()) or 1.0
        found = spotrs(self.triangle, (inner / size).astype(np.float32), lower=1)[0]
        return np.asarray(self.scale * found * size)

    def square(self, step: Vector) -> float:
        """Return stepᵀ M step."""
        inner = step / self.scale
        if self.triangle is not None:
            size = float(np.abs(inner).max()) or 1.0
            multiply = dtrmv if self.triangle.dtype == np.float64 else strmv
            inner = size * multiply(self.triangle, inner / size, lower=1, trans=1).astype(np.float64)
        return float(inner @ inner)


class Exact(Protocol):
    """How an exact Hessian is formed and factorised; what ``form`` returns is for ``factorise`` only."""

    def form(self, objective: Objective, curvature: Curvature, exact: bool) -> Any:
        """Return AᵀBA + diag(ridge)."""

    def factorise(self, formed: Any, damping: float) -> Factor | None:
        """Return the factor of what was formed, damped, or None where it is not positive definite."""


class Dense:
    """As one d × d array."""

    def form(self, objective: Objective, curvature: Curvature, exact: bool) -> Matrix:
        matrix = curvature.gram(objective.design, exact)
        matrix[np.diag_indices_from(matrix)] += objective.penalty.ridge
        return matrix

    def factorise(self, formed: Matrix, damping: float) -> DenseFactor | None:
        return factorise(formed, damping)


class ExactHessian:
    """Keeps the last Gram, so that a change of damping, or a step of a quadratic, costs a factorisation only."""

    def __init__(self, way: Exact) -> None:
        self.way = way
        self._of: tuple[Curvature, bool] | None = None
        self._formed: Any = None

    def direction(self, objective: Objective, request: Request) -> Direction | None:
        """Return −H⁻¹g, or None where H + damping is not positive definite."""
        factor = self.factor(objective, request.curvature, request.exact, request.damping)
        if factor is None:
            return None
        vector = -factor.solve(request.gradient)
        square = -float(request.gradient @ vector)
        return Direction(vector, np.sqrt(max(square, 0.0)), solved=square >= 0.0)

    def factor(
        self, objective: Objective, curvature: Curvature, exact: bool, damping: float = 0.0
    ) -> Factor | None:
        """Return the factor of H + damping · diag(H), or None where that is not positive definite."""
        if self._of is None or self._of[1] != exact or not curvature.repeats(self._of[0], exact):
            self._formed = None
            self._formed = self.way.form(objective, curvature, exact)
            self._of = curvature, exact
        return self.way.factorise(self._formed, damping)


def dense_hessian() -> ExactHessian:
    """Return the Hessian as one d × d array."""
    return ExactHessian(Dense())


def factorise(matrix: Matrix, damping: float) -> DenseFactor | None:
    """Return the Cholesky factor of the scaled, damped matrix and the scale, or None where it has none.

    ``matrix`` (d, d) has its upper triangle filled. A zero column (no data, no ridge) is given a unit pivot.
    """
    diagonal = np.diag(matrix).copy()
    if not np.isfinite(diagonal).all() or (diagonal < 0.0).any():
        return None
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    scaled = matrix * scale[:, None]
    scaled *= scale
    scaled[np.diag_indices_from(scaled)] = 1.0 + damping + 4.0 * len(scale) * ROUNDING
    triangle, info = dpotrf(scaled.T, lower=1, clean=0, overwrite_a=1)
    return DenseFactor(triangle, scale) if info == 0 else None
