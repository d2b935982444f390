"""Quasi-Newton steps in the metric of one kept Hessian: one pass over A a step, no Hessian after the first.

    p = −H g,   H the L-BFGS inverse Hessian of the last pairs (s, y) that starts from M⁻¹                  (1)

M is partial at first (`hessians.frozen`), or the diagonal where even that costs many passes. Where the rate of the
last steps promises more passes than the next dearer one costs, that is built at the present x and kept in turn.
λ = √(gᵀ H g) / √min(sᵀy / sᵀMs, 1) estimates the Newton decrement: the correction is the weakest curvature, against
M, of the steps seen. A point is accepted only after a step that at least halved λ, so that a direction that M holds
too stiff and that decays slowly is seen. Whatever looks unlike a convex neighbourhood (a step that does not lower F,
a row of negative curvature at the end, a loss that stands still) is left to Newton's method, from where it is.

Sources: Nocedal (1980); Liu, Nocedal (1989). Difference: the initial metric is a kept, partial Hessian.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from scipy.linalg.blas import dnrm2

from newtond.contract.result import Termination
from newtond.contract.trace import Iteration
from newtond.engine.hessians import Hessian
from newtond.engine.hessians.dense import ExactHessian
from newtond.engine.hessians.frozen import FrozenHessian, exact
from newtond.engine.methods.line_search import ARMIJO, SLACK, shrink
from newtond.engine.methods.newton import newton
from newtond.engine.methods.stopping import Stall, StoppingRule
from newtond.engine.objective import Evaluation, Objective, Slope
from newtond.engine.state import Matrix, State, Step, Vector

PAIRS = 12
JUDGED, SPARE, MOST_BUILDS = 3, 5.0, 4
HALVED, CERTAIN = 0.5, 1e-3
WEAKEST = 1e-3
TRIALS = 3

NOT_CONVEX = "rows of negative curvature remain"

Build = Callable[[Objective, Evaluation], FrozenHessian | None]


@dataclass(frozen=True)
class Memory:
    """What an iteration needs to know of those before it: where M was built, how often, and what it taught."""

    anchor: Vector
    builds: int = 0
    steps: Matrix = field(default_factory=lambda: np.empty((0, 0)))
    changes: Matrix = field(default_factory=lambda: np.empty((0, 0)))
    decrements: Vector = field(default_factory=lambda: np.empty(0))
    weakest: float = 1.0
    stall: Stall = field(default_factory=Stall)

    @classmethod
    def of(cls, state: State) -> "Memory":
        """Read what ``state`` wrote, or begin at its x."""
        kept = state.arrays
        if "anchor" not in kept:
            return cls.at(kept["x"], 0)
        builds, weakest = int(state.scalars["builds"]), float(state.scalars["weakest"])
        return cls(
            kept["anchor"],
            builds,
            kept["steps"],
            kept["changes"],
            kept["decrements"],
            weakest,
            Stall.of(state.scalars),
        )

    @classmethod
    def at(cls, x: Vector, builds: int) -> "Memory":
        """Begin anew at x."""
        return cls(x, builds, np.empty((0, len(x))), np.empty((0, len(x))))

    def state(self, k: int, x: Vector) -> State:
        """Return all of it as a state."""
        arrays = {"x": x, "anchor": self.anchor, "steps": self.steps, "changes": self.changes}
        scalars: dict[str, float | int | str] = {"builds": self.builds, "weakest": self.weakest}
        return State(k, arrays | {"decrements": self.decrements}, scalars | self.stall.scalars())

    def after(self, step: Vector, change: Vector, decrement: float, square: float, stall: Stall) -> "Memory":
        """Return the memory with one more pair (s, y), ``square`` = sᵀMs."""
        return replace(
            self,
            weakest=min(self.weakest, float(step @ change) / square),
            steps=np.vstack([self.steps, step])[-PAIRS:],
            changes=np.vstack([self.changes, change])[-PAIRS:],
            decrements=np.append(self.decrements, decrement),
            stall=stall,
        )

    def passes_left(self, decrement: float, threshold: float) -> float:
        """Return how many steps the rate of the last three promises from here, 0 before there are three."""
        if len(self.decrements) < JUDGED:
            return 0.0
        rate = float(np.log(decrement / self.decrements[-JUDGED]) / JUDGED)
        left = float(np.log(threshold / decrement))
        return left / rate if rate < 0.0 else np.inf


@dataclass(frozen=True)
class Rung:
    """A Hessian that may be kept, and what building it costs in passes over A.

    ``squared`` where it is built from the diagonal of AᵀDA, which then comes with the pass at the anchor.
    """

    build: Build
    price: float
    squared: bool = False


@dataclass(frozen=True)
class Route:
    """The Hessians that may be kept, from cheap to exact; the last one again and again, None: then no more."""

    rungs: tuple[Rung, ...]
    last: ExactHessian | None
    price: float = np.inf

    def build(self, objective: Objective, anchor: Evaluation, builds: int) -> FrozenHessian | None:
        """Return M at the anchor."""
        if builds < len(self.rungs):
            return self.rungs[builds].build(objective, anchor)
        return None if self.last is None else exact(self.last, objective, anchor)

    def expand(self, objective: Objective, x: Vector, builds: int) -> Evaluation:
        """Return F at an anchor, with what the Hessian after so many is built from."""
        return objective.expand(x, builds < len(self.rungs) and self.rungs[builds].squared)

    def price_of(self, builds: int) -> float:
        """Return what the Hessian after so many costs, in passes over A."""
        return self.rungs[builds].price if builds < len(self.rungs) else self.price


def direction(frozen: FrozenHessian, memory: Memory, gradient: Vector) -> tuple[Vector, float]:
    """Return −H g by the two-loop recursion, and the estimate of the Newton decrement."""
    S, Y = memory.steps, memory.changes
    rho = 1.0 / np.einsum("ij,ij->i", S, Y)
    alpha = np.empty(len(S))
    right = gradient.copy()
    for i in range(len(S) - 1, -1, -1):
        alpha[i] = rho[i] * (S[i] @ right)
        right -= alpha[i] * Y[i]
    found = frozen.factor.solve(right)
    for i in range(len(S)):
        found += (alpha[i] - rho[i] * (Y[i] @ found)) * S[i]
    square = max(float(gradient @ found), 0.0)
    return -found, float(np.sqrt(square / memory.weakest))


def quasi_newton(
    objective: Objective,
    route: Route,
    rule: StoppingRule,
    seed: int,
    state: State,
) -> Iterator[Step]:
    """Yield a step an iteration until the rule or the limit; Newton's method takes over where it must."""
    assert route.last is not None
    if state.scalars.get("handed_over"):
        yield from _newton(objective, route.last, rule, seed, state)
        return
    last = state
    for step in convex_steps(objective, route, rule, state):
        if step.termination == "stalled":
            break
        last = step.state
        yield step
        if step.termination is not None:
            return
    near = {"near": int(step.stopping_rule == NOT_CONVEX)}
    left = State(last.iteration, {"x": last.arrays["x"]}, near)
    yield from _newton(objective, route.last, rule, seed, left)


