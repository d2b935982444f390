"""Levenberg-Marquardt on any function that can say its value, gradient and a damped step.

Steps use the positive semidefinite Gauss-Newton model until one gains about what the model promised with little
damping; from there they use the true Hessian where it is positive definite, or, where it is known by its products
only, a trust region takes over. A point that satisfies the stopping rule is left again where the true Hessian bends
down (a saddle), and is never called converged where the function has no gradient (a kink).

An iteration is one trial step, taken or not. Sources: Levenberg (1944), Marquardt (1963), Nielsen (1999).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from newtond.contract.errors import NonFinite
from newtond.contract.result import Termination
from newtond.contract.trace import Iteration
from newtond.engine.hessians import Direction
from newtond.engine.methods.descent import RESTING, Place, Terrain, judge, leave, record_of, threshold, words
from newtond.engine.methods.stopping import STALLED, Stall, StoppingRule, exhausted
from newtond.engine.methods.trust_region import RADIUS, Region, trust_region
from newtond.engine.state import State, Step

FAR, NEAR = 1e-1, 1e-3
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-7, 1e10
NEAR_DAMPING = 1e-2


@dataclass(frozen=True, slots=True)
class Memory:
    """What an iteration needs to know of those before it, beside x."""

    damping: float = FIRST_DAMPING
    near: bool = False
    stall: Stall = field(default_factory=Stall)

    @classmethod
    def of(cls, state: State) -> "Memory":
        """Read what ``scalars`` wrote."""
        get = state.scalars.get
        return cls(float(get("damping", FIRST_DAMPING)), bool(get("near", False)), Stall.of(state.scalars))

    def scalars(self) -> dict[str, float | int | str]:
        """Return the memory as a state's scalars."""
        return {"damping": self.damping, "near": int(self.near)} | self.stall.scalars()


def gauss_newton(terrain: Terrain, rule: StoppingRule, state: State) -> Iterator[Step]:
    """Yield a step an iteration from ``state`` until the rule or the limit; raises NonFinite at the start."""
    if RADIUS in state.scalars:
        here = terrain.at(state.arrays["x"])
        yield from trust_region(terrain, rule, here, Region.of(state), state.iteration)
        return
    memory, k, since = Memory.of(state), state.iteration, perf_counter()
    here = terrain.at(state.arrays["x"])
    if not (np.isfinite(here.value) and np.isfinite(here.gradient).all()):
        raise NonFinite("the objective or its gradient is not finite at the start")
    while True:
        phases = {"gradient": perf_counter() - since}
        since = perf_counter()
        direction, memory = _direction(here, memory, rule)
        phases["direction"] = perf_counter() - since
        termination, said = _verdict(rule, memory, here, direction, k)
        there, note, since = None, None, perf_counter()
        if termination == "converged" and (there := leave(terrain, here, rule)) is not None:
            note, termination, after = "left a saddle point", None, Memory()
        if termination is not None:
            phases["curvature"] = perf_counter() - since
            kept = State(k, {"x": here.x}, memory.scalars())
            record = record_of(k, here, direction, None, None, phases, memory.damping)
            yield Step(record, kept, termination, said)
            return
        if there is None:
            there, after = _advance(terrain, here, direction, memory)
        moved = there is not here
        phases["trial"] = perf_counter() - since
        note = note or (None if moved else "the step did not decrease the loss: damping raised")
        record = record_of(k, here, direction, float(moved), note, phases, memory.damping)
        if _hands_over(rule, memory, after) and there.products is not None:
            yield Step(record, State(k + 1, {"x": there.x}, Region().scalars()))
            yield from trust_region(terrain, rule, there, Region(), k + 1)
            return
        yield Step(record, State(k + 1, {"x": there.x}, after.scalars()))
        here, memory, k, since = there, after, k + 1, perf_counter()


def measure(here: Place, k: int, note: str) -> Iteration:
    """Return the record of a place where nothing is to be done."""
    direction, memory = _damped(here, Memory(damping=0.0))
    return record_of(k, here, direction, None, note, {}, memory.damping)


def _direction(here: Place, memory: Memory, rule: StoppingRule) -> tuple[Direction, Memory]:
    """Return the step of this iteration: the undamped one where that is small too, which ends the descent."""
    direction, memory = _damped(here, memory)
    if memory.damping == 0.0 or direction.decrement > threshold(rule, here):
        return direction, memory
    undamped, bare = _damped(here, replace(memory, damping=0.0))
    # a longer step is not taken for it: the damping is there because one has failed
    ends = bare.damping == 0.0 and undamped.decrement <= threshold(rule, here)
    return (undamped, bare) if ends else (direction, memory)


def _damped(here: Place, memory: Memory) -> tuple[Direction, Memory]:
    found = here.step(memory.damping, True, NEAR) if memory.near and here.products is None else None
    if found is not None:
        return found, memory
    memory = replace(memory, near=False)
    found = here.step(memory.damping, False, FAR)
    while found is None:
        memory = replace(memory, damping=_more(memory.damping))
        if memory.damping > MOST_DAMPING:
            raise NonFinite("the Gauss-Newton model has no finite factorisation")
        found = here.step(memory.damping, False, FAR)
    return found, memory


def _verdict(
    rule: StoppingRule, memory: Memory, here: Place, direction: Direction, k: int
) -> tuple[Termination | None, str]:
    small = direction.decrement <= threshold(rule, here)
    if small and direction.solved and memory.damping == 0.0:
        return ("stalled", here.kink) if here.kink else ("converged", words(rule, here))
    if memory.stall.reached or memory.damping > MOST_DAMPING:
        if here.kink:
            return "stalled", here.kink
        trusted = memory.damping <= FIRST_DAMPING  # more of it would make any decrement small
        return exhausted(here.value, direction.decrement) if trusted else STALLED
    return rule.spent(k) or (None, "")


def _advance(terrain: Terrain, here: Place, direction: Direction, memory: Memory) -> tuple[Place, Memory]:
    """Return the next place (or the same one, more damped) and what was learnt on the way."""
    there = terrain.at(here.x + direction.vector)
    drag = here.drag(direction.vector, memory.damping)
    promised = 0.5 * (direction.decrement**2 + drag)
    trial = judge(here, there, promised, direction.decrement, memory.stall)
    if not trial.taken:
        return here, Memory(_more(memory.damping), False, trial.stall)
    near = trial.ratio > 0.5 and memory.damping <= NEAR_DAMPING
    return there, Memory(_adapted(memory.damping, trial.ratio), near, trial.stall)


def _hands_over(rule: StoppingRule, before: Memory, after: Memory) -> bool:
    """Return whether the model has nothing more to teach: it promises too much, or needs no damping.

    A descent that only leads to the next stage is not worth the true Hessian.
    """
    return (
        rule.tolerance <= RESTING and after.near and (after.damping >= before.damping or after.damping == 0.0)
    )


def _adapted(damping: float, ratio: float) -> float:
    if ratio < 0.25:
        return max(4.0 * damping, LEAST_DAMPING)
    if ratio > 0.75:
        return damping / 8.0 if damping > LEAST_DAMPING else 0.0
    return damping


def _more(damping: float) -> float:
    return max(8.0 * damping, FIRST_DAMPING)
