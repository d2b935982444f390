"""Preconditioned conjugate gradients an iteration at a time, so that any of them can be a checkpoint.

`hessians.conjugate_gradients` runs to its end inside one Newton step; here an iteration is the step. The
residual of the recursion drifts from the true one by rounding, so a solve ends only on a residual computed
anew, and starts again from it where that is not small enough: with each restart a step of iterative refinement.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from newtond.contract.result import Termination
from newtond.contract.trace import Iteration
from newtond.engine.hessians.conjugate_gradients import Operator
from newtond.engine.state import State, Step, Vector


@dataclass(frozen=True, slots=True)
class Iterate:
    """Vector, residual and direction of M v = right; ``square`` = rᵀP⁻¹r, P the preconditioner.

    √square estimates the error in the norm of M, as well as P approximates M.
    """

    vector: Vector
    residual: Vector
    direction: Vector
    square: float

    @classmethod
    def start(cls, vector: Vector, residual: Vector, precondition: Operator) -> "Iterate":
        """Return the iterate at ``vector``, whose residual is right − M vector."""
        direction = precondition(residual)
        return cls(vector, residual, direction, float(residual @ direction))

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.float64]], square: float) -> "Iterate":
        """Read what ``arrays`` wrote."""
        return cls(arrays["vector"], arrays["residual"], arrays["direction"], square)

    def arrays(self) -> dict[str, Vector]:
        """Return the vectors as a state's arrays."""
        return {"vector": self.vector, "residual": self.residual, "direction": self.direction}

    @property
    def decrement(self) -> float:
        """√(rᵀP⁻¹r)."""
        return float(np.sqrt(max(self.square, 0.0)))

    def next(self, product: Operator, precondition: Operator) -> tuple["Iterate", float] | None:
        """Return the next iterate and its step size; None where M is not seen to be positive.

        One product and one application of the preconditioner.
        """
        image = product(self.direction)
        curvature = float(self.direction @ image)
        if not (curvature > 0.0 and self.square > 0.0):
            return None
        step = self.square / curvature
        residual = self.residual - step * image
        conditioned = precondition(residual)
        square = float(residual @ conditioned)
        direction = conditioned + (square / self.square) * self.direction
        return Iterate(self.vector + step * self.direction, residual, direction, square), step


class System(Protocol):
    """A symmetric positive (semi)definite system M v = right, and what its vectors mean to the caller."""

    right: Vector

    def product(self, vector: Vector) -> Vector:
        """Return M vector."""

    def loss(self, vector: Vector, residual: Vector) -> float:
        """Return the caller's objective."""

    def residual_norm(self, residual: Vector) -> float:
        """Return the norm of the residual in the caller's units."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Converged: residual ≤ tolerance · right side, in the caller's norm and in that of P⁻¹."""

    tolerance: float
    max_iterations: int

    def describe(self, both: bool) -> str:
        """Say what was met: in both norms, or in the caller's alone since rounding keeps the other up."""
        said = f"residual, computed anew, ≤ {self.tolerance:g} ‖b‖"
        if both:
            return f"{said}, and √(rᵀP⁻¹r) ≤ {self.tolerance:g} of the first"
        return f"{said}; √(rᵀP⁻¹r) no longer falls, by rounding"


STALLED = "the residual no longer falls: what is left of it is rounding, or outside the range of the matrix"
UNIT = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Memory:
    """The first √(rᵀP⁻¹r), and the norm of the residual at the last restart (−1 before one)."""

    first: float
    restarted: float = -1.0

    @classmethod
    def of(cls, state: State) -> "Memory":
        return cls(float(state.scalars["first"]), float(state.scalars["restarted"]))


