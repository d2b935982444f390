"""Globalised Newton: Gauss-Newton curvature far away, the true Hessian near, damped as Levenberg-Marquardt.

Pure Newton from afar goes to the wrong place (at z = 0 the exp row weight is 2 − b): steps use the positive
semidefinite model until one is taken whole and gains what the model promised. From there they use the true
Hessian where it is positive definite. A point that satisfies the stopping rule is left again where the true
Hessian has a direction of descent (a saddle, such as x = 0 under cosh).

Sources: Levenberg (1944), Marquardt (1963), Steihaug (1983); stopping as in `stopping`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter

from scipy.linalg.blas import dnrm2

from newtond.contract.errors import NonFinite
from newtond.contract.result import Termination
from newtond.contract.trace import Iteration
from newtond.engine.hessians import Direction, Hessian, Request
from newtond.engine.methods.line_search import Accepted, backtrack
from newtond.engine.methods.saddle import descend, indefinite
from newtond.engine.methods.stopping import STALLED, Stall, StoppingRule, exhausted
from newtond.engine.objective import Evaluation, Objective
from newtond.engine.sketches import Key
from newtond.engine.state import State, Step

FAR, NEAR = 1e-1, 1e-3
MANY_ITERATIONS = 40
MOST_ESCALATION = 2
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-8, 1e12


@dataclass(frozen=True, slots=True)
class Memory:
    """What an iteration needs to know of those before it, beside x."""

    damping: float = 0.0
    near: bool = False
    escalation: int = 0
    stall: Stall = field(default_factory=Stall)

    @classmethod
    def of(cls, state: State) -> "Memory":
        """Read what ``scalars`` wrote."""
        get = state.scalars.get
        return cls(
            float(get("damping", 0.0)),
            bool(get("near", False)),
            int(get("escalation", 0)),
            Stall.of(state.scalars),
        )

    def scalars(self) -> dict[str, float | int | str]:
        """Return the memory as a state's scalars."""
        known: dict[str, float | int | str] = {
            "damping": self.damping,
            "near": int(self.near),
            "escalation": self.escalation,
        }
        return known | self.stall.scalars()


@dataclass(slots=True)
class Report:
    """The line of the trace under construction."""

    step_size: float | None = None
    evaluations: int = 0
    note: str | None = None
    phases: dict[str, float] | None = None

    def time(self, phase: str, since: float) -> None:
        self.phases = self.phases or {}
        self.phases[phase] = self.phases.get(phase, 0.0) + perf_counter() - since

    def record(self, k: int, here: Evaluation, direction: Direction | None, damping: float) -> Iteration:
        """Return the line: what was measured at x_k and the step that was taken from it."""
        return Iteration(
            iteration=k,
            loss=here.value,
            gradient_norm=float(dnrm2(here.gradient)),  # a sum of squares can overflow far away
            newton_decrement=direction.decrement if direction else None,
            step_size=self.step_size,
            line_search_evaluations=self.evaluations,
            sketch=direction.sketch if direction else None,
            cg_iterations=direction.cg_iterations if direction else None,
            damping=damping,
            note=self.note,
            phases=self.phases or {},
        )


def newton(
    objective: Objective, hessian: Hessian, rule: StoppingRule, seed: int, state: State
) -> Iterator[Step]:
    """Yield a step an iteration until the rule or the limit; raises NonFinite at the start."""
    memory, k = Memory.of(state), state.iteration
    since = perf_counter()
    here = objective.expand(state.arrays["x"])
    if not here.finite:
        raise NonFinite("the objective or its gradient is not finite at the start")
    while True:
        report = Report()
        report.time("sweep", since)
        since = perf_counter()
        direction, memory = _direction(objective, hessian, here, memory, Key(seed, k))
        direction, memory = _undamped(objective, hessian, here, memory, Key(seed, k), direction, rule)
        report.time("direction", since)
        since = perf_counter()
        termination, words = _verdict(rule, memory, direction, here.value, k)
        there: Evaluation | None = None
        if termination == "converged" and indefinite(objective, hessian, here, Key(seed, k)):
            there = descend(objective, here, Key(seed, k))
            if there is not None:
                report.note = "left a saddle point"
                memory, termination = Memory(escalation=memory.escalation), None
        if termination is not None:
            report.time("curvature", since)
            kept = State(k, {"x": here.x}, memory.scalars())
            yield Step(
                report.record(k, here, direction, memory.damping), kept, termination, words, here.measured
            )
            return
        damping = memory.damping
        if there is None:
            there, memory = _advance(objective, here, direction, memory, report)
        report.time("line_search", since)
        after = State(k + 1, {"x": there.x}, memory.scalars())
        yield Step(report.record(k, here, direction, damping), after, measured=here.measured)
        here, k, since = there, k + 1, perf_counter()


