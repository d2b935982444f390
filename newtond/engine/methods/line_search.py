"""Backtracking on the cached predictor: F along a ray costs O(n) an evaluation and no pass over A."""

from dataclasses import dataclass

import numpy as np

from newtond.engine.objective import Evaluation, Objective
from newtond.engine.state import Vector

ARMIJO = 1e-4
SLACK = 1e-12
MOST = 40


@dataclass(frozen=True, slots=True)
class Accepted:
    """The step, the first one tried (1 unless ``loss.reach`` bounds max |δz|), F there, evaluations."""

    step: float
    first: float
    value: float
    evaluations: int


def backtrack(objective: Objective, here: Evaluation, direction: Vector) -> Accepted | None:
    """Return the first step of sufficient decrease, or None after 40; a non-finite trial is a rejection.

    A slack of 1e-12 |F| lets steps pass that only rounding keeps from decreasing F.
    """
    slope = float(here.gradient @ direction)
    reach = objective.design.matvec(direction)
    largest = float(np.abs(reach).max())
    step = first = min(1.0, objective.loss.reach / largest) if largest > 0.0 else 1.0
    for evaluation in range(1, MOST + 1):
        value = objective.along(here, direction, reach, step)
        if value <= here.value + ARMIJO * step * slope + SLACK * abs(here.value):
            return Accepted(step, first, value, evaluation)
        step *= shrink(value - here.value, step * slope)
    return None


def shrink(rise: float, slope: float) -> float:
    """Return the minimiser of the parabola through both values and the slope, between 0.1 and 0.5."""
    if not np.isfinite(rise):
        return 0.1
    return min(0.5, max(0.1, -0.5 * slope / (rise - slope)))
