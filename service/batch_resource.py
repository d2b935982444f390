"""The batch as GET returns it, put together from its members' files: Redis is not asked for each of them."""

from collections import Counter
from datetime import datetime
from typing import Any

from newtond.contract.batch import AcceptedBatch, Batch, BatchSummary, Member, MemberStatus
from newtond.contract.errors import NotFound
from newtond.contract.job import FINISHED, Accepted, Finished
from service.backend import Backend

ENDED = FINISHED | {"deleted"}


def batch_resource(backend: Backend, batch_id: str) -> Batch:
    """Return the batch's present state; raises NotFound."""
    batch = backend.batches.accepted(batch_id)
    members = [_member(backend, batch, k) for k in range(len(batch.jobs))]
    return Batch(**_summary(batch, [member.status for member in members]), members=members)


def batch_summary(backend: Backend, batch: AcceptedBatch) -> BatchSummary:
    """Return the batch's present state without what came of each member."""
    return BatchSummary(**_summary(batch, [_state(backend, job)["status"] for job in batch.jobs]))


def _summary(batch: AcceptedBatch, statuses: list[MemberStatus]) -> dict[str, Any]:
    spec, here = batch.jobs[0].spec, f"/batches/{batch.id}"
    return {
        "id": batch.id,
        "kind": spec.problem.kind,
        "varies": batch.varies,
        "finished": ENDED.issuperset(statuses),
        "counts": dict(Counter(statuses)),
        "total": len(statuses),
        "tags": spec.tags,
        "created_at": batch.created_at,
        "links": {"self": here, "cancel": f"{here}/cancel", "jobs": f"/jobs?tag={batch.id}"},
    }


def has_finished(backend: Backend, batch: AcceptedBatch) -> bool:
    """Say whether no member is left to end; costs a stat or two a member."""
    jobs = backend.jobs
    return all(jobs.is_finished(job.job_id) or not jobs.exists(job.job_id) for job in batch.jobs)


def _member(backend: Backend, batch: AcceptedBatch, k: int) -> Member:
    job, ridges = batch.jobs[k], batch.ridges
    own: dict[str, Any] = {"job_id": job.job_id, "ridge": None if ridges is None else ridges[k]}
    if ridges is None:
        own["b"] = job.spec.b
    return Member(**own, **_state(backend, job))


def _state(backend: Backend, job: Accepted) -> dict[str, Any]:
    here = f"/jobs/{job.job_id}"
    try:
        finished = backend.jobs.finished(job.job_id)
    except NotFound:
        return {"status": "deleted", "links": {}}
    if finished is None:
        begun = backend.jobs.attempts(job.job_id) > 0
        return {"status": "running" if begun else "queued", "links": {"job": here}}
    links = {"job": here} | ({"result": f"{here}/result"} if finished.result else {})
    return _ended(finished) | {"links": links}


def _ended(finished: Finished) -> dict[str, Any]:
    result = finished.result
    return {
        "status": finished.status,
        "termination": finished.termination,
        "converged": finished.converged,
        "iterations": finished.iteration,
        "loss": None if result is None else result.loss,
        "gradient_norm": None if result is None else result.gradient_norm,
        "curvature": None if result is None else result.certificate.curvature,
        "seconds": _seconds(finished),
        "error": None if finished.error is None else finished.error.type,
    }


def _seconds(finished: Finished) -> float | None:
    if finished.started_at is None:
        return None
    begun, ended = (datetime.fromisoformat(time) for time in (finished.started_at, finished.finished_at))
    return (ended - begun).total_seconds()
