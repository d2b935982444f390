"""Householder QR with column pivoting of the whole of M, and the solution of least norm where M is deficient.

Where M has full rank, x and the residual r are refined together by the augmented system r + M x = β, Mᵀr = 0, its own
residuals taken in twice the precision: x is then the minimiser for the very M and β given, to about the last
digit, as long as κ u ≪ 1. Cost 2 n d² and M in memory, for small problems only.

Sources: Golub, Van Loan, Matrix Computations, 5.5 (LAPACK's gelsy); Björck, Iterative refinement of linear least
squares solutions, BIT 7 (1967). Difference from the sources: columns are scaled first, and the rank is read off
their pivots.
"""

from functools import cached_property
from typing import Any, cast

import numpy as np
from scipy.linalg import lstsq, qr, solve_triangular

from newtond.engine.methods import doubled
from newtond.engine.methods.linear_system import (
    ROUNDING,
    LinearSystem,
    condition_number,
    powers_of_two,
    rank_tolerance,
)
from newtond.engine.methods.refinement import Correction
from newtond.engine.objective import Evaluation
from newtond.engine.state import Matrix, Vector

SETTLED = 4.0 * ROUNDING


class PivotedQr:
    """M diag(scale) P = Q R, of numerical rank ``rank``."""

    least = 1

    def __init__(self, system: LinearSystem) -> None:
        self.system = system
        matrix = system.dense()
        scale = powers_of_two(np.linalg.norm(matrix, axis=0))
        q, r, order = qr(matrix * scale, mode="economic", pivoting=True, overwrite_a=True, check_finite=False)
        pivots = np.abs(np.diag(r))
        tolerance = rank_tolerance(*matrix.shape)
        self.rank = int(np.count_nonzero(pivots > tolerance * pivots[0])) if pivots.size else 0
        self.q, self.order, self.scale = q[:, : self.rank], order, scale
        self.matrix, self.target = matrix, self._target(len(matrix))
        self.r = r[: self.rank]
        self.condition = condition_number(np.asarray(self.r[:, : self.rank], np.float64))

    def retarget(self, system: LinearSystem) -> None:
        """Take the target of another system of the same matrix."""
        self.system = system
        self.target = self._target(len(self.matrix))

    def _target(self, rows: int) -> Vector:
        target = np.zeros(rows)
        target[: self.system.design.rows] = self.system.root * self.system.target
        return target

    @property
    def deficient(self) -> bool:
        return self.rank < len(self.order)

    @cached_property
    def _row_space(self) -> tuple[Matrix, Matrix]:
        """Orthonormal rows' span Z (width, rank) of M and the T of M[:, order] = Q Tᵀ Zᵀ."""
        unscaled = self.r / self.scale[self.order]
        factors: Any = qr(unscaled.T, mode="economic", check_finite=False)
        return cast(tuple[Matrix, Matrix], factors)

    @cached_property
    def _null_basis(self) -> Matrix:
        unscaled = self.r / self.scale[self.order]
        basis = np.empty((len(self.order), len(self.order) - self.rank))
        basis[self.order] = qr(unscaled.T, check_finite=False)[0][:, self.rank :]
        return basis

    def correction(self, here: Evaluation, residual: Vector | None) -> Correction:
        """Return the step to the minimiser, of least norm where M is deficient, and λ = ‖M step‖."""
        return self._shortest_step(here) if self.deficient else self._augmented(here.x, residual)

    def _shortest_step(self, here: Evaluation) -> Correction:
        image = self.q.T @ self.system.residual(here)
        z, t = self._row_space
        step = np.zeros(len(self.order))
        step[self.order] = z @ solve_triangular(t, image, trans="T", check_finite=False)
        return Correction(step, float(np.linalg.norm(image)))

    def _augmented(self, x: Vector, residual: Vector | None) -> Correction:
        """Return the correction of x and of the residual r; r = 0 at first, which makes it the plain QR solution."""
        left = np.zeros(len(self.target)) if residual is None else residual
        misfit = doubled.residual(self.matrix, x, self.target, left)
        slope = -doubled.transposed(self.matrix, left)
        half = solve_triangular(self.r, (self.scale * slope)[self.order], trans="T", check_finite=False)
        image = self.q.T @ misfit - half
        step = np.zeros(len(x))
        step[self.order] = solve_triangular(self.r, image, check_finite=False)
        settled = np.all(np.abs(step) <= SETTLED * np.abs(x / self.scale))
        return Correction(
            step * self.scale,
            float(np.linalg.norm(image)),
            settled=bool(settled),
            residual=left + (misfit - self.q @ image),
        )

    def shortest(self, x: Vector) -> Vector:
        """Return the equally good x of least norm (an intercept's entry not counted)."""
        if not self.deficient:
            return x
        design = self.system.design
        if design.intercept:
            body = slice(0, design.columns)
            return x - self._null_basis @ lstsq(self._null_basis[body], x[body])[0]
        z, _ = self._row_space
        out = np.empty_like(x)
        out[self.order] = z @ (z.T @ x[self.order])
        return out

    def rounding(self, here: Evaluation) -> float:
        """Return what rounding alone leaves of λ."""
        size = float(np.linalg.norm(here.x / self.scale)) + float(
            np.linalg.norm(self.system.root * self.system.target)
        )
        return 64.0 * ROUNDING * size * np.sqrt(len(self.order))
