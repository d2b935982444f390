"""The signs of a Hessian's eigenvalues at a point of a function that is not convex, and what follows."""

from dataclasses import dataclass

import numpy as np

from newtond.contract.result import Curvature
from newtond.engine.certificate.proof import UNIT
from newtond.engine.state import Matrix, Vector

SMALL, ROUNDING_LEVEL = 1e-6, 1e3
"""A Newton decrement of at most 1e-6 √(2F), or of 1000 u ‖b‖, is that of a minimum."""
MARGIN = 64.0


@dataclass(frozen=True)
class Inertia:
    """The extreme eigenvalues of H scaled to a unit diagonal, what rounding may do to them, and √(gᵀH⁻¹g)."""

    smallest: float
    largest: float
    margin: float
    decrement: float | None
    distance: float | None
    constant: bool = False

    @property
    def estimates(self) -> dict[str, float | None]:
        """What is computed but not proven."""
        return {
            "scaled_smallest_eigenvalue": self.smallest,
            "scaled_largest_eigenvalue": self.largest,
            "newton_decrement": self.decrement,
            "distance": self.distance,
        }

    def verdict(self, value: float, target: float) -> tuple[Curvature, list[str]]:
        """Return what kind of point it is, to rounding; ``target`` is ‖b‖, ``value`` F."""
        if self.constant:
            return "global_minimum", ["No unknown changes F: every point is a minimiser."]
        if self.smallest < -self.margin:
            return "saddle", ["The Hessian has a negative eigenvalue, beyond rounding: not a minimum."]
        if self.smallest <= self.margin or self.decrement is None:
            return "undetermined", ["The Hessian is singular to rounding: the curvature is not determined."]
        allowed = max(SMALL * np.sqrt(2.0 * max(value, 0.0)), ROUNDING_LEVEL * UNIT * target)
        if self.decrement > allowed:
            return "undetermined", ["The Hessian is positive definite, but the point is not yet stationary."]
        return "strict_local_minimum", [
            "The Hessian is positive definite on every direction that F depends on, by its eigenvalues and "
            "beyond rounding; the distance to the minimum is an estimate."
        ]


def inertia(H: Matrix, gradient: Vector, sizes: Vector | None = None) -> Inertia:
    """Return the inertia of H (p, p) with the gradient there; p³ flops.

    ``sizes`` (p) are what the terms of each diagonal entry come to in absolute value, where they cancel: rounding is
    measured against them.
    """
    if not len(H):
        return Inertia(0.0, 0.0, 0.0, 0.0, 0.0, constant=True)
    diagonal = np.diag(H) if sizes is None else sizes
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(scale[:, None] * H * scale)
    margin = MARGIN * len(H) * UNIT * max(float(np.abs(values).max()), 1.0)
    extremes = (float(values[0]), float(values[-1]), margin)
    if values[0] <= margin:
        return Inertia(*extremes, None, None)
    inside = vectors.T @ (scale * gradient)
    step = scale * (vectors @ (inside / values))
    return Inertia(*extremes, float(np.sqrt(np.sum(inside**2 / values))), float(np.linalg.norm(step)))
