"""A warm start that names a job: what it ended at becomes arrays of the new spec, for good."""

from collections.abc import Iterator
from contextlib import contextmanager

from newtond.contract.errors import Conflict, Gone, InvalidSpec, NotFound
from newtond.contract.solve import FromJob, SolveSpec
from newtond.store.succession import starting_arrays
from service.backend import Backend
from service.results import result_of

POINTER = "/warm_start/job"


def started(backend: Backend, spec: SolveSpec) -> SolveSpec:
    """Return the spec with the arrays of the job that its warm start names, if it names one.

    Deleting that job later changes nothing. Raises NotFound, Conflict where it has no result (yet), InvalidSpec
    where it is of another kind, Gone where its arrays were deleted.
    """
    if not isinstance(spec.warm_start, FromJob):
        return spec
    job_id = spec.warm_start.job
    with _pointing():
        result = result_of(backend, job_id)
        _check(backend.jobs.accepted(job_id).spec, spec)
    try:
        ids = starting_arrays(spec, result, backend.arrays)
    except NotFound as error:
        raise Gone(error.detail, source={"pointer": POINTER}) from None
    return spec.model_copy(update={"warm_start": None}).with_arrays(ids)


def _check(earlier: SolveSpec, spec: SolveSpec) -> None:
    kind, other = spec.problem.kind, earlier.problem.kind
    if kind != other:
        raise InvalidSpec(f"A {kind} solve cannot start where a {other} one ended.")
    if not (spec.continues and earlier.continues):
        raise InvalidSpec("Of several targets there is no one answer to start from.")
    if given := [name for name in spec.continues if name in spec.arrays()]:
        raise InvalidSpec(f"Where to start is given twice: as {given[0]} and as warm_start.")


@contextmanager
def _pointing() -> Iterator[None]:
    """Say in every error that it is about the job named."""
    try:
        yield
    except (NotFound, Conflict, InvalidSpec) as error:
        raise type(error)(error.detail, source={**(error.source or {}), "pointer": POINTER}) from None