def _direction(
    objective: Objective, hessian: Hessian, here: Evaluation, memory: Memory, key: Key
) -> tuple[Direction, Memory]:
    """Return a direction of descent: of the true Hessian when near and definite, else of the model."""
    accuracy = NEAR if memory.near else FAR
    request = Request(
        here.gradient, here.curvature, memory.damping, memory.near, accuracy, key, memory.escalation
    )
    found = hessian.direction(objective, request)
    if found is None and memory.near:
        memory = replace(memory, near=False)
        request = replace(request, exact=False)
        found = hessian.direction(objective, request)
    while found is None:
        memory = replace(memory, damping=max(10.0 * memory.damping, FIRST_DAMPING))
        if memory.damping > MOST_DAMPING:
            raise NonFinite("the Hessian has no finite factorisation")
        request = replace(request, damping=memory.damping)
        found = hessian.direction(objective, request)
    if (found.cg_iterations or 0) > MANY_ITERATIONS:
        memory = replace(memory, escalation=min(memory.escalation + 1, MOST_ESCALATION))
    return found, memory


def _undamped(
    objective: Objective,
    hessian: Hessian,
    here: Evaluation,
    memory: Memory,
    key: Key,
    found: Direction,
    rule: StoppingRule,
) -> tuple[Direction, Memory]:
    """Damping shrinks the decrement: where it alone would end the solve, solve again without it."""
    if memory.damping == 0.0 or found.decrement > rule.threshold(here.value):
        return found, memory
    return _direction(objective, hessian, here, replace(memory, damping=0.0), key)


def _verdict(
    rule: StoppingRule, memory: Memory, direction: Direction, value: float, k: int
) -> tuple[Termination | None, str]:
    small = direction.decrement <= rule.threshold(value)
    if small and direction.solved and memory.damping == 0.0:
        return "converged", rule.describe(value)
    if memory.stall.reached or memory.damping > MOST_DAMPING:
        trusted = direction.solved and memory.damping == 0.0
        return exhausted(value, direction.decrement) if trusted else STALLED
    return rule.spent(k) or (None, "")


def _advance(
    objective: Objective, here: Evaluation, direction: Direction, memory: Memory, report: Report
) -> tuple[Evaluation, Memory]:
    """Return the next point (or the same one, more damped) and what was learnt on the way."""
    taken = backtrack(objective, here, direction.vector)
    there = objective.expand(here.x + taken.step * direction.vector) if taken else here
    if taken is None or not there.finite:
        report.step_size, report.note = 0.0, "no step decreased the loss: damping raised"
        stall = memory.stall.after(here.value, here.value, direction.decrement)
        return here, replace(memory, near=False, damping=_more(memory.damping), stall=stall)
    report.step_size, report.evaluations = taken.step, taken.evaluations
    return there, _learn(memory, here, there, direction, taken)


def _learn(
    memory: Memory, here: Evaluation, there: Evaluation, direction: Direction, taken: Accepted
) -> Memory:
    """Judge the model by gained against promised decrease: near or far, more damping or less.

    Where the Gauss-Newton model did badly the true Hessian is tried next: cosh near 0 has slope 0, and the
    model all but no curvature, where the loss may have much.
    """
    promised = direction.decrement**2 * (taken.step - 0.5 * taken.step**2)
    measurable = promised > 1e-10 * abs(here.value)
    ratio = (here.value - taken.value) / promised if measurable else 1.0
    whole = taken.step == 1.0
    damping = memory.damping
    poor = taken.step < 0.3 * taken.first or ratio < 0.25
    if poor:
        damping = _more(damping)
    elif whole and ratio > 0.75:
        damping = damping / 16.0 if damping > LEAST_DAMPING else 0.0
    return replace(
        memory,
        damping=damping,
        near=(poor and not memory.near) or (whole and ratio > (0.25 if memory.near else 0.5)),
        stall=memory.stall.after(here.value, there.value, direction.decrement),
    )


def _more(damping: float) -> float:
    return max(8.0 * damping, FIRST_DAMPING)
