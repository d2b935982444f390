"""Steps of a damped quadratic model, (H + damping · diag(metric)) p = −g, and directions along which H bends down.

With H as a matrix: Cholesky, and its eigenvectors. With its products only: conjugate gradients, and Lanczos.
"""

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.lapack import dpotrf, dpotrs

from newtond.engine.hessians import Direction
from newtond.engine.hessians.conjugate_gradients import Operator, conjugate_gradients
from newtond.engine.state import Matrix, Vector

ROUNDING = float(np.finfo(np.float64).eps)
ROUGH, ROUGH_PRODUCTS, MOST_PRODUCTS = 1e-2, 30, 300
"""A step of no more than this accuracy is not worth more products than that: a truncated one descends as well."""
LANCZOS_STEPS = 24
NEGATIVE = 1e-9
"""Below minus this share of the largest curvature an eigenvalue counts as negative, not as rounding."""


def dense_step(H: Matrix, gradient: Vector, damping: float, metric: Vector) -> Direction | None:
    """Return −(H + damping diag(metric))⁻¹ g, or None where that matrix is not positive definite.

    The diagonal is raised by what rounding may have taken from it, so that a direction without curvature or
    gradient gets a step of the size of rounding.
    """
    diagonal = np.diag(H) + damping * metric
    if not np.isfinite(diagonal).all() or (diagonal < 0.0).any():
        return None
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    scaled = H * scale[:, None] * scale
    scaled[np.diag_indices_from(scaled)] = 1.0 + 4.0 * len(scale) * ROUNDING
    factor, info = dpotrf(scaled, lower=1, clean=0, overwrite_a=1)
    if info != 0:
        return None
    return _direction(-scale * dpotrs(factor, scale * gradient, lower=1)[0], gradient, True, None)


def free_step(
    product: Operator, gradient: Vector, precondition: Operator, accuracy: float
) -> Direction | None:
    """Return about −H⁻¹g for the damped ``product``, or None where negative curvature was met."""
    most = ROUGH_PRODUCTS if accuracy >= ROUGH else MOST_PRODUCTS
    outcome = conjugate_gradients(product, -gradient, precondition, accuracy, most)
    if outcome.negative:
        return None
    return _direction(outcome.vector, gradient, outcome.solved, outcome.iterations)


def _direction(vector: Vector, gradient: Vector, solved: bool, iterations: int | None) -> Direction:
    square = -float(gradient @ vector)
    return Direction(vector, float(np.sqrt(max(square, 0.0))), solved and square >= 0.0, iterations)


def dense_bend(H: Matrix) -> Vector | None:
    """Return the unit eigenvector of the least eigenvalue of H where that is negative, else None."""
    if not np.isfinite(H).all():
        return None
    values, vectors = eigh(H, check_finite=False)
    lowest: Vector = vectors[:, 0]
    return lowest if values[0] < -NEGATIVE * max(abs(values[0]), abs(values[-1])) else None


def free_bend(product: Operator, order: int) -> Vector | None:
    """Return a unit vector of negative curvature if 24 Lanczos steps from a fixed start meet one, else None."""
    steps = min(LANCZOS_STEPS, order)
    basis, T = np.zeros((steps, order)), np.zeros((steps, steps))
    basis[0] = np.cos(1.0 + np.arange(order, dtype=np.float64))
    basis[0] /= np.linalg.norm(basis[0])
    last = 0
    for last in range(steps):
        w = product(basis[last])
        T[last, last] = float(basis[last] @ w)
        for _ in range(2):
            w -= basis[: last + 1].T @ (basis[: last + 1] @ w)
        beta = float(np.linalg.norm(w))
        if last + 1 == steps or beta <= 1e-14 * float(np.abs(T).max()):
            break
        T[last, last + 1] = T[last + 1, last] = beta
        basis[last + 1] = w / beta
    values, vectors = np.linalg.eigh(T[: last + 1, : last + 1])
    bend: Vector = vectors[:, 0] @ basis[: last + 1]
    return bend if values[0] < -NEGATIVE * float(np.abs(values).max()) else None
