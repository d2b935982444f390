"""Stopping jobs: one that runs is asked to, one that never started is finished here."""

from datetime import UTC, datetime

import structlog

from newtond.contract.errors import QueueUnavailable
from newtond.contract.job import Finished
from newtond.store.succession import next_in_line
from service.backend import Backend
from service.submission import enqueue

log = structlog.get_logger("newtond.service")


def cancel(backend: Backend, job_id: str) -> bool:
    """Ask the job to stop and say whether it has ended; raises NotFound.

    The wish is a file, so Redis is not needed. A job that has begun is ended by its worker, which keeps
    the best iterate so far.
    """
    if backend.jobs.finished(job_id) is not None:
        return True
    backend.jobs.request_cancel(job_id)
    log.info("cancel requested", job_id=job_id)
    if backend.jobs.attempts(job_id) > 0:
        return False
    backend.jobs.finish(_never_started(job_id))
    _withdraw(backend, job_id)
    _start_next(backend, job_id)
    return True


def purge(backend: Backend, job_id: str) -> bool:
    """Cancel the job if needed and delete it; False if it must stop first. Raises NotFound."""
    if not cancel(backend, job_id):
        backend.deletions.ask(job_id)
        return False
    _start_next(backend, job_id)  # it settles where to start while there is an answer to go on from
    backend.jobs.delete(job_id)
    return True


def _start_next(backend: Backend, job_id: str) -> None:
    following = next_in_line(backend.jobs.accepted(job_id), backend.jobs, backend.arrays)
    if following is not None:
        enqueue(backend, following)


def _never_started(job_id: str) -> Finished:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Finished(job_id=job_id, status="cancelled", termination="cancelled", attempt=0, finished_at=now)


def _withdraw(backend: Backend, job_id: str) -> None:
    try:
        backend.queue.withdraw(job_id, backend.tenant.name)
    except QueueUnavailable:
        # A worker that takes it later finds it finished.
        log.info("cancelled job left in the queue: Redis does not answer", job_id=job_id)
