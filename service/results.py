"""What a finished job has to show: the result of a solve, and the arrays of a solve or a prediction."""

from newtond.contract.errors import Conflict
from newtond.contract.job import Finished
from newtond.contract.result import Result, ResultArray
from service.backend import Backend


def result_of(backend: Backend, job_id: str) -> Result:
    """Return the job's result; raises NotFound, and Conflict while or because there is none."""
    finished = _succeeded(backend, job_id)
    if finished.prediction is not None:
        raise Conflict("A prediction has no result of its own: its job says all, and links to its array.")
    if finished.result is None:
        raise Conflict("The job ended without a result.", source={"status": finished.status})
    return finished.result


def arrays_of(backend: Backend, job_id: str) -> dict[str, ResultArray]:
    """Return the arrays that the job made, by name; raises NotFound, and Conflict where there are none."""
    return _succeeded(backend, job_id).arrays() or result_of(backend, job_id).arrays


def _succeeded(backend: Backend, job_id: str) -> Finished:
    finished = backend.jobs.finished(job_id)
    if finished is None:
        raise Conflict("The job has not finished.", source={"status": "unfinished"})
    if finished.error is not None:
        error = finished.error.model_dump(exclude_none=True, exclude={"request_id"})
        raise Conflict(
            f"The job failed: {finished.error.detail}", source={"status": "failed", "error": error}
        )
    return finished