def _newton(
    objective: Objective, hessian: Hessian, rule: StoppingRule, seed: int, state: State
) -> Iterator[Step]:
    for step in newton(objective, hessian, rule, seed, state):
        scalars = {**step.state.scalars, "handed_over": 1}
        yield replace(step, state=replace(step.state, scalars=scalars))


def convex_steps(objective: Objective, route: Route, rule: StoppingRule, state: State) -> Iterator[Step]:
    """Yield steps while the neighbourhood looks convex; a last one that says stalled where it does not."""
    memory, k, phases = Memory.of(state), state.iteration, dict[str, float]()
    frozen, here = _built(route, objective, memory, phases)
    if k > 0 and (state.arrays["x"] != memory.anchor).any():
        here = objective.slope(state.arrays["x"])
    while frozen is not None:
        vector, decrement = direction(frozen, memory, here.gradient)
        threshold = rule.threshold(here.value)
        if _worth_another(route, memory, decrement, threshold):
            memory = replace(Memory.at(here.x, memory.builds + 1), stall=memory.stall)
            frozen = (
                _built(route, objective, memory, phases)[0]
                if memory.builds <= len(route.rungs) + MOST_BUILDS
                else None
            )
            continue
        ended = _verdict(rule, memory, here, decrement, k)
        if ended is not None:
            record = _record(k, here, decrement, None, frozen.words, phases)
            yield Step(record, memory.state(k, here.x), *ended, here.measured)
            return
        since = perf_counter()
        there, size, trials = _step(objective, here, vector)
        phases["sweep"] = phases.get("sweep", 0.0) + perf_counter() - since
        if there is None or memory.stall.reached:
            break
        moved = there.x - here.x
        stall = memory.stall.after(here.value, there.value, decrement)
        square = frozen.factor.square(moved)
        memory = memory.after(moved, there.gradient - here.gradient, decrement, square, stall)
        record = _record(k, here, decrement, (size, trials), frozen.words, phases)
        yield Step(record, memory.state(k + 1, there.x), measured=here.measured)
        here, k, phases = there, k + 1, {}
    yield Step(_record(k, here, None, None, None, phases), State(k, {"x": here.x}, {}), "stalled", "left")


