"""Many right-hand sides: the columns of B one after another, on one factorisation of A where there is one.

A step is a step of the column in work; the state carries the finished columns along. ``max_iterations`` counts
for each column.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.contract.result import Certificate, Curvature
from newtond.contract.solve import SolveSpec
from newtond.engine.arrays import dense_of
from newtond.engine.state import Inputs, Matrix, Solution, State, Step

Solve = Callable[[SolveSpec, Inputs, State], Solution]
WORST: tuple[Curvature, ...] = ("global_minimum", "strict_local_minimum", "undetermined", "saddle")
FACTOR = ("route", "rank", "condition")


class Solver(Protocol):
    """Iterates on column j from a state of its own, or from its start."""

    def __call__(self, j: int, spec: SolveSpec, inputs: Inputs, state: State | None) -> Iterator[Step]: ...


def check(spec: SolveSpec) -> None:
    """Raise InvalidSpec for what means one column only."""
    refused = (
        (spec.warm_start is not None, "/warm_start"),
        ("standard_errors" in spec.outputs, "/outputs"),
        (spec.solver.audit, "/solver/audit"),
    )
    for given, pointer in refused:
        if given:
            raise InvalidSpec("takes one target, b, not the columns of B", source={"pointer": pointer})


def targets(inputs: Inputs) -> Matrix:
    """Return B (n, k)."""
    given, n = inputs["B"], inputs["A"].shape[0]
    if len(given.shape) != 2 or given.shape[0] != n or given.shape[1] == 0:
        raise InvalidSpec(f"B has shape {tuple(given.shape)}, expected ({n}, k)", source={"pointer": "/B"})
    return dense_of(inputs, "B")


def column(spec: SolveSpec, inputs: Inputs, B: Matrix, j: int) -> tuple[SolveSpec, Inputs]:
    """Return the problem of column j."""
    rest = {name: array for name, array in inputs.items() if name != "B"}
    alone = spec.model_copy(update={"b": spec.B, "B": None})
    return alone, {**rest, "b": np.ascontiguousarray(B[:, j], np.float64)}


def steps(spec: SolveSpec, inputs: Inputs, width: int, solve: Solver, state: State | None) -> Iterator[Step]:
    """Yield the steps of every column in turn."""
    check(spec)
    B = targets(inputs)
    state = state or State(0, {"X": np.zeros((width, B.shape[1]))}, {"column": 0, "offset": 0, "failed": ""})
    while True:
        j, last = int(state.scalars["column"]), B.shape[1] - 1
        inner = _inner(state) if "x" in state.arrays else None
        for step in solve(j, *column(spec, inputs, B, j), inner):
            wrapped = _wrapped(step, state, j, last)
            yield wrapped
            state = wrapped.state
            if wrapped.termination is not None:
                return


def _inner(state: State) -> State:
    arrays = {name: array for name, array in state.arrays.items() if name != "X"}
    return State(state.iteration - int(state.scalars["offset"]), arrays, state.scalars)


def _wrapped(step: Step, state: State, j: int, last: int) -> Step:
    """Return the step of column j as one of the whole solve."""
    offset, failed = int(state.scalars["offset"]), str(state.scalars["failed"])
    record = step.record.model_copy(
        update={"iteration": offset + step.record.iteration, "note": f"column {j} of {last + 1}"}
    )
    if step.termination is None:
        scalars = {**step.state.scalars, "column": j, "offset": offset, "failed": failed}
        arrays = {"X": state.arrays["X"], **step.state.arrays}
        return Step(record, State(offset + step.state.iteration, arrays, scalars))
    if step.termination != "converged" and not failed:
        failed = f"{step.termination}: column {j}: {step.stopping_rule}"
    kept = _finished(step.state, state.arrays["X"], j, record.iteration + (j < last), failed)
    if j < last:
        return Step(record, kept)
    if failed:
        word, _, rule = failed.partition(": ")
        return replace(step, record=record, state=kept, termination=word, stopping_rule=rule)  # type: ignore[arg-type]
    return replace(step, record=record, state=kept, stopping_rule=f"every column: {step.stopping_rule}")


def _finished(inner: State, X: Matrix, j: int, iteration: int, failed: str) -> State:
    """Return the state after column j, whose solution is in ``inner``."""
    X = X.copy()
    X[:, j] = inner.arrays["x"]
    factor = {name: inner.scalars[name] for name in FACTOR if name in inner.scalars}
    following = min(j + 1, X.shape[1] - 1)
    return State(iteration, {"X": X}, {**factor, "column": following, "offset": iteration, "failed": failed})


def solution(spec: SolveSpec, inputs: Inputs, state: State, solve: Solve) -> Solution:
    """Return X (d, k), the intercepts (k), and the outputs of each column (n, k)."""
    B, X = targets(inputs), state.arrays["X"].copy()
    if "x" in state.arrays:
        X[:, int(state.scalars["column"])] = state.arrays["x"]
    factor = {name: state.scalars[name] for name in FACTOR if name in state.scalars}
    found = [
        solve(*column(spec, inputs, B, j), State(0, {"x": np.ascontiguousarray(x)}, factor))
        for j, x in enumerate(X.T)
    ]
    arrays = {
        "X" if name == "x" else name: np.column_stack([one.arrays[name] for one in found])
        for name in found[0].arrays
    }
    if spec.intercept:
        arrays["intercepts"] = np.array([one.intercept for one in found], np.float64)
    return Solution(arrays, None, tuple(dict.fromkeys(said for one in found for said in one.warnings)))


def alone(solution: Solution) -> list[Solution]:
    """Return x and intercept of each column by itself."""
    X, intercepts = solution.arrays["X"], solution.arrays.get("intercepts")
    shifts = [None] * X.shape[1] if intercepts is None else intercepts.tolist()
    return [Solution({"x": np.ascontiguousarray(x)}, shift, ()) for x, shift in zip(X.T, shifts, strict=True)]


def certify(
    spec: SolveSpec,
    inputs: Inputs,
    solution: Solution,
    one: Callable[[SolveSpec, Inputs, Solution], Certificate],
) -> Certificate:
    """Return what is proven of all columns: sums of losses, root sums of distances, the worst of the rest."""
    B = targets(inputs)
    found = [one(*column(spec, inputs, B, j), each) for j, each in enumerate(alone(solution))]
    worst = max(found, key=lambda each: (WORST.index(each.curvature), each.distance_bound or 0.0))
    return worst.model_copy(
        update={
            "loss": _all([each.loss for each in found], sum),
            "gradient_norm": _all([each.gradient_norm for each in found], _root_sum),
            "relative_gradient_norm": _all([each.relative_gradient_norm for each in found], max),
            "strong_convexity": _all([each.strong_convexity for each in found], min),
            "distance_bound": _all([each.distance_bound for each in found], _root_sum),
            "backward_error": _all([each.backward_error for each in found], max),
            "statements": [f"Of {len(found)} columns, this is of the worst one.", *worst.statements],
            "seconds": sum(each.seconds for each in found),
        }
    )


def _all(values: list[float | None], combine: Callable[[list[float]], float]) -> float | None:
    """Return the combination, None where any is None."""
    known = [value for value in values if value is not None]
    return float(combine(known)) if len(known) == len(values) else None


def _root_sum(values: list[float]) -> float:
    return float(np.linalg.norm(values))
