"""What a finished solve can be asked of new rows: from a request to an accepted prediction."""

from collections.abc import Mapping
from pathlib import Path

from anyio import to_thread
from pydantic import ValidationError

from newtond.contract.array import ArrayId, ArrayRole
from newtond.contract.errors import Gone, InvalidSpec, NotFound
from newtond.contract.job import Accepted
from newtond.contract.prediction import NewRows, Prediction, PredictionForm
from newtond.contract.problem import PROBLEMS
from newtond.contract.result import Result
from newtond.contract.solve import SolveSpec
from service.backend import Backend
from service.document import Document, announce, take_inline
from service.errors import invalid_spec
from service.results import result_of
from service.shapes import check_rows
from service.submission import accept, named_by, shapes_of, store, write_inline
from service.upload import Upload


class Solved:
    """A finished solve that predicts; raises NotFound, Conflict where it has no result, InvalidSpec."""

    def __init__(self, backend: Backend, job_id: str) -> None:
        self.job_id = job_id
        self.result: Result = result_of(backend, job_id)
        self.spec: SolveSpec = backend.jobs.accepted(job_id).spec
        if (why := self.spec.problem.no_prediction()) is not None:
            raise InvalidSpec(f"This solve predicts nothing: {why}.", source={"job_id": job_id})

    @property
    def form(self) -> PredictionForm:
        """What its kind predicts from."""
        form = self.spec.problem.prediction
        assert form is not None
        return form

    def own(self, name: str) -> ArrayId | None:
        """Return the id of an array of the solve, None if it had none of that name."""
        array = self.spec.arrays().get(name)
        assert array is None or isinstance(array, str)
        return array

    def of(self, rows: Mapping[str, ArrayId]) -> Prediction:
        """Return the prediction of these new rows."""
        arrays = self.result.arrays
        solved = {name: id for name in self.form.solved if (id := self.own(name)) is not None}
        return Prediction(
            job_id=self.job_id,
            rows=dict(rows),
            solved=solved,
            solution={name: arrays[name].id for name in self.form.solution if name in arrays},
            intercept=self.result.intercept,
        )


async def read_rows(
    backend: Backend, solved: Solved, document: Document, uploads: Mapping[str, Upload], folder: Path
) -> dict[str, ArrayId]:
    """Return the new rows, every array stored and named by id; raises InvalidSpec, InvalidArray, …"""
    taken = solved.form.arrays
    for part in uploads:
        if part not in taken:
            raise InvalidSpec(f"{_takes(solved)}, not {part}.", source={"part": part})
    announce(document, [name for name in named_by(uploads) if name in taken])
    inline = take_inline(document)
    given = _new_rows(solved, document).arrays()
    files = dict(uploads) | await to_thread.run_sync(write_inline, inline, folder)
    ids = {name: array for name, array in given.items() if isinstance(array, str) and name not in files}
    for name in given:
        if name in files:
            held = await store(backend, name, files[name])
            if twice := sorted(ids.keys() & held.keys()):
                raise InvalidSpec(f"{twice[0]} is given twice.", source={"part": twice[0]})
            # An svmlight file holds targets too, which no prediction reads.
            ids |= {each: array for each, array in held.items() if each in taken}
    return ids | _of_the_solve(solved, ids)


def _takes(solved: Solved) -> str:
    return f"{solved.spec.problem.kind} predicts from {', '.join(solved.form.arrays)}"


def _new_rows(solved: Solved, document: Document) -> NewRows:
    try:
        rows = NewRows.model_validate(document)
    except ValidationError as error:
        raise invalid_spec(error) from None
    given = rows.arrays()
    for name in given:
        if name not in solved.form.arrays:
            raise InvalidSpec(f"{_takes(solved)}, not {name}.", source={"pointer": f"/{name}"})
    for name, role in solved.form.arrays.items():
        if role.required and name not in given:
            raise InvalidSpec(f"{_takes(solved)}: {name} is missing.", source={"pointer": f"/{name}"})
    return rows


def _of_the_solve(solved: Solved, given: Mapping[str, ArrayId]) -> dict[str, ArrayId]:
    """Return the arrays that are not given and that the solve has; raises InvalidSpec where it had groups."""
    own = {name: id for name in solved.form.arrays if (id := solved.own(name)) and name not in given}
    if "groups" in own:
        detail = "The solve had groups, and shares are of a group: say which group each new row is of."
        raise InvalidSpec(detail, source={"pointer": "/groups"})
    return own


def accept_prediction(
    backend: Backend,
    solved: Solved,
    rows: Mapping[str, ArrayId],
    idempotency_key: str | None,
    request_id: str,
) -> Accepted:
    """Make a prediction durable and enqueue it.

    Raises NotFound for an unknown array, InvalidSpec for one that does not fit, Gone where an array of the solve
    was deleted.
    """
    prediction = solved.of(rows)
    check_rows(solved.spec, shapes_of(backend, rows), _known(backend, solved, prediction))
    # Its tags are of the solve, and a list by tag is of solves.
    spec = solved.spec.model_copy(update={"tags": []})
    return accept(backend, spec, "predict", idempotency_key, request_id, prediction=prediction)


def _known(
    backend: Backend, solved: Solved, prediction: Prediction
) -> list[tuple[str, ArrayRole, tuple[int, ...]]]:
    """Return what the new rows must fit, as ``check_rows`` takes it; raises Gone."""
    problem = PROBLEMS[solved.spec.problem.kind]
    parts = ((prediction.solution, problem.results), (prediction.solved, problem.inputs))
    try:
        return [
            (f"the solve's {name}", roles[name], backend.arrays.info(id).shape)
            for ids, roles in parts
            for name, id in ids.items()
        ]
    except NotFound as error:
        raise Gone(f"An array that the prediction needs has been deleted. {error.detail}") from None
