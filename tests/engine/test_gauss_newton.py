"""Levenberg-Marquardt where its function is hardly more than rounding."""

from dataclasses import dataclass

import numpy as np

from newtond.engine.hessians import Direction
from newtond.engine.methods.gauss_newton import Memory, gauss_newton
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.state import State, Vector

ITERATIONS = 200


@dataclass
class Rough:
    """1 + ½x² whose value is known to ``noise``²/2 only: it rises wherever a step would lead."""

    x: Vector
    rise: float
    noise: float
    kink = ""
    products = None

    @property
    def value(self) -> float:
        return 1.0 + 0.5 * float(self.x @ self.x) + self.rise

    @property
    def gradient(self) -> Vector:
        return self.x

    def step(self, damping: float, exact: bool, accuracy: float) -> Direction | None:
        vector = -self.x / (1.0 + damping)
        return Direction(vector, float(np.sqrt(-self.x @ vector)), True, None)

    def drag(self, vector: Vector, damping: float) -> float:
        return damping * float(vector @ vector)

    def bend(self) -> Vector | None:
        return None


@dataclass
class Ground:
    start: Vector

    def at(self, x: Vector) -> Rough:
        return Rough(x, 0.0 if np.array_equal(x, self.start) else 1.0, noise=0.05)


def test_where_every_step_rises_the_descent_ends_and_says_so() -> None:
    start = np.array([1.0])
    rule = StoppingRule(1e-10, ITERATIONS, 1.0)
    *_, last = gauss_newton(Ground(start), rule, State(0, {"x": start}, Memory().scalars()))
    assert last.termination == "stalled"
    assert last.record.iteration < ITERATIONS / 4
