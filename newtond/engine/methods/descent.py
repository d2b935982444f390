"""What Levenberg-Marquardt and a trust region share: places, when a trial is a gain, how a saddle is left."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from newtond.contract.trace import Iteration
from newtond.engine.hessians import Direction
from newtond.engine.hessians.conjugate_gradients import Operator
from newtond.engine.methods.stopping import FLAT, Stall, StoppingRule
from newtond.engine.state import Vector

ENOUGH = 1e-4
MEASURABLE = 1e-11
HALVINGS = 30
RESTING = 2e-2
"""A rule of a larger tolerance ends far from any stationary point, where curvature says nothing of a saddle."""


@dataclass(frozen=True)
class Products:
    """Products with the true Hessian H, rough and to all digits, and with M⁻¹, M positive definite and like H."""

    rough: Operator
    exact: Operator
    precondition: Operator


class Place(Protocol):
    """A function at x: its value, its gradient, and the steps that its curvature suggests."""

    @property
    def x(self) -> Vector: ...
    @property
    def value(self) -> float: ...
    @property
    def kink(self) -> str:
        """Why there is no gradient here, in words; empty where there is one."""

    @property
    def noise(self) -> float:
        """The size of the residual that rounding alone could leave."""

    @property
    def gradient(self) -> Vector: ...

    @property
    def products(self) -> Products | None:
        """The Hessian by its products, where the function is smooth and too large for a matrix; else None."""

    def step(self, damping: float, exact: bool, accuracy: float) -> Direction | None:
        """Return the step of the true Hessian or of the model, None where that is not positive definite."""

    def drag(self, vector: Vector, damping: float) -> float:
        """Return damping · pᵀ diag(metric) p, what the damping adds to the quadratic form of a step."""

    def bend(self) -> Vector | None:
        """Return a unit vector of negative curvature of the true Hessian, or None."""


class Terrain(Protocol):
    """A function of x."""

    def at(self, x: Vector) -> Place: ...


def threshold(rule: StoppingRule, here: Place) -> float:
    """Return the decrement at which a place counts as a solution."""
    return max(rule.threshold(here.value), here.noise)


def words(rule: StoppingRule, here: Place) -> str:
    """Say what makes it one."""
    if here.noise > rule.threshold(here.value):
        return "Newton decrement at the level of rounding: the residual is zero to it"
    return rule.describe(here.value)


@dataclass(frozen=True, slots=True)
class Trial:
    """Whether a trial is taken, what it gained of what the model promised, and the count of steps without use."""

    taken: bool
    ratio: float
    stall: Stall


def judge(here: Place, there: Place, promised: float, decrement: float, stall: Stall) -> Trial:
    """Judge a trial; its ratio is 1 where gain and promise are both rounding, −1 where it is none."""
    gained = here.value - there.value
    if promised <= MEASURABLE * abs(here.value) and abs(gained) <= MEASURABLE * abs(here.value):
        gained = promised
    ratio = gained / promised if promised > 0.0 and np.isfinite(gained) else -1.0
    if ratio >= ENOUGH and np.isfinite(there.gradient).all():
        return Trial(True, ratio, stall.after(here.value, there.value, decrement))
    flat = promised <= FLAT * abs(here.value)
    return Trial(False, ratio, stall.after(here.value, here.value, decrement) if flat else stall)


def record_of(
    k: int,
    here: Place,
    direction: Direction,
    step_size: float | None,
    note: str | None,
    phases: dict[str, float],
    damping: float | None = None,
) -> Iteration:
    """Return the record of iteration k; ``step_size`` is None where nothing was tried, 0 where it was not taken."""
    return Iteration(
        iteration=k,
        loss=here.value,
        gradient_norm=float(np.linalg.norm(here.gradient)),
        newton_decrement=direction.decrement,
        step_size=step_size,
        line_search_evaluations=0 if step_size is None else 1,
        cg_iterations=direction.cg_iterations,
        damping=damping,
        note=note,
        phases=phases,
    )


def leave(terrain: Terrain, here: Place, rule: StoppingRule) -> Place | None:
    """Return a lower place along a direction of negative curvature, or None where there is none to be had."""
    bend = here.bend() if rule.tolerance <= RESTING else None
    if bend is None:
        return None
    if float(here.gradient @ bend) > 0.0:
        bend = -bend
    step = max(1.0, float(np.linalg.norm(here.x)))
    for _ in range(HALVINGS):
        there = terrain.at(here.x + step * bend)
        if there.value < here.value * (1.0 - 1e-13) and np.isfinite(there.gradient).all():
            return there
        step *= 0.5
    return None