@dataclass(frozen=True)
class Run:
    """One solve: the system, its preconditioner and the rule."""

    system: System
    precondition: Operator
    rule: Rule

    def begin(self) -> tuple[Iterate, Memory]:
        """Return the iterate at 0."""
        right = self.system.right
        here = Iterate.start(np.zeros_like(right), right.copy(), self.precondition)
        return here, Memory(here.decrement)

    def meets(self, here: Iterate) -> bool:
        """Say whether the residual is small in the caller's norm."""
        right = self.system.residual_norm(self.system.right)
        return self.system.residual_norm(here.residual) <= self.rule.tolerance * right

    def small(self, here: Iterate, memory: Memory) -> bool:
        """Say whether the residual is small in both norms."""
        return self.meets(here) and here.decrement <= self.rule.tolerance * memory.first

    def ripe(self, here: Iterate, memory: Memory) -> bool:
        """Say whether the recursion claims to be done, or can do no more."""
        return self.small(here, memory) or here.decrement <= UNIT * memory.first

    def anew(self, here: Iterate) -> Iterate:
        """Return the iterate at the same vector with its true residual."""
        residual = self.system.right - self.system.product(here.vector)
        return Iterate.start(here.vector, residual, self.precondition)

    def judge(self, here: Iterate, memory: Memory) -> tuple[Iterate, Memory, Termination | None]:
        """Return the iterate with its true residual, and whether that ends the solve."""
        here = self.anew(here)
        size = self.system.residual_norm(here.residual)
        if self.small(here, memory):
            return here, memory, "converged"
        if 0.0 <= memory.restarted < 2.0 * size:
            return here, memory, "converged" if self.meets(here) else "stalled"
        return here, replace(memory, restarted=size), None

    def words(self, here: Iterate, memory: Memory, termination: Termination) -> str:
        """Say which rule ended the solve."""
        if termination == "converged":
            return self.rule.describe(self.small(here, memory))
        return STALLED if termination == "stalled" else f"{self.rule.max_iterations} iterations"


def solve(system: System, prepare: Callable[[], Operator], rule: Rule, state: State | None) -> Iterator[Step]:
    """Yield a step an iteration until the rule, the limit or a stall; ``prepare`` makes the preconditioner."""
    since = perf_counter()
    run = Run(system, prepare(), rule)
    if state is None:
        here, memory, k = *run.begin(), 0
    else:
        here, memory, k = (
            Iterate.of(state.arrays, float(state.scalars["square"])),
            Memory.of(state),
            state.iteration,
        )
    phases = {"preconditioner": perf_counter() - since}
    while True:
        since = perf_counter()
        termination: Termination | None = None
        note, ahead = None, None
        if k < rule.max_iterations and not run.ripe(here, memory):
            ahead = here.next(system.product, run.precondition)
        if ahead is None and (k < rule.max_iterations or run.ripe(here, memory)):
            here, memory, termination = run.judge(here, memory)
            note = None if termination else "went on from a residual computed anew"
        if termination is None and k >= rule.max_iterations:
            termination = "max_iterations"
        if termination is None and ahead is None:
            ahead = here.next(system.product, run.precondition)
            termination = "stalled" if ahead is None else None
        phases["iterate"] = perf_counter() - since
        record = _record(k, system, here, note, ahead, phases)
        phases = {}
        if termination is not None:
            yield Step(record, _state(k, here, memory), termination, run.words(here, memory, termination))
            return
        assert ahead is not None
        here, k = ahead[0], k + 1
        yield Step(record, _state(k, here, memory))


def _record(
    k: int,
    system: System,
    here: Iterate,
    note: str | None,
    ahead: tuple[Iterate, float] | None,
    phases: dict[str, float],
) -> Iteration:
    return Iteration(
        iteration=k,
        loss=system.loss(here.vector, here.residual),
        gradient_norm=system.residual_norm(here.residual),
        newton_decrement=here.decrement,
        step_size=ahead[1] if ahead else None,
        cg_iterations=1 if ahead else None,
        note=note,
        phases=phases,
    )


def _state(k: int, here: Iterate, memory: Memory) -> State:
    scalars = {"square": here.square, "first": memory.first, "restarted": memory.restarted}
    return State(k, here.arrays(), scalars)
