"""The exact Hessian as a dense matrix, factorised by Cholesky.

Cost: the Gram's products (Σ nnzᵢ² / 2 for a sparse A) and d³/3. The factor is of the matrix scaled to a unit
diagonal, with 4 d u added to it: the size of the rounding errors of its entries, so that a singular Hessian
(one-hot columns) gives a bounded step; the part of the step in the null space is of the size of rounding.
"""

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from newtond.engine.curvature import Curvature
from newtond.engine.hessians import Direction, Request
from newtond.engine.objective import Objective
from newtond.engine.state import Matrix, Vector

ROUNDING = float(np.finfo(np.float64).eps)


class DenseHessian:
    """Keeps the last Gram, so that a change of damping at the same point costs a factorisation only."""

    def __init__(self) -> None:
        self._of: tuple[Curvature, bool] | None = None
        self._matrix: Matrix = np.empty((0, 0))

    def direction(self, objective: Objective, request: Request) -> Direction | None:
        """Return −H⁻¹g, or None where H + damping is not positive definite."""
        matrix = self._form(objective, request)
        factored = factorise(matrix, request.damping)
        if factored is None:
            return None
        factor, scale = factored
        vector = -scale * dpotrs(factor, scale * request.gradient, lower=1)[0]
        square = -float(request.gradient @ vector)
        return Direction(vector, np.sqrt(max(square, 0.0)), solved=square >= 0.0)

    def _form(self, objective: Objective, request: Request) -> Matrix:
        wanted = (request.curvature, request.exact)
        if self._of is None or self._of[0] is not wanted[0] or self._of[1] != wanted[1]:
            self._matrix = np.empty((0, 0))
            self._matrix = request.curvature.gram(objective.design, request.exact)
            self._matrix[np.diag_indices_from(self._matrix)] += objective.penalty.ridge
            self._of = wanted
        return self._matrix


def factorise(matrix: Matrix, damping: float) -> tuple[Matrix, Vector] | None:
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
    factor, info = dpotrf(scaled.T, lower=1, clean=0, overwrite_a=1)
    return (factor, scale) if info == 0 else None
