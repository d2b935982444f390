"""The job as GET returns it, put together from its files and, while it runs, from what Redis knows."""

from typing import Any

from newtond.contract.errors import QueueUnavailable
from newtond.contract.job import Accepted, Finished, Job
from newtond.contract.trace import TraceRecord
from newtond.store.queue import LiveState
from service.backend import Backend


def job_resource(backend: Backend, job_id: str, *, redis: bool = True) -> Job:
    """Return the job's present state; without Redis, what the files say. Raises NotFound."""
    accepted = backend.jobs.accepted(job_id)
    finished = backend.jobs.finished(job_id)
    state = _finished(finished) if finished else _unfinished(backend, accepted, redis)
    if finished is None and (late := backend.jobs.finished(job_id)) is not None:
        # It ended between the two looks, and Redis has forgotten it already.
        finished, state = late, _finished(late)
    state["cancel_requested"] = backend.jobs.cancel_requested(job_id)
    return Job.model_validate({**_asked(accepted), **state, "links": _links(accepted, finished)})


def _asked(accepted: Accepted) -> dict[str, Any]:
    return {
        "id": accepted.job_id,
        "task": accepted.task,
        "kind": accepted.spec.problem.kind,
        "problem": accepted.spec.problem,
        "tags": accepted.spec.tags,
        "batch": accepted.batch,
        "created_at": accepted.created_at,
        "shapes": accepted.shapes,
        "inputs": accepted.arrays(),
    }


def _finished(finished: Finished) -> dict[str, Any]:
    state = finished.model_dump(exclude={"format", "job_id", "result"})
    if finished.result is not None:
        state |= {"loss": finished.result.loss, "gradient_norm": finished.result.gradient_norm}
    return state


def _unfinished(backend: Backend, accepted: Accepted, redis: bool) -> dict[str, Any]:
    job_id = accepted.job_id
    if not redis:
        return _from_files(backend, job_id)
    try:
        live = backend.queue.live(job_id)
        position = backend.queue.position(job_id, backend.tenant.name)
    except QueueUnavailable:
        return _from_files(backend, job_id)
    return _from_redis(live, backend.jobs.attempts(job_id)) | {"queue_position": position}


def _from_redis(live: LiveState | None, attempts: int) -> dict[str, Any]:
    """What Redis lost is enqueued again by the reconciler: the job is as good as queued."""
    if live is None:
        return {"status": "queued", "attempt": attempts}
    return {name: getattr(live, name) for name in LiveState.__slots__}


def _from_files(backend: Backend, job_id: str) -> dict[str, Any]:
    attempt = backend.jobs.attempts(job_id)
    state: dict[str, Any] = {"status": "running" if attempt else "queued", "attempt": attempt}
    trace: list[TraceRecord] = backend.jobs.trace(job_id)
    if trace:
        last = trace[-1]
        state |= {"iteration": last.iteration, "loss": last.loss, "gradient_norm": last.gradient_norm}
    return state


def _links(accepted: Accepted, finished: Finished | None) -> dict[str, str]:
    here = f"/jobs/{accepted.job_id}"
    links = {"self": here, "trace": f"{here}/trace", "cancel": f"{here}/cancel"}
    if accepted.batch is not None:
        links["batch"] = f"/batches/{accepted.batch}"
    if finished is not None and finished.result is not None:
        links["result"] = f"{here}/result"
        if accepted.spec.problem.no_prediction() is None:
            links["predict"] = f"{here}/predict"
    if finished is not None and finished.seal is not None:
        links["bundle"] = f"{here}/bundle"
    return links
