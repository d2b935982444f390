"""Wide ridge regression (n < d) through its n unknowns: (B ᵀB + λI) u = √s (t − A x), B = Aᵀ diag(√s), x = B u.

The QR factor of a sketch of B preconditions the n × n system, which is never formed: its condition number σ₁²/λ does
not enter the rate. An intercept is free of the ridge: it is the multiplier that keeps √s · u = 0.

Source: Kacham, Woodruff, Sketching algorithms and lower bounds for ridge regression, arXiv:2204.06653 (the wide
case). Difference from the source: the sketch preconditions instead of replacing the system.
"""

from typing import cast

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.sparse import csr_array

from newtond.contract.trace import SketchUse
from newtond.engine.design import DesignMatrix
from newtond.engine.hessians.conjugate_gradients import Outcome, conjugate_gradients
from newtond.engine.methods.linear_system import ROUNDING, LinearSystem, condition_number
from newtond.engine.methods.refinement import Correction
from newtond.engine.objective import Evaluation
from newtond.engine.sketches import Key
from newtond.engine.sketches.sparse_sign import NONZEROS
from newtond.engine.state import Csr, Matrix, Vector

ROWS_AN_UNKNOWN = 8
ACCURACY, MOST = 1e-10, 200


def transposed(matrix: Csr | Matrix) -> Csr | Matrix:
    """Return the transpose in the layout of a design matrix."""
    if not isinstance(matrix, Csr):
        return np.ascontiguousarray(matrix.T)
    turned = csr_array(
        (matrix.data, matrix.indices.astype(np.int64), matrix.indptr), shape=matrix.shape
    ).T.tocsr()
    turned.sort_indices()
    indices = turned.indices.astype(np.int32)
    return Csr(turned.indptr.astype(np.int64), indices, np.asarray(turned.data, np.float64), turned.shape)


class DualRidge:
    """R with RᵀR ≈ BᵀB + λI; corrections of x carry u along as what is refined with it."""

    least = 2

    def __init__(self, system: LinearSystem, matrix: Csr | Matrix, seed: int) -> None:
        self.system, self.root, self.seed = system, system.root, seed
        self.ridge = float(system.ridge[0])
        self.turned = DesignMatrix(transposed(matrix), threads=system.design.threads)
        asked = min(ROWS_AN_UNKNOWN * self.turned.width, self.turned.rows)
        self.rows = asked
        self.rank = system.design.width
        self.factor = self._factor(asked, seed)
        self.condition = condition_number(self.factor)
        self.ones = self._solve(self.root).vector if system.design.intercept else None

    def retarget(self, system: LinearSystem) -> None:
        """Take the target of another system of the same matrix."""
        self.system = system

    def _factor(self, asked: int, seed: int) -> Matrix:
        d, n = self.turned.rows, self.turned.width
        if asked == d:
            image = self.turned.take(np.arange(d))
        else:
            image = self.turned.sparse_sign(np.ones(d), asked, NONZEROS, Key(seed, 0).bits())
        stacked = np.concatenate([image * self.root, np.sqrt(self.ridge) * np.eye(n)])
        return cast(Matrix, qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][:n])

    def _gram(self, u: Vector) -> Vector:
        """Return BᵀB u (n) in one pass over A."""
        return self.root * self.turned.normal(self.root * u, np.ones(self.turned.rows))

    def _solve(self, right: Vector) -> Outcome:
        """Return u with (BᵀB + λI) u = right."""

        def product(y: Vector) -> Vector:
            u = solve_triangular(self.factor, y, check_finite=False)
            image = self._gram(u) + self.ridge * u
            return cast(Vector, solve_triangular(self.factor, image, trans="T", check_finite=False))

        half = solve_triangular(self.factor, right, trans="T", check_finite=False)
        found = conjugate_gradients(product, half, lambda r: r, ACCURACY, MOST)
        vector = solve_triangular(self.factor, found.vector, check_finite=False)
        return Outcome(vector, found.iterations, found.solved, found.negative)

    def correction(self, here: Evaluation, residual: Vector | None) -> Correction:
        """Return the step to the minimiser from x = B u (``residual`` is u, 0 at first), and its decrement."""
        u = np.zeros(len(self.root)) if residual is None else residual
        right = self.root * (self.system.target - here.predictor) - self.ridge * u
        found = self._solve(right)
        step, shift = found.vector, 0.0
        if self.ones is not None:
            shift = float(self.root @ (u + step)) / float(self.root @ self.ones)
            step = step - shift * self.ones
        vector = np.zeros(len(here.x))
        vector[: self.turned.rows] = self.turned.matvec(self.root * step)
        if self.ones is not None:
            vector[-1] = shift
        decrement = float(np.sqrt(max(-float(here.gradient @ vector), 0.0)))
        used = SketchUse(kind="sparse_sign", rows=self.rows, seed=self.seed, iteration=0)
        return Correction(vector, decrement, residual=u + step, cg_iterations=found.iterations, sketch=used)

    def shortest(self, x: Vector) -> Vector:
        """Return x: a ridge leaves one minimiser."""
        return x

    def rounding(self, here: Evaluation) -> float:
        """Return what rounding alone leaves of λ, through a factor of condition number √(σ₁²/λ + 1)."""
        size = float(np.linalg.norm(self.root * self.system.target)) + float(
            np.linalg.norm(self.root * here.predictor)
        )
        return 64.0 * ROUNDING * self.condition * size
