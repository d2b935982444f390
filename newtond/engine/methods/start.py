"""Where to start: a point from which few steps are needed, and never a stationary one."""

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from newtond.engine.curvature import DiagonalCurvature
from newtond.engine.hessians import Hessian, Request
from newtond.engine.hessians.arrow import arrow_hessian
from newtond.engine.hessians.dense import dense_hessian
from newtond.engine.hessians.krylov import FreeHessian
from newtond.engine.objective import Objective
from newtond.engine.sketches import Key
from newtond.engine.state import Vector

SWEEPS = 10
SWEEP, PRODUCT, FLOP = 3.0, 1.0, 0.05
STREAM = 4
EIGEN_ITERATIONS = 20


def linearised(objective: Objective, target: Vector, weights: Vector) -> Vector:
    """Return the x (width) that minimises ½ Σ weightsᵢ (aᵢ·x − targetᵢ)² + the penalty.

    With target t = f⁻¹(b) and weights v f'(t)² this is the Gauss-Newton model of the loss at its best
    conceivable predictor: for exp, the log-linear fit weighted by b². By Cholesky where that costs no more
    than 10 sweeps, else by conjugate gradients to 1e-3.
    """
    design, penalty = objective.design, objective.penalty
    gradient = -design.rmatvec(weights * target) - penalty.ridge * penalty.centre
    request = Request(gradient, DiagonalCurvature(weights, weights), 0.0, False, 1e-3, Key(0, 0))
    found = _solver(objective).direction(objective, request)
    if found is None or not np.isfinite(found.vector).all():
        return np.zeros(design.width)
    return found.vector


def _solver(objective: Objective) -> Hessian:
    design = objective.design
    if design.arrow is not None:
        return arrow_hessian(design.arrow)
    factor = PRODUCT * float(design.gram_products.sum()) + FLOP * design.width**3 / 3
    return dense_hessian() if factor <= SWEEPS * SWEEP * design.nnz else FreeHessian()


def spectral(objective: Objective, squares: Vector, weights: Vector, key: Key) -> Vector:
    """Return α y, y leading eigenvector of Aᵀ diag(weights · squares) A, columns scaled, α by least squares.

    The start of an even f, where only zᵢ² ≈ squaresᵢ is known: x and −x are equally good. Where no row tells
    anything (squares = 0) it is a random vector of the key, since x = 0 is stationary.
    """
    design = objective.design
    norms = np.sqrt(design.column_squares)
    scale = 1.0 / np.where(norms > 0.0, norms, 1.0)
    random = key.generator(STREAM).standard_normal(design.width)
    direction = scale * _leading(objective, weights * squares, scale, random)
    z = design.matvec(direction)
    fourth = float(np.sum(weights * z**4))
    size = np.sqrt(float(np.sum(weights * squares * z**2)) / fourth) if fourth > 0.0 else 0.0
    if size > 0.0:
        return size * direction
    largest = float(np.abs(z).max())
    return 0.1 / largest * direction if largest > 0.0 else np.zeros(design.width)


def _leading(objective: Objective, weights: Vector, scale: Vector, random: Vector) -> Vector:
    width = objective.design.width
    if width == 1 or not (scale * objective.design.normal(scale * random, weights)).any():
        return random

    def product(y: Vector) -> Vector:
        return scale * objective.design.normal(scale * np.ravel(y), weights)

    operator = LinearOperator((width, width), matvec=product, dtype=np.float64)
    try:
        vector: Vector = eigsh(operator, k=1, v0=random, tol=1e-2, maxiter=EIGEN_ITERATIONS)[1][:, 0]
    except ArpackNoConvergence:
        return product(product(random))
    return vector


def best(objective: Objective, candidates: list[Vector]) -> Vector:
    """Return the candidate with the lowest finite objective; the first where none is finite."""
    values = [objective.expand(x).value for x in candidates]
    finite = [value if np.isfinite(value) else np.inf for value in values]
    return candidates[int(np.argmin(finite))]
