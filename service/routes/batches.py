"""Batches: one spec, many targets or a path of ridges, one summary."""

from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from newtond.contract.batch import Batch, BatchList
from newtond.contract.errors import NotFound, UnsupportedFormat
from newtond.store.jobs import new_batch_id
from service import responses
from service.backend import Backend, backend
from service.batch import accept_batch, resolve_batch
from service.batch_list import list_batches
from service.batch_resource import batch_resource, has_finished
from service.body import says_json
from service.cancellation import cancel, purge
from service.document import Document, read_document
from service.job_answer import answer
from service.parameters import BatchIdPath, IdempotencyKey
from service.preferences import Prefer, applied, preferred_wait
from service.submission import check_open
from service.upload import staging
from service.waiting import poll

router = APIRouter(prefix="/batches", tags=["batches"])
TheBackend = Annotated[Backend, Depends(backend)]
Cursor = Annotated[
    str | None,
    Query(
        pattern=r"^batch_[0-9A-HJKMNP-TV-Z]{26}$",
        description="a page's `after`: what is older than that batch",
    ),
]
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/BatchRequest"},
                "example": {
                    "solve": {
                        "problem": {"kind": "least_squares"},
                        "A": [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]],
                        "b": [1.0, 2.5, 4.0],
                    },
                    "ridges": [1.0, 0.1, 0.01],
                },
            }
        },
    }
}
ACCEPTED = {
    202: {
        "model": Batch,
        "description": "Accepted: every member is durable and will finish.",
        "headers": responses.LOCATION | responses.RETRY_AFTER | responses.REQUEST_ID,
    },
    200: {
        "model": Batch,
        "description": "Every member has finished (under `Prefer: wait`).",
        "headers": responses.LOCATION | responses.REQUEST_ID,
    },
}


@router.post(
    "",
    summary="Solve for many targets, or along a path of ridges",
    status_code=202,
    response_model=Batch,
    responses=responses.merged(
        ACCEPTED, responses.problems(400, 404, 408, 409, 410, 411, 413, 415, 422, 503, 507)
    ),
    openapi_extra=BODY,
)
async def solve_batch(
    request: Request, backend: TheBackend, prefer: Prefer = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Members are ordinary jobs; all are accepted or none. Along `ridges` each starts where the last one ended."""
    await to_thread.run_sync(check_open, backend)
    document, batch_id = await _read(request), new_batch_id()
    with staging(backend.incoming) as folder:
        members = await resolve_batch(backend, document, folder, batch_id)
    request_id = request.scope["request_id"]
    batch = await to_thread.run_sync(accept_batch, backend, batch_id, members, idempotency_key, request_id)
    structlog.contextvars.bind_contextvars(batch_id=batch.id)
    wait = preferred_wait(prefer, backend.settings.wait_seconds)
    seen = await _awaited(backend, batch.id, wait)
    return answer(seen, f"/batches/{batch.id}", wait, done=seen.finished)


async def _read(request: Request) -> Document:
    if not says_json(request) or "content-encoding" in request.headers:
        raise UnsupportedFormat("A batch is asked for as application/json; upload its arrays first.")
    return await to_thread.run_sync(read_document, await request.body())


async def _awaited(backend: Backend, batch_id: str, wait: float | None) -> Batch:
    batch = await to_thread.run_sync(backend.batches.accepted, batch_id)

    async def look() -> bool:
        return await to_thread.run_sync(has_finished, backend, batch)

    await poll(look, bool, wait or 0.0, backend.departure)
    return await to_thread.run_sync(batch_resource, backend, batch_id)


@router.get("", summary="Batches, newest first", responses=responses.problems(422))
def get_batches(
    backend: TheBackend,
    finished: Annotated[bool | None, Query(description="only those that have, or have not, ended")] = None,
    tag: Annotated[str | None, Query(max_length=64, description="only batches with this tag")] = None,
    after: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchList:
    return list_batches(backend, finished, tag, after, min(limit, backend.settings.page_size))


@router.get(
    "/{batch_id}",
    summary="A batch: how many members are how far, and what came of each",
    response_model=Batch,
    responses=responses.problems(404, 422),
)
async def get_batch(batch_id: BatchIdPath, backend: TheBackend, prefer: Prefer = None) -> Response:
    """`Prefer: wait=N` waits until every member has finished."""
    wait = preferred_wait(prefer, backend.settings.wait_seconds)
    seen = await _awaited(backend, batch_id, wait)
    headers = {"Cache-Control": "no-cache"} | applied(wait)
    return Response(seen.model_dump_json(), headers=headers, media_type="application/json")


@router.post(
    "/{batch_id}/cancel",
    summary="Stop every member that has not finished, and keep what each has so far",
    status_code=202,
    response_model=Batch,
    responses=responses.merged(
        {
            200: {"model": Batch, "description": "Every member has ended."},
            202: {"model": Batch, "description": "Members that run will stop."},
        },
        responses.problems(404, 422),
    ),
)
def cancel_batch(batch_id: BatchIdPath, backend: TheBackend) -> Response:
    # From the last to the first: else each would start as the one before it ends.
    for job in reversed(backend.batches.accepted(batch_id).jobs):
        try:
            cancel(backend, job.job_id)
        except NotFound:  # deleted before
            continue
    seen = batch_resource(backend, batch_id)
    return Response(seen.model_dump_json(), 200 if seen.finished else 202, media_type="application/json")


@router.delete(
    "/{batch_id}",
    summary="Cancel a batch if needed, then delete it with its jobs; its arrays stay",
    status_code=204,
    responses=responses.merged(
        {
            202: {"description": "Members that run are asked to stop and are deleted when they have."},
            204: {"description": "Deleted."},
        },
        responses.problems(404, 422),
    ),
)
def delete_batch(batch_id: BatchIdPath, backend: TheBackend) -> Response:
    ended = True
    for job in reversed(backend.batches.accepted(batch_id).jobs):
        try:
            ended &= purge(backend, job.job_id)
        except NotFound:  # deleted before
            continue
    backend.batches.delete(batch_id)
    return Response(status_code=204 if ended else 202)
