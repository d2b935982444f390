"""How H · direction = −gradient is solved, H = AᵀBA + diag(ridge): one file a way.

``exact`` True asks for the true curvature, which may be indefinite (then ``direction`` returns None);
False asks for the positive semidefinite model. ``damping`` adds damping · diag(H) (Levenberg-Marquardt).
"""

from dataclasses import dataclass
from typing import Protocol

from newtond.contract.trace import SketchUse
from newtond.engine.curvature import Curvature
from newtond.engine.objective import Objective
from newtond.engine.sketches import Key
from newtond.engine.state import Vector


@dataclass(frozen=True, slots=True)
class Request:
    """One linear system: the gradient, the curvature and how it is to be taken."""

    gradient: Vector
    curvature: Curvature
    damping: float
    exact: bool
    accuracy: float
    key: Key
    escalation: int = 0


@dataclass(frozen=True, slots=True)
class Direction:
    """The solution; ``decrement`` = √(gᵀH⁻¹g), trusted where the linear solver met its accuracy."""

    vector: Vector
    decrement: float
    solved: bool
    cg_iterations: int | None = None
    sketch: SketchUse | None = None


class Factor(Protocol):
    """A factorised positive definite matrix M (width, width)."""

    def solve(self, right: Vector) -> Vector:
        """Return M⁻¹ right."""

    def square(self, step: Vector) -> float:
        """Return stepᵀ M step."""


class Hessian(Protocol):
    """A way to solve for a direction."""

    def direction(self, objective: Objective, request: Request) -> Direction | None:
        """Return the direction, or None where the curvature asked for is not positive definite."""
