"""A trace as server-sent events: what has happened, then what happens, always closed by the event ``end``."""

import time
from collections.abc import AsyncIterator

from anyio import to_thread

from newtond.contract.errors import NotFound
from newtond.contract.trace import TraceRecord
from service.backend import Backend
from service.job_resource import job_resource

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
SHARE = 20.0


async def event_stream(backend: Backend, job_id: str, after: int | None) -> AsyncIterator[str]:
    """Yield the records past iteration ``after`` as they come, their iteration as event id, then ``end``.

    ``end`` says that nothing more will come; a connection that breaks or ends without it, as it does where the
    service is about to leave, is to be taken up again with Last-Event-ID.
    """
    yield "retry: 1000\n\n"
    heard = time.monotonic()
    while True:
        began = time.monotonic()
        try:
            # In this order: a job that has finished by now has written its last line.
            finished = backend.jobs.is_finished(job_id)
            records = await to_thread.run_sync(backend.jobs.trace, job_id, after)
        except NotFound:
            yield _event("end", "{}")
            return
        for record in records:
            yield _event("iteration", record.model_dump_json(), record.iteration)
            after, heard = record.iteration, time.monotonic()
        if finished:
            yield await _end(backend, job_id)
            return
        if backend.departure.closing:
            yield ": leaving\n\n"
            return
        if time.monotonic() - heard > backend.settings.keep_alive_seconds:
            yield ": keep-alive\n\n"
            heard = time.monotonic()
        # A look may cost a small share of the time only, however long the trace is.
        pause = max(SHARE * (time.monotonic() - began), SHORTEST_PAUSE)
        await backend.departure.pause(min(pause, LONGEST_PAUSE))


async def _end(backend: Backend, job_id: str) -> str:
    try:
        job = await to_thread.run_sync(job_resource, backend, job_id)
    except NotFound:
        return _event("end", "{}")
    return _event("end", job.model_dump_json())


def _event(name: str, data: str, id: int | None = None) -> str:
    identity = "" if id is None else f"id: {id}\n"
    return f"event: {name}\n{identity}data: {data}\n\n"


def ndjson(records: list[TraceRecord]) -> str:
    """Return a trace as one JSON object a line."""
    return "".join(record.model_dump_json() + "\n" for record in records)
