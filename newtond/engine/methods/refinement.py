"""Iterative refinement of a linear least-squares solution, an iteration a correction of the exact residual.

It ends by the rule of every other method, or where the decrement λ stops falling: λ is then the rounding of the
residual, which no correction in this precision lowers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from newtond.contract.errors import NonFinite
from newtond.contract.result import Termination
from newtond.contract.trace import Iteration, SketchUse
from newtond.engine.methods.linear_system import LinearSystem
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.objective import Evaluation
from newtond.engine.state import State, Step, Vector


@dataclass(frozen=True, slots=True)
class Correction:
    """A step towards the minimiser and the decrement λ that it promises: F falls by ½ λ².

    ``settled`` is False where the step still changes digits of x; ``residual`` is refined along with x.
    """

    vector: Vector
    decrement: float
    settled: bool = True
    residual: Vector | None = None
    cg_iterations: int | None = None
    sketch: SketchUse | None = None


class Factor(Protocol):
    """A factorisation that corrects; ``least`` corrections make it as backward stable as QR."""

    least: int
    rank: int
    condition: float

    def retarget(self, system: LinearSystem) -> None: ...

    def correction(self, here: Evaluation, residual: Vector | None) -> Correction: ...

    def shortest(self, x: Vector) -> Vector: ...

    def rounding(self, here: Evaluation) -> float: ...


def refine(
    system: LinearSystem, factor: Factor, rule: StoppingRule, route: str, state: State
) -> Iterator[Step]:
    """Yield a step a correction; raises NonFinite where the loss of the start is not finite."""
    k, before = state.iteration, float(state.scalars.get("decrement", np.inf))
    residual = state.arrays.get("residual")
    about: dict[str, float | int | str] = {
        "route": route,
        "rank": factor.rank,
        "condition": factor.condition,
    }
    here = system.objective.expand(state.arrays["x"])
    if not here.finite:
        raise NonFinite("the objective or its gradient is not finite at the start")
    while True:
        since = perf_counter()
        correction = factor.correction(here, residual)
        found = _verdict(rule, factor, here, correction, before, k)
        record = _record(k, here, correction, since, stepped=found is None)
        if found is not None:
            kept = State(k, _arrays(here.x, residual), {**about, "decrement": min(before, 1e300)})
            yield Step(record, kept, *found, here.measured)
            return
        x = factor.shortest(here.x + correction.vector)
        before, residual, k = correction.decrement, correction.residual, k + 1
        after = State(k, _arrays(x, residual), {**about, "decrement": before})
        yield Step(record, after, measured=here.measured)
        here = system.objective.expand(x)


def _arrays(x: Vector, residual: Vector | None) -> dict[str, Vector]:
    return {"x": x} if residual is None else {"x": x, "residual": residual}


def _verdict(
    rule: StoppingRule, factor: Factor, here: Evaluation, correction: Correction, before: float, k: int
) -> tuple[Termination, str] | None:
    decrement = correction.decrement
    if k >= factor.least or decrement == 0.0:
        flat = decrement > 0.5 * before
        if decrement <= rule.threshold(here.value) and (correction.settled or flat):
            return "converged", rule.describe(here.value)
        if flat:
            return _stagnated(factor, here, decrement)
    return rule.spent(k)


def _stagnated(factor: Factor, here: Evaluation, decrement: float) -> tuple[Termination, str]:
    if decrement <= factor.rounding(here):
        return "converged", "corrections no longer lower the decrement: it is the rounding of the residual"
    return "stalled", "corrections no longer lower the decrement, which is larger than rounding"


def _record(k: int, here: Evaluation, correction: Correction, since: float, *, stepped: bool) -> Iteration:
    return Iteration(
        iteration=k,
        loss=here.value,
        gradient_norm=float(np.linalg.norm(here.gradient)),
        newton_decrement=correction.decrement,
        step_size=1.0 if stepped else None,
        sketch=correction.sketch,
        cg_iterations=correction.cg_iterations,
        phases={"direction": perf_counter() - since},
    )
