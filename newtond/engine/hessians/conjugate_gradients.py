"""Preconditioned conjugate gradients; negative curvature ends them (Steihaug 1983)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from newtond.engine.state import Vector

Operator = Callable[[Vector], Vector]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The iterate, its iterations, whether the accuracy was met, and whether negative curvature was seen."""

    vector: Vector
    iterations: int
    solved: bool
    negative: bool


def conjugate_gradients(
    product: Operator, right: Vector, precondition: Operator, accuracy: float, most: int
) -> Outcome:
    """Solve H p = right to ‖r‖ ≤ accuracy ‖right‖ in the norm of the inverse preconditioner.

    One product an iteration. Where pᵀHp ≤ 0 it returns the iterate so far (the preconditioned right side at
    the first iteration), a direction of descent either way.
    """
    vector = np.zeros_like(right)
    residual = right.copy()
    image = precondition(residual)
    direction = image.copy()
    square = float(residual @ image)
    goal = accuracy * accuracy * square
    if square <= 0.0:
        return Outcome(vector, 0, True, False)
    for iteration in range(1, most + 1):
        bent = product(direction)
        curvature = float(direction @ bent)
        if not curvature > 0.0:
            return Outcome(image if iteration == 1 else vector, iteration, False, True)
        step = square / curvature
        vector += step * direction
        residual -= step * bent
        image = precondition(residual)
        new = float(residual @ image)
        if new <= goal:
            return Outcome(vector, iteration, True, False)
        direction = image + (new / square) * direction
        square = new
    return Outcome(vector, most, False, False)
