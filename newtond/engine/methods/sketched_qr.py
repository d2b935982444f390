"""Sketched QR with refinement: as backward stable as QR, at the cost of some tens of passes over A.

S is a sparse sign sketch, S M diag(scale) P = Q R. The start is the solution of the sketched problem; each
correction runs conjugate gradients on R⁻ᵀ Mᵀ M R⁻¹ y = R⁻ᵀ Mᵀ(β − M x), the preconditioner applied explicitly and
the residual computed anew, to 1e-9, or to 1e-2 where that already shows that only rounding is left. Two corrections
bring the backward error to rounding.

Source: Epperly, Meier, Nakatsukasa, Fast randomized least-squares solvers can be just as accurate and stable as
classical direct solvers, arXiv:2406.03468 (SPIR). Differences from the source: columns that the
sketch's pivots show to depend on others are left out and the least-norm solution is taken; corrections go on
while they gain.
"""

from functools import cached_property
from typing import cast

import numpy as np
from scipy.linalg import lstsq, qr_multiply, solve_triangular

from newtond.contract.trace import SketchUse
from newtond.engine.design import DesignMatrix
from newtond.engine.hessians.conjugate_gradients import conjugate_gradients
from newtond.engine.methods.linear_system import (
    ROUNDING,
    LinearSystem,
    condition_number,
    powers_of_two,
    rank_tolerance,
)
from newtond.engine.methods.refinement import Correction
from newtond.engine.objective import Evaluation
from newtond.engine.sketches import Key
from newtond.engine.sketches.sparse_sign import NONZEROS
from newtond.engine.state import Matrix, Vector

ROWS_A_COLUMN, ROWS_A_COLUMN_OF_FEW, FEW = 8, 16, 500
ROUGH, ACCURACY, MOST = 1e-2, 1e-9, 100
NEARLY_SINGULAR = 1e11


def sketch_rows(width: int) -> int:
    """Return 8 rows a column (condition number about 4.4), or 16 (2.8) where their QR costs few passes."""
    return max((ROWS_A_COLUMN_OF_FEW if width <= FEW else ROWS_A_COLUMN) * width, width + 50)


class SketchedQr:
    """S M diag(scale) P = Q R of numerical rank ``rank`` and condition number about ``condition``."""

    def __init__(self, system: LinearSystem, seed: int, rows: int | None) -> None:
        self.system, self.least, self.seed = system, 2, seed
        width, bits = system.design.width, Key(seed, 0).bits()
        asked = rows or sketch_rows(width)
        above = system.design.sparse_sign(system.root, asked, NONZEROS, bits)
        target = np.ascontiguousarray(system.target[:, None])
        right = DesignMatrix(target).sparse_sign(system.root, asked, NONZEROS, bits)[:, 0]
        self.rows = len(above)
        image = system.stacked(above)
        self.right = np.concatenate([right, np.zeros(len(image) - self.rows)])
        self.scale = powers_of_two(np.linalg.norm(image, axis=0))
        self._factor(image)

    def retarget(self, system: LinearSystem) -> None:
        """Take the target of another system of the same matrix, which starts from x = 0: one more correction."""
        self.system, self.least = system, 3

    def _factor(self, image: Matrix) -> None:
        width = self.system.design.width
        self.solved, r = qr_multiply(image * self.scale, self.right, mode="right")
        self.order, self.rank = np.arange(width), width
        self.factor, self.dependent = r[:width], np.empty((width, 0))
        self.condition = condition_number(self.factor)
        if self.condition > NEARLY_SINGULAR:
            self._pivot(image)
        self._left = float(np.linalg.norm(image @ self._back(self.solved[: self.rank]) - self.right))

    def _pivot(self, image: Matrix) -> None:
        self.solved, r, order = qr_multiply(image * self.scale, self.right, mode="right", pivoting=True)
        pivots = np.abs(np.diag(r))
        tolerance = rank_tolerance(self.system.rows, len(order))
        self.rank = int(np.count_nonzero(pivots > tolerance * pivots[0]))
        self.order, self.factor = order, np.ascontiguousarray(r[: self.rank, : self.rank])
        self.dependent = r[: self.rank, self.rank :]
        self.condition = condition_number(self.factor)

    @property
    def residual_norm(self) -> float:
        """Estimate of min ‖M x − β‖: the sketched residual, whose mean square is (1 − d/m) of the true one."""
        return self._left * float(np.sqrt(self.rows / max(self.rows - self.rank, 1)))

    def start(self) -> Vector:
        """Return the solution of the sketched problem (width)."""
        return self.shortest(self._back(self.solved[: self.rank]))

    def _back(self, y: Vector) -> Vector:
        """Return the x (width) whose independent coefficients are R⁻¹ y."""
        x = np.zeros(len(self.order))
        x[self.order[: self.rank]] = solve_triangular(self.factor, y, check_finite=False)
        return x * self.scale

    def _forth(self, g: Vector) -> Vector:
        """Return R⁻ᵀ of the entries of g (width) that are independent coefficients'."""
        kept = (self.scale * g)[self.order[: self.rank]]
        return cast(Vector, solve_triangular(self.factor, kept, trans="T", check_finite=False))

    def correction(self, here: Evaluation, residual: Vector | None) -> Correction:
        """Return the step to the minimiser, and λ = √(gᵀ(MᵀM)⁻¹g)."""

        def product(y: Vector) -> Vector:
            return self._forth(self.system.product(self._back(y)))

        right = self._forth(-here.gradient)
        found = conjugate_gradients(product, right, lambda r: r, ROUGH, MOST)
        vector, iterations = found.vector, found.iterations
        if np.sqrt(max(float(right @ vector), 0.0)) > self.rounding(here):
            left = right - product(vector)
            accuracy = ACCURACY * float(np.linalg.norm(right) / (np.linalg.norm(left) or 1.0))
            found = conjugate_gradients(product, left, lambda r: r, accuracy, MOST)
            vector, iterations = vector + found.vector, iterations + 1 + found.iterations
        decrement = float(np.sqrt(max(float(right @ vector), 0.0)))
        used = SketchUse(kind="sparse_sign", rows=self.rows, seed=self.seed, iteration=0)
        return Correction(self._back(vector), decrement, cg_iterations=iterations, sketch=used)

    @cached_property
    def _null_basis(self) -> Matrix:
        width = len(self.order)
        basis = np.zeros((width, width - self.rank))
        basis[self.order[: self.rank]] = -solve_triangular(self.factor, self.dependent, check_finite=False)
        basis[self.order[self.rank :], np.arange(width - self.rank)] = 1.0
        return np.linalg.qr(self.scale[:, None] * basis)[0]

    def shortest(self, x: Vector) -> Vector:
        """Return the equally good x of least norm (an intercept's entry not counted)."""
        if self.rank == len(self.order):
            return x
        body = slice(0, self.system.design.columns)
        return x - self._null_basis @ lstsq(self._null_basis[body], x[body])[0]

    def rounding(self, here: Evaluation) -> float:
        """Return what rounding alone leaves of λ, κ u ‖residual‖ of it by R⁻ᵀ."""
        residual = float(np.sqrt(2.0 * max(here.value, 0.0)))
        size = float(np.linalg.norm(here.x / self.scale)) + float(
            np.linalg.norm(self.system.root * self.system.target)
        )
        return 64.0 * ROUNDING * (size * np.sqrt(len(self.order)) + self.condition * residual)
