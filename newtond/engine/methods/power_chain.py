"""Least squares on (AᵀA)ʲ or A(AᵀA)ʲ without ever forming a power: a chain of solves with AᵀA.

Two chains share the outer loop: x ← x + T⁺(b − T x), a step of iterative refinement each. `FactorChain` has
R of A = QR and takes two triangular solves a link (or, with a ridge or a deficient rank, the singular values of
R); `LinkChain` takes conjugate gradients on AᵀA, preconditioned, a few iterations a step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

import numpy as np

from newtond.contract.errors import NonFinite
from newtond.contract.result import Termination
from newtond.contract.trace import Iteration
from newtond.engine.hessians.conjugate_gradients import Operator
from newtond.engine.methods.preconditioned_cg import Iterate
from newtond.engine.state import State, Step, Vector

ITERATIONS_A_STEP = 10
LINK_ACCURACY = 1e-14
LARGEST = float(np.finfo(np.float64).max)
STALLED = "refinement no longer halves the gradient: what is left of it is rounding"


class Power(Protocol):
    """T = (AᵀA)ʲ or A (AᵀA)ʲ of the scaled A; 2^gradient_exponent turns a gradient into the caller's."""

    target: Vector
    width: int
    links: int
    tall: bool
    gradient_exponent: int

    def apply(self, x: Vector) -> Vector:
        """Return T x."""

    def loss(self, x: Vector, residual: Vector) -> float:
        """Return the objective; the residual is b − T x."""

    def gradient(self, x: Vector, residual: Vector) -> Vector:
        """Return −Tᵀ residual + λ x."""

    def link(self, vector: Vector) -> Vector:
        """Return AᵀA vector."""

    def predict(self, vector: Vector) -> Vector:
        """Return A vector."""

    def first(self, residual: Vector) -> Vector:
        """Return the right side of the first link."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Converged: ‖gradient‖ ≤ tolerance · ‖gradient at x = 0‖."""

    tolerance: float
    max_iterations: int
    at_zero: float

    @property
    def threshold(self) -> float:
        return self.tolerance * self.at_zero

    def words(self, termination: Termination) -> str:
        if termination == "converged":
            return f"‖g‖ ≤ {self.tolerance:g} of that at x = 0"
        return STALLED if termination == "stalled" else f"{self.max_iterations} iterations"


@dataclass(frozen=True, slots=True)
class Point:
    """x, its residual b − T x, loss and ‖gradient‖, in the scale of T; 2^exponent makes the caller's gradient."""

    x: Vector
    residual: Vector
    loss: float
    slope: float
    exponent: int

    @classmethod
    def at(cls, power: Power, x: Vector) -> "Point":
        """Measure x; raises NonFinite where it is beyond float64."""
        if not np.isfinite(x).all():
            raise NonFinite("the solution has entries beyond float64: scale A or b")
        residual = power.target - power.apply(x)
        slope = float(np.linalg.norm(power.gradient(x, residual)))
        return cls(x, residual, power.loss(x, residual), slope, power.gradient_exponent)

    def record(self, k: int, note: str | None = None, **fields: object) -> Iteration:
        """Return the record of iteration k at this point."""
        with np.errstate(over="ignore"):
            slope = min(float(np.ldexp(self.slope, self.exponent)), LARGEST)
        return Iteration.model_validate(
            {"iteration": k, "loss": self.loss, "gradient_norm": slope, "note": note, **fields}
        )


def refine(power: Power, rule: Rule, solve: Callable[[Point], Vector], state: State | None) -> Iterator[Step]:
    """Yield a step for each x ← x + solve(x), a whole chain by factors, until the rule or a stall.

    A correction that does not halve the gradient is not taken.
    """
    state = state or State(0, {"x": np.zeros(power.width)}, {"last": -1.0})
    here, k, last = Point.at(power, state.arrays["x"]), state.iteration, float(state.scalars["last"])
    while True:
        since = perf_counter()
        termination = _verdict(rule, here, k, last)
        ahead = here
        if termination is None:
            ahead = Point.at(power, here.x + solve(here))
            if k > 0 and ahead.slope > 0.5 * here.slope:
                ahead, last = here, here.slope
        record = here.record(k, phases={"chain": perf_counter() - since})
        if termination is not None:
            yield Step(record, State(k, {"x": here.x}, {"last": last}), termination, rule.words(termination))
            return
        here, k = ahead, k + 1
        yield Step(record, State(k, {"x": here.x}, {"last": last}))


