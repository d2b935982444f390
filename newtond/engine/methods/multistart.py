"""Several starts one after another, each through stages of ever harder functions; the best end is kept.

One numbering runs through all of them, and a state holds what is needed to go on from any iteration: the
current x, how far its start and stage are, and the best end so far. ``max_iterations`` counts in each stage of
each start. A start that reaches a residual of zero to rounding ends the search: none can be better.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from newtond.contract.result import Termination
from newtond.contract.trace import Iteration
from newtond.engine.methods.descent import Place, Terrain
from newtond.engine.methods.gauss_newton import Memory, gauss_newton, measure
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.state import State, Step, Vector

TERMINATIONS: tuple[Termination, ...] = ("converged", "stalled", "max_iterations")
SAME = 1e-6
OURS = ("start", "stage", "begun", "best_start", "best_termination", "best_rule")
CLOSING = "closing"
"""In a state after which only the last record is due, of the best end."""


@dataclass(frozen=True)
class Stage:
    """A function to descend on and when to leave it; ``name`` says which in the trace."""

    terrain: Terrain
    rule: StoppingRule
    name: str = ""


@dataclass(frozen=True)
class Search:
    """``count`` starts x = start(i), each through stages(i), equally many; the last is the objective for all.

    A ``warm`` first start, the caller's own, goes to the last stage at once: the others would lead away from it.
    """

    start: Callable[[int], Vector]
    count: int
    stages: Callable[[int], Sequence[Stage]]
    warm: bool = False

    def at(self, x: Vector) -> Place:
        """Return the objective at x."""
        return self.stages(0)[-1].terrain.at(x)

    def first_state(self) -> State:
        """Return the state before anything was done."""
        clock = _clock(0, len(self.stages(0)) - 1 if self.warm else 0, 0)
        return State(0, {"x": self.start(0), "losses": np.empty(0)}, clock | Memory().scalars())

    def steps(self, state: State | None) -> Iterator[Step]:
        """Yield a step an iteration over all starts and stages; the last state's x is the best end."""
        state = state or self.first_state()
        while CLOSING not in state.scalars:
            step = None
            for step in self._stage(state):
                if step.termination is None:
                    yield step
            assert step is not None
            state = self._next(step)
            record = _noted(step, int(step.state.scalars["start"]))
            if state.iteration == step.state.iteration:
                yield self._closed(state, record)
                return
            yield Step(record, state)
        yield self._closed(state, self._measured(state))

    def _stage(self, state: State) -> Iterator[Step]:
        """Run gauss_newton on the state's stage, in the numbering of the whole search."""
        stage = self.stages(int(state.scalars["start"]))[int(state.scalars["stage"])]
        begun = int(state.scalars["begun"])
        kept = {name: array for name, array in state.arrays.items() if name != "x"}
        ours = _kept(state)
        own = State(state.iteration - begun, {"x": state.arrays["x"]}, state.scalars)
        for step in gauss_newton(stage.terrain, stage.rule, own):
            k = step.record.iteration + begun
            note = "; ".join(part for part in (stage.name, step.record.note) if part) or None
            yield replace(
                step,
                record=step.record.model_copy(update={"iteration": k, "note": note}),
                state=State(
                    step.state.iteration + begun,
                    {**step.state.arrays, **kept},
                    {**step.state.scalars, **ours},
                ),
            )

    def _next(self, step: Step) -> State:
        """Return where to go on after a stage has ended."""
        state, k = step.state, step.state.iteration + 1
        start, stage = int(state.scalars["start"]), int(state.scalars["stage"])
        if stage + 1 < len(self.stages(start)):
            scalars = {**_kept(state), **_clock(start, stage + 1, k), **Memory().scalars()}
            return State(k, state.arrays, scalars)
        best = self._ended(step, start)
        if start + 1 < self.count and not self._perfect(step):
            scalars = {**_kept(best), **_clock(start + 1, 0, k), **Memory().scalars()}
            return State(k, {**best.arrays, "x": self.start(start + 1)}, scalars)
        own = int(best.scalars["best_start"]) == start
        arrays = {"x": best.arrays["best"], "losses": best.arrays["losses"]}
        return State(k - 1 if own else k, arrays, {**_kept(best), CLOSING: 1})

    def _ended(self, step: Step, start: int) -> State:
        """Return the state with the end of this start taken into the account of the best."""
        state, loss = step.state, np.inf if step.record.loss is None else step.record.loss
        arrays = {**state.arrays, "losses": np.append(state.arrays["losses"], loss)}
        if start > 0 and loss >= state.arrays["losses"].min():
            return replace(state, arrays=arrays)
        assert step.termination is not None
        scalars: dict[str, float | int | str] = {
            **state.scalars,
            "best_start": start,
            "best_termination": TERMINATIONS.index(step.termination),
            "best_rule": step.stopping_rule,
        }
        return replace(state, arrays={**arrays, "best": state.arrays["x"]}, scalars=scalars)

    def _perfect(self, step: Step) -> bool:
        place = self.at(step.state.arrays["x"])
        return step.termination == "converged" and np.sqrt(2.0 * place.value) <= 2.0 * place.noise

    def _measured(self, state: State) -> Iteration:
        """Return the record of the best end, where a later start was the last."""
        note = f"start {int(state.scalars['best_start']) + 1} of {len(state.arrays['losses'])} is the best"
        return measure(self.at(state.arrays["x"]), state.iteration, note)

    def _closed(self, state: State, record: Iteration) -> Step:
        """Return the last step of all, which ends as the best start ended."""
        termination = TERMINATIONS[int(state.scalars["best_termination"])]
        return Step(record, state, termination, str(state.scalars["best_rule"]))

    def best(self, state: State) -> Vector:
        """Return the lowest of the current x and the best end."""
        candidates = [state.arrays[name] for name in ("best", "x") if name in state.arrays]
        values = [self.at(x).value for x in candidates]
        return candidates[int(np.argmin(values))]


def _kept(state: State) -> dict[str, float | int | str]:
    return {name: state.scalars[name] for name in OURS if name in state.scalars}


def _clock(start: int, stage: int, begun: int) -> dict[str, float | int | str]:
    return {"start": start, "stage": stage, "begun": begun}


def _noted(step: Step, start: int) -> Iteration:
    """Say in the trace how a stage ended."""
    parts = (step.record.note, f"start {start + 1}: {step.termination}")
    return step.record.model_copy(update={"note": "; ".join(part for part in parts if part)})


def spread(losses: Vector, count: int) -> list[str]:
    """Say how the losses of the starts that have ended differ, and that the best of them is local."""
    if not losses.size:
        return ["no start has ended: x is the current iterate of the first"]
    best, worst = float(losses.min()), float(losses.max())
    alike = int(np.sum(losses <= best + SAME * max(best, np.finfo(float).tiny)))
    said = f"{losses.size} of {count} starts ended: losses {best:.6g} to {worst:.6g}, {alike} at the best"
    return [
        f"{said}; the problem is not convex, so x is local: the best of them, and perhaps not the lowest there is"
    ]
