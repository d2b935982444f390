"""A prediction: what a finished solve says of new rows, computed from its result arrays alone."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from newtond import engine
from newtond.contract.errors import NonFinite
from newtond.contract.prediction import PredictionReport
from newtond.contract.problem import PROBLEMS
from newtond.contract.result import ResultArray
from newtond.engine import Solution
from worker.inputs import load_as
from worker.result import provenance

if TYPE_CHECKING:
    from worker.job import Assignment

NAME = "prediction"


def predict(assignment: "Assignment") -> PredictionReport:
    """Return the report of a prediction and store its array; raises NotFound, InvalidSpec, NonFinite."""
    accepted, store = assignment.accepted, assignment.data.arrays
    asked, problem = accepted.prediction, PROBLEMS[accepted.spec.problem.kind]
    assert asked is not None
    assert problem.prediction is not None
    found = load_as(problem.results, asked.solution, store)
    solution = Solution({k: np.asarray(array) for k, array in found.items()}, asked.intercept, ())
    solved = load_as(problem.inputs, asked.solved, store)
    rows = load_as(problem.prediction.arrays, asked.rows, store)
    predicted = engine.predict(accepted.spec, solved, solution, rows, assignment.threads)
    _check(predicted)
    return PredictionReport(
        job_id=asked.job_id,
        formula=problem.prediction.formula,
        units=problem.prediction.units,
        arrays={NAME: _stored(assignment, predicted)},
        provenance=provenance(assignment.threads),
    )


def _check(predicted: NDArray[np.float64]) -> None:
    rows = np.flatnonzero(~np.isfinite(predicted).reshape(len(predicted), -1).all(axis=1))
    if rows.size:
        raise NonFinite(
            f"{rows.size} of {len(predicted)} rows have no prediction in float64, row {rows[0]} the first: it is too "
            "large for it, or the formula is not defined there",
            source={"rows": rows[:100].tolist()},
        )


def _stored(assignment: "Assignment", predicted: NDArray[np.float64]) -> ResultArray:
    info, _ = assignment.data.arrays.put_dense(predicted)
    return ResultArray(
        id=info.id,
        shape=info.shape,
        meaning="what the solve says of each new row",
        href=f"/jobs/{assignment.job_id}/result/{NAME}",
    )