def _verdict(rule: Rule, here: Point, k: int, last: float) -> Termination | None:
    if here.slope <= rule.threshold:
        return "converged"
    if last >= 0.0:
        return "stalled"
    return "max_iterations" if k >= rule.max_iterations else None


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a chain of conjugate gradients stands: x before this pass, the links done, the link's iterate.

    ``base`` is what a first solve of this link has given; the link then refines it.
    """

    x: Vector
    base: Vector
    link: int
    iterate: Iterate
    first: float
    last: float

    @classmethod
    def begin(
        cls, x: Vector, base: Vector, link: int, right: Vector, precondition: Operator, last: float
    ) -> "Chain":
        """Return the chain at the beginning of a link."""
        begun = Iterate.start(np.zeros_like(right), right, precondition)
        return cls(x, base, link, begun, begun.decrement, last)

    @classmethod
    def of(cls, state: State) -> "Chain":
        """Read what ``state`` wrote."""
        arrays, scalars = state.arrays, state.scalars
        iterate = Iterate.of(arrays, float(scalars["square"]))
        numbers = (float(scalars["first"]), float(scalars["last"]))
        return cls(arrays["x"], arrays["base"], int(scalars["link"]), iterate, *numbers)

    def state(self, k: int) -> State:
        """Return all that continues from here."""
        scalars: dict[str, float | int | str] = {
            "link": self.link,
            "square": self.iterate.square,
            "first": self.first,
            "last": self.last,
        }
        return State(k, {"x": self.x, "base": self.base, **self.iterate.arrays()}, scalars)


def iterate(power: Power, rule: Rule, precondition: Operator, state: State | None) -> Iterator[Step]:
    """Yield a step for every ten iterations of a link; with the last link a pass of refinement is done."""
    nothing = np.zeros(power.width)
    here = Point.at(power, nothing if state is None else state.arrays["x"])
    if state is None:
        k, chain = 0, Chain.begin(here.x, nothing, 0, power.first(here.residual), precondition, -1.0)
    else:
        k, chain = state.iteration, Chain.of(state)
    while True:
        since = perf_counter()
        fresh = chain.link == 0 and not chain.iterate.vector.any() and not chain.base.any()
        termination = _verdict(rule, here, k, chain.last if fresh else -1.0)
        if termination is not None:
            yield Step(here.record(k), chain.state(k), termination, rule.words(termination))
            return
        moved, done, taken = _advance(power, precondition, chain)
        note = f"link {chain.link + 1} of {power.links}: residual {np.linalg.norm(moved.residual):.2e}"
        before, chain = here, replace(chain, iterate=moved)
        if done:
            here, chain = _next_link(power, precondition, here, chain)
        fields = {"cg_iterations": taken, "newton_decrement": moved.decrement}
        phases = {"link": perf_counter() - since}
        yield Step(before.record(k, note, phases=phases, **fields), chain.state(k + 1))
        k += 1


def _next_link(power: Power, precondition: Operator, here: Point, chain: Chain) -> tuple[Point, Chain]:
    """Return the chain at the next link, or at the first one of a new pass, and the point that it starts from.

    The first link of an overdetermined power is least squares: it is solved twice, the second time for what the
    residual of the first leaves, since its right side has lost κ(A).
    """
    nothing, vector = np.zeros(power.width), chain.base + chain.iterate.vector
    if chain.link == 0 and power.tall and not chain.base.any():
        right = power.first(here.residual - power.predict(vector))
        return here, Chain.begin(here.x, vector, 0, right, precondition, chain.last)
    if chain.link + 1 < power.links:
        return here, Chain.begin(here.x, nothing, chain.link + 1, vector, precondition, chain.last)
    here, last = _taken(power, here, vector, first=not here.x.any())
    return here, Chain.begin(here.x, nothing, 0, power.first(here.residual), precondition, last)


def _taken(power: Power, here: Point, correction: Vector, *, first: bool) -> tuple[Point, float]:
    """Return the corrected point, or the same and its gradient where that did not halve."""
    ahead = Point.at(power, here.x + correction)
    if not first and ahead.slope > 0.5 * here.slope:
        return here, here.slope
    return ahead, -1.0


def _advance(power: Power, precondition: Operator, chain: Chain) -> tuple[Iterate, bool, int]:
    """Return the link's iterate some iterations on, whether it is done, and how many they were."""
    here = chain.iterate
    for taken in range(ITERATIONS_A_STEP):
        if here.decrement <= LINK_ACCURACY * chain.first:
            return here, True, taken
        ahead = here.next(power.link, precondition)
        if ahead is None:
            return here, True, taken
        here = ahead[0]
    return here, False, ITERATIONS_A_STEP
