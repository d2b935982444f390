"""``outputs: ["standard_errors"]`` of the separable families: the solution with its errors added."""

from collections.abc import Callable

import numpy as np

from newtond.contract.solve import SolveSpec
from newtond.engine.methods.standard_errors import Rows, standard_errors
from newtond.engine.regression import Link, Regression
from newtond.engine.state import Inputs, Solution, State, Vector

Solve = Callable[[SolveSpec, Inputs, State, int], Solution]


def with_errors(
    spec: SolveSpec, inputs: Inputs, state: State, threads: int, link: Link, solve: Solve
) -> Solution:
    """Return the solution by ``solve``, with standard errors where they are asked for and identified."""
    if "standard_errors" not in spec.outputs:
        return solve(spec, inputs, state, threads)
    others = [name for name in spec.outputs if name != "standard_errors"]
    found = solve(spec.model_copy(update={"outputs": others}), inputs, state, threads)
    regression = Regression(spec, inputs, link, threads)
    x = found.arrays["x"] if found.intercept is None else np.append(found.arrays["x"], found.intercept)
    errors = standard_errors(regression.objective, x, _rows(regression, link, regression.design.matvec(x)))
    if errors.reason:
        return Solution(found.arrays, found.intercept, (*found.warnings, errors.reason))
    d = regression.design.columns
    arrays = {"standard_errors": errors.classical[:d], "sandwich_errors": errors.sandwich[:d]}
    if found.intercept is not None:
        arrays["intercept_errors"] = np.array([errors.classical[-1], errors.sandwich[-1]])
    return Solution({**found.arrays, **arrays}, found.intercept, found.warnings)


def _rows(regression: Regression, link: Link, z: Vector) -> Rows:
    left = link.function(z) - regression.target
    slope = link.slope(z)
    return Rows(
        squares=regression.scale * slope * slope,
        omega=np.broadcast_to(regression.omega, len(z)),
        slopes=regression.scale * slope * left,
        residual_squares=regression.scale * left * left,
    )
