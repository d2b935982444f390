"""Jobs: list, look, wait, cancel, delete."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Response

from newtond.contract.job import FINISHED, Job, JobList, Status
from service import responses
from service.backend import Backend, backend
from service.cancellation import cancel, purge
from service.entity_tag import IfNoneMatch, entity_tag, matches
from service.job_list import list_page
from service.job_resource import job_resource
from service.parameters import JobIdPath
from service.preferences import Prefer, applied, preferred_wait
from service.waiting import poll, wait_finished

router = APIRouter(prefix="/jobs", tags=["jobs"])
TheBackend = Annotated[Backend, Depends(backend)]
Cursor = Annotated[
    str | None,
    Query(
        pattern=r"^job_[0-9A-HJKMNP-TV-Z]{26}$", description="a page's `after`: what is older than that job"
    ),
]
FOUND = {200: {"model": Job, "headers": responses.ETAG | responses.REQUEST_ID}}


@router.get("", summary="Jobs, newest first", response_model=JobList, responses=responses.problems(422))
def list_jobs(
    backend: TheBackend,
    status: Status | None = None,
    tag: Annotated[str | None, Query(max_length=64, description="only jobs with this tag")] = None,
    after: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    page = list_page(backend, status, tag, after, min(limit, backend.settings.page_size))
    return Response(page, media_type="application/json")


@router.get(
    "/{job_id}",
    summary="A job's state",
    response_model=Job,
    responses=responses.merged(FOUND, responses.NOT_MODIFIED, responses.problems(404, 410, 422)),
)
async def get_job(
    job_id: JobIdPath, backend: TheBackend, prefer: Prefer = None, if_none_match: IfNoneMatch = None
) -> Response:
    """`Prefer: wait=N` waits until the job has finished or, with `If-None-Match`, until it has changed."""
    wait = preferred_wait(prefer, backend.settings.wait_seconds)
    job = await _awaited(backend, job_id, wait, if_none_match)
    body = job.model_dump_json().encode()
    headers = {"ETag": entity_tag(body), "Cache-Control": "no-cache"} | applied(wait)
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


async def _awaited(backend: Backend, job_id: str, wait: float | None, known: str | None) -> Job:
    async def look() -> Job:
        return await to_thread.run_sync(job_resource, backend, job_id)

    def settled(job: Job) -> bool:
        changed = known is not None and not matches(known, entity_tag(job.model_dump_json().encode()))
        return changed or job.status in FINISHED

    if wait is None:
        return await look()
    if known is None:
        await wait_finished(backend, job_id, wait)
        return await look()
    return await poll(look, settled, wait, backend.departure)


@router.post(
    "/{job_id}/cancel",
    summary="Stop a job and keep the best iterate so far; a finished job stays as it is",
    status_code=202,
    response_model=Job,
    responses=responses.merged(
        {
            200: {"model": Job, "description": "The job has ended."},
            202: {"model": Job, "description": "The job will stop."},
        },
        responses.problems(404, 410, 422),
    ),
)
def cancel_job(job_id: JobIdPath, backend: TheBackend) -> Response:
    ended = cancel(backend, job_id)
    job = job_resource(backend, job_id)
    return Response(job.model_dump_json(), 200 if ended else 202, media_type="application/json")


@router.delete(
    "/{job_id}",
    summary="Cancel a job if needed, then delete it and all that it wrote; its arrays stay",
    status_code=204,
    responses=responses.merged(
        {
            202: {"description": "The job is asked to stop and is deleted when it has."},
            204: {"description": "Deleted."},
        },
        responses.problems(404, 410, 422),
    ),
)
def delete_job(job_id: JobIdPath, backend: TheBackend) -> Response:
    return Response(status_code=204 if purge(backend, job_id) else 202)
