"""A job's trace: one record an iteration, as a page, as lines, as a table, or as it happens."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Response

from newtond.contract.trace import TracePage, TraceRecord
from service import responses
from service.backend import Backend, backend
from service.events import event_stream, ndjson
from service.negotiation import Accept, choose
from service.parameters import JobIdPath
from service.streams import EVENTS, CountedStream
from service.tables import trace_csv

router = APIRouter(prefix="/jobs", tags=["jobs"])
TheBackend = Annotated[Backend, Depends(backend)]
JSON, LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
OFFERED = (JSON, LINES, EVENTS, CSV)


@router.get(
    "/{job_id}/trace",
    summary="Progress, one record an iteration",
    response_model=TracePage,
    responses=responses.merged(
        {
            200: {
                "description": "The trace; as events it is replayed, followed, closed by the event `end`.",
                "content": responses.content(LINES, EVENTS, CSV),
            }
        },
        responses.problems(404, 406, 410, 422),
    ),
)
async def get_trace(
    job_id: JobIdPath,
    backend: TheBackend,
    after: Annotated[
        int | None, Query(ge=0, le=2**53, description="only what follows this iteration")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="most records of a JSON page")] = 1000,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=2**53, description="of events: the iteration seen last")
    ] = None,
    accept: Accept = None,
) -> Response:
    """`Accept` chooses: JSON page, NDJSON, CSV, or server-sent events (the iteration is the event's id)."""
    media_type = choose(accept, OFFERED)
    if media_type == EVENTS:
        await to_thread.run_sync(backend.jobs.accepted, job_id)
        events = event_stream(backend, job_id, after if last_event_id is None else last_event_id)
        return CountedStream(backend, events)
    finished = await to_thread.run_sync(backend.jobs.finished, job_id)
    records = await to_thread.run_sync(backend.jobs.trace, job_id, after)
    if media_type == JSON:
        return Response(_page(records, after, limit, finished is not None), media_type=JSON)
    text = await to_thread.run_sync(ndjson if media_type == LINES else trace_csv, records)
    return Response(text, media_type=media_type)


def _page(records: list[TraceRecord], after: int | None, limit: int, finished: bool) -> bytes:
    page = records[:limit]
    last = page[-1].iteration if page else after
    complete = finished and len(page) == len(records)
    return TracePage(records=page, after=last, finished=complete).model_dump_json().encode()
