"""Pages of jobs, newest first."""

from collections.abc import Iterator
from itertools import islice

from newtond.contract.errors import NotFound, QueueUnavailable
from newtond.contract.job import Job, JobList, Status
from service.backend import Backend
from service.job_resource import job_resource


def list_page(
    backend: Backend, status: Status | None, tag: str | None, after: str | None, limit: int
) -> JobList:
    """Return at most ``limit`` such jobs older than ``after``, and the next page's cursor."""
    found = list(islice(_matching(backend, status, tag, after), limit + 1))
    page = found[:limit]
    return JobList(jobs=page, after=page[-1].id if len(found) > limit else None)


def _matching(backend: Backend, status: Status | None, tag: str | None, after: str | None) -> Iterator[Job]:
    redis = _redis_answers(backend)
    for job_id in backend.jobs.ids(after):
        try:
            job = job_resource(backend, job_id, redis=redis)
        except NotFound:  # purged since it was listed
            continue
        if (status is None or job.status == status) and (tag is None or tag in job.tags):
            yield job


def _redis_answers(backend: Backend) -> bool:
    """Asked once a page: a silent Redis would cost its timeout a job."""
    try:
        backend.queue.ping()
    except QueueUnavailable:
        return False
    return True
