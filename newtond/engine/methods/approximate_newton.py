"""The papers' iteration as they state it: x ← x − H̃⁻¹g with a sampled Hessian H̃, whole steps, no line search.

Source: Li, Song, Zhou, arXiv:2303.15725 (2023), algorithm of its main theorem: near the minimiser the error
falls by ε₀/(1 − ε₀) a step, so log(1/ε) steps give accuracy ε. Differences from the source: the start
need not lie within the paper's radius (which cannot be tested), so a step to a point that is not finite ends
the solve there; and the stopping rule is that of every method here.
"""

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

from newtond.contract.errors import NonFinite
from newtond.engine.hessians import Hessian, Request
from newtond.engine.methods.newton import Memory, Report
from newtond.engine.methods.stopping import STALLED, StoppingRule
from newtond.engine.objective import Objective
from newtond.engine.sketches import Key
from newtond.engine.state import State, Step


def approximate_newton(
    objective: Objective, hessian: Hessian, rule: StoppingRule, seed: int, state: State
) -> Iterator[Step]:
    """Yield a step an iteration; raises NonFinite at the start or where the sample is singular."""
    memory, k = Memory.of(state), state.iteration
    since = perf_counter()
    here = objective.expand(state.arrays["x"])
    if not here.finite:
        raise NonFinite("the objective or its gradient is not finite at the start")
    while True:
        report = Report()
        report.time("sweep", since)
        since = perf_counter()
        request = Request(here.gradient, here.curvature, 0.0, True, 0.0, Key(seed, k))
        direction = hessian.direction(objective, request)
        if direction is None:
            raise NonFinite("the sampled Hessian is singular: ask for more rows in solver.sketch.rows")
        report.time("direction", since)
        kept = State(k, {"x": here.x}, memory.scalars())
        if direction.decrement <= rule.threshold(here.value):
            line = report.record(k, here, direction, 0.0)
            yield Step(line, kept, "converged", rule.describe(here.value), here.measured)
            return
        if memory.stall.reached:
            yield Step(report.record(k, here, direction, 0.0), kept, *STALLED, here.measured)
            return
        if (spent := rule.spent(k)) is not None:
            yield Step(report.record(k, here, direction, 0.0), kept, *spent, here.measured)
            return
        since = perf_counter()
        there = objective.expand(here.x + direction.vector)
        if not there.finite:
            line = report.record(k, here, direction, 0.0)
            words = "the whole step leads to a point that is not finite"
            yield Step(line, kept, "stalled", words, here.measured)
            return
        report.step_size = 1.0
        memory = replace(memory, stall=memory.stall.after(here.value, there.value, direction.decrement))
        after = State(k + 1, {"x": there.x}, memory.scalars())
        yield Step(report.record(k, here, direction, 0.0), after, measured=here.measured)
        here, k = there, k + 1
