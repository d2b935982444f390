"""A linear least-squares problem as rows: min ‖M x − β‖, M = [diag(√s) A; diag(√λ)], β = [√s t; 0].

What a loss v (z − b)² + w² (z − z̄)² leaves of its two targets is s = v + w² and t = (v b + w² z̄)/s. Factors
are of M with its columns scaled by powers of two to norms in [½, 1], which is exact.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.linalg import solve_triangular

from newtond.engine.design import DesignMatrix
from newtond.engine.objective import Evaluation, Objective
from newtond.engine.state import Matrix, Vector

ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class LinearSystem:
    """``objective`` with s and t (n); its loss is quadratic, so s is its curvature everywhere."""

    objective: Objective
    squares: Vector
    target: Vector

    @property
    def design(self) -> DesignMatrix:
        return self.objective.design

    @property
    def ridge(self) -> Vector:
        return self.objective.penalty.ridge

    @property
    def root(self) -> Vector:
        return cast(Vector, np.sqrt(self.squares))

    @property
    def rows(self) -> int:
        """Rows of M that are not zero by construction."""
        return self.design.rows + int(np.count_nonzero(self.ridge))

    def stacked(self, rows: Matrix) -> Matrix:
        """Return the rows above those of the ridge."""
        penalised = np.flatnonzero(self.ridge)
        if not penalised.size:
            return rows
        below = np.zeros((penalised.size, self.design.width))
        below[np.arange(penalised.size), penalised] = np.sqrt(self.ridge[penalised])
        return np.concatenate([rows, below])

    def dense(self) -> Matrix:
        """Return M (rows, width)."""
        return self.stacked(self.root[:, None] * self.design.take(np.arange(self.design.rows)))

    def residual(self, here: Evaluation) -> Vector:
        """Return β − M x (rows)."""
        penalised = np.flatnonzero(self.ridge)
        above = self.root * (self.target - here.predictor)
        return np.concatenate([above, -np.sqrt(self.ridge[penalised]) * here.x[penalised]])

    def product(self, p: Vector) -> Vector:
        """Return MᵀM p (width) in one pass."""
        return self.design.normal(p, self.squares) + self.ridge * p


def powers_of_two(norms: Vector) -> Vector:
    """Return the scale that brings these column norms into [½, 1], 1 where they are 0."""
    _, exponent = np.frexp(norms)
    return np.where(norms > 0.0, np.ldexp(1.0, -exponent), 1.0)


def rank_tolerance(rows: int, width: int) -> float:
    """Return the share of the largest pivot below which a pivot is rounding: 8 ε √max(n, d)."""
    return 8.0 * ROUNDING * float(np.sqrt(max(rows, width, 1)))


def condition_number(factor: Matrix) -> float:
    """Estimate κ of a regular triangular factor by twelve steps of power and of inverse iteration."""
    width = len(factor)
    if width == 0:
        return 1.0
    largest = smallest = np.cos(1.0 + np.arange(width, dtype=np.float64))
    grown = shrunk = 0.0
    with np.errstate(all="ignore"):
        for _ in range(12):
            largest = factor.T @ (factor @ (largest / np.linalg.norm(largest)))
            half = solve_triangular(
                factor, smallest / np.linalg.norm(smallest), trans="T", check_finite=False
            )
            smallest = solve_triangular(factor, half, check_finite=False)
            grown, shrunk = float(np.linalg.norm(largest)), float(np.linalg.norm(smallest))
            if not np.isfinite(shrunk):
                return np.inf
    return float(np.sqrt(grown) * np.sqrt(shrunk))
