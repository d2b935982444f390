"""Whether a stationary point is a saddle, and how to leave it: along the most negative curvature."""

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from newtond.engine.hessians import Hessian, Request
from newtond.engine.hessians.dense import ROUNDING
from newtond.engine.objective import Evaluation, Objective
from newtond.engine.sketches import Key
from newtond.engine.state import Vector

STREAM = 3
PROBE_ACCURACY = 1e-2
HALVINGS = 30


def indefinite(objective: Objective, hessian: Hessian, here: Evaluation, key: Key) -> bool:
    """Return whether the true Hessian at ``here`` is seen not to be positive definite.

    A factorisation decides; matrix-free, conjugate gradients towards a random right side look for negative
    curvature. No negative weight, no question.
    """
    if here.curvature.positive:
        return False
    probe = key.generator(STREAM).standard_normal(objective.design.width)
    diagonal = here.curvature.squares(objective.design) + objective.penalty.ridge
    request = Request(np.sqrt(diagonal) * probe, here.curvature, 0.0, True, PROBE_ACCURACY, key)
    return hessian.direction(objective, request) is None


def descend(objective: Objective, here: Evaluation, key: Key) -> Evaluation | None:
    """Return a lower point along a direction of negative curvature, or None where there is none to be had."""
    bend = most_negative(objective, here, key)
    if bend is None:
        return None
    if float(here.gradient @ bend) > 0.0:
        bend = -bend
    reach = objective.design.matvec(bend)
    step = min(1.0, objective.loss.reach) / max(float(np.abs(reach).max()), np.finfo(float).tiny)
    for _ in range(HALVINGS):
        if objective.along(here, bend, reach, step) < here.value - 8.0 * ROUNDING * abs(here.value):
            there = objective.expand(here.x + step * bend)
            return there if there.finite and there.value < here.value else None
        step *= 0.5
    return None


def most_negative(objective: Objective, here: Evaluation, key: Key) -> Vector | None:
    """Return the eigenvector of the scaled Hessian's least eigenvalue, or None if that is not negative."""
    ridge = objective.penalty.ridge
    diagonal = here.curvature.squares(objective.design) + ridge
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))

    def product(y: Vector) -> Vector:
        p = scale * np.ravel(y)
        return scale * (here.curvature.product(objective.design, p, exact=True) + ridge * p)

    width = objective.design.width
    if width == 1:
        bend = product(np.ones(1))
        return scale if bend[0] < 0.0 else None
    start = key.generator(STREAM).standard_normal(width)
    operator = LinearOperator((width, width), matvec=product, dtype=np.float64)
    try:
        values, vectors = eigsh(operator, k=1, which="SA", v0=start, tol=1e-3, maxiter=50)
    except ArpackNoConvergence:
        return None
    if values[0] >= -width * ROUNDING:
        return None
    vector: Vector = scale * vectors[:, 0]
    return vector / np.linalg.norm(vector)