def _built(
    route: Route, objective: Objective, memory: Memory, phases: dict[str, float]
) -> tuple[FrozenHessian | None, Slope]:
    """Return M at the memory's anchor (None where there is none), and the slope there."""
    since = perf_counter()
    anchor = route.expand(objective, memory.anchor, memory.builds)
    found = route.build(objective, anchor, memory.builds) if anchor.finite else None
    phases["hessian"] = phases.get("hessian", 0.0) + perf_counter() - since
    return found, anchor.slope


def _worth_another(route: Route, memory: Memory, decrement: float, threshold: float) -> bool:
    """Whether the next Hessian, built at the present x, costs less than going on as before."""
    price = route.price_of(memory.builds + 1)
    if price == np.inf or decrement <= threshold:
        return False
    return memory.weakest < WEAKEST or memory.passes_left(decrement, threshold) > price + SPARE


def _verdict(
    rule: StoppingRule, memory: Memory, here: Slope, decrement: float, k: int
) -> tuple[Termination, str] | None:
    threshold = rule.threshold(here.value)
    if decrement <= threshold:
        halved = len(memory.decrements) > 0 and decrement <= HALVED * memory.decrements[-1]
        if halved or decrement <= CERTAIN * threshold:
            return ("converged", rule.describe(here.value)) if here.positive else ("stalled", NOT_CONVEX)
    return rule.spent(k)


def _step(objective: Objective, here: Slope, vector: Vector) -> tuple[Slope | None, float, int]:
    """Return the first point of sufficient decrease and of positive curvature along the step, or None after three."""
    slope, size = float(here.gradient @ vector), 1.0
    for trial in range(1, TRIALS + 1):
        there = objective.slope(here.x + size * vector)
        if there.finite and there.value <= here.value + ARMIJO * size * slope + SLACK * abs(here.value):
            bends = float(vector @ (there.gradient - here.gradient)) > 0.0
            return (there if bends else None), size, trial
        size *= shrink(there.value - here.value, size * slope)
    return None, size, TRIALS


def _record(
    k: int,
    here: Slope,
    decrement: float | None,
    step: tuple[float, int] | None,
    words: str | None,
    phases: dict[str, float],
) -> Iteration:
    taken: dict[str, Any] = {"step_size": step[0], "line_search_evaluations": step[1]} if step else {}
    return Iteration(
        iteration=k,
        loss=here.value,
        gradient_norm=float(dnrm2(here.gradient)),
        newton_decrement=decrement,
        note=None if words is None else f"kept Hessian: {words}",
        phases=phases,
        **taken,
    )
