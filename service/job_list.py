"""Pages of jobs, newest first."""

import json
from collections.abc import Iterator
from itertools import islice

from newtond.contract.errors import NotFound, QueueUnavailable
from newtond.contract.job import Status
from service.backend import Backend
from service.ended_jobs import Line, line_of
from service.job_resource import job_resource


def list_page(
    backend: Backend, status: Status | None, tag: str | None, after: str | None, limit: int
) -> bytes:
    """Return at most ``limit`` such jobs older than ``after``, and the next page's cursor, as a JobList in JSON."""
    found = list(islice(_matching(backend, status, tag, after), limit + 1))
    page = found[:limit]
    cursor = json.dumps(page[-1].job_id if len(found) > limit else None).encode()
    return b'{"jobs":[' + b",".join(line.body for line in page) + b'],"after":' + cursor + b"}"


def _matching(backend: Backend, status: Status | None, tag: str | None, after: str | None) -> Iterator[Line]:
    redis = _redis_answers(backend)
    for job_id in backend.jobs.ids(after):
        line = backend.house.ended.find(backend.jobs, job_id) or _read(backend, job_id, redis)
        if line is None:
            continue
        if (status is None or line.status == status) and (tag is None or tag in line.tags):
            yield line


def _read(backend: Backend, job_id: str, redis: bool) -> Line | None:
    try:
        line = line_of(job_resource(backend, job_id, redis=redis))
    except NotFound:  # purged since it was listed
        return None
    backend.house.ended.keep(line)
    return line


def _redis_answers(backend: Backend) -> bool:
    """Asked once a page: a silent Redis would cost its timeout a job."""
    try:
        backend.queue.ping()
    except QueueUnavailable:
        return False
    return True
