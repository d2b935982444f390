"""The handle of a job: wait for it, watch it, cancel it, fetch what it came to."""

import asyncio
import json
import sys
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond_client.answers import array_of, document_of
from newtond_client.calls import Awaits, Blocks, call, stream
from newtond_client.errors import ConnectionLost, Interrupted, JobCancelled, NotConverged, api_error
from newtond_client.events import events
from newtond_client.fit import Fit, Trace
from newtond_client.models import Job as JobState
from newtond_client.models import Result, TracePage, TraceRecord
from newtond_client.progress import shown
from newtond_client.retry import Pauses, Retries
from newtond_client.spec import Wanted
from newtond_client.transport import Reply, Request, Transport

FINISHED = frozenset({"succeeded", "failed", "cancelled"})
POLL_SECONDS = 30
PAGE = 10_000


@dataclass(frozen=True)
class Link:
    """The way to a server: a transport and its retries."""

    transport: Transport
    retries: Retries

    async def send(self, request: Request) -> Reply:
        return await self.retries.send(self.transport, request)

    async def document(self, request: Request) -> Any:
        """Return the JSON of the answer."""
        return document_of(await self.send(request))


class JobCalls:
    """Every call of a job's handle, written once; see ``Job`` and ``AsyncJob``."""

    def __init__(self, link: Link, state: JobState, request: Wanted | None = None) -> None:
        self.link = link
        self.state = state
        self._request = request

    @property
    def id(self) -> str:
        """The job's id."""
        return self.state["id"]

    @property
    def path(self) -> str:
        return f"/jobs/{self.id}"

    @call
    async def refresh(self) -> JobState:
        """Return the job's present state."""
        return await self._look()

    @call
    async def wait(self, progress: bool | None = None) -> Fit:
        """Wait until the job has ended and return its ``Fit``.

        Raises SolveError if it failed, JobCancelled if it was cancelled without an iterate, and Interrupted on
        Ctrl-C: the job goes on.
        """
        return await self._wait(progress)

    @call
    async def result(self) -> Fit:
        """Return the ``Fit`` of a job that has ended; raises Conflict if it has not."""
        await self._look()
        return await self._fit()

    @call
    async def cancel(self) -> JobState:
        """Ask the job to stop; its best iterate so far is kept."""
        self.state = await self.link.document(Request("POST", f"{self.path}/cancel"))
        return self.state

    @call
    async def bundle(self, path: Path) -> None:
        """Write the evidence of a finished job to a .zip file: spec, chain, result, seal, solution, verifier."""
        reply = await self.link.send(Request("GET", f"{self.path}/bundle"))
        path.write_bytes(reply.content)

    @call
    async def delete(self) -> None:
        """Cancel the job if need be, and delete it and what it wrote."""
        await self.link.send(Request("DELETE", self.path))

    @stream
    async def trace(self, after: int | None = None) -> AsyncIterator[TraceRecord]:
        """Yield the iterations past ``after`` as they are made, until the job has ended."""
        async for record in self._follow(after):
            if record is not None:
                yield record

    async def _look(self, wait: int = 0) -> JobState:
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        self.state = await self.link.document(Request("GET", self.path, headers))
        return self.state

    async def _wait(self, progress: bool | None) -> Fit:
        try:
            state = await self._finished(progress)
        except KeyboardInterrupt:
            raise Interrupted(self.id) from None
        except (ConnectionLost, asyncio.CancelledError) as error:
            error.add_note(f"{self.id} goes on on the server.")
            raise
        if state["status"] == "failed":
            raise api_error(state["error"], self.id)  # type: ignore[arg-type]
        if "result" not in state.get("links", {}):
            raise JobCancelled(f"{self.id} was cancelled before it had an iterate.")
        fit = await self._fit()
        if not fit.converged:
            warnings.warn(NotConverged(f"{self.id}: {fit.result['stopping_rule']}"), stacklevel=_outside())
        return fit

    async def _finished(self, progress: bool | None) -> JobState:
        """Return the state of the ended job; where progress is shown, show it."""
        screen = shown(progress, self._tolerance())
        if screen is not None:
            try:
                screen.status(self.state)
                async with aclosing(self._follow(None)) as records:
                    async for record in records:
                        if record is not None:
                            screen.iteration(record)
                        else:
                            screen.status(await self._look())
            finally:
                screen.close()
        while (await self._look(POLL_SECONDS))["status"] not in FINISHED:
            pass
        return self.state

    def _tolerance(self) -> float | None:
        return self._request.body.get("solver", {}).get("tolerance") if self._request else None

    async def _follow(self, after: int | None) -> AsyncGenerator[TraceRecord | None, None]:
        """Yield iterations as the server sends them, None at a sign of life; across lost connections."""
        pauses = Pauses(self.link.retries.patience)
        while True:
            try:
                async with self.link.retries.stream(self.link.transport, self._events(after)) as reply:
                    assert reply.lines is not None
                    async for event in events(reply.lines):
                        pauses.reset()
                        if event.name == "end":
                            return
                        if event.name == "iteration":
                            record: TraceRecord = json.loads(event.data)
                            after = record["iteration"]
                            yield record
                        elif not event.name:
                            yield None
            except ConnectionLost:
                if not pauses.left():
                    raise
            await pauses.take(self.link.transport)

    def _events(self, after: int | None) -> Request:
        headers = {"Accept": "text/event-stream"}
        return Request("GET", f"{self.path}/trace", headers, {} if after is None else {"after": after})

    async def _fit(self) -> Fit:
        result: Result = await self.link.document(Request("GET", f"{self.path}/result"))
        headers = {"Accept": "application/x-npy"}
        arrays = {
            name: array_of(await self.link.send(Request("GET", array["href"], headers)))
            for name, array in result["arrays"].items()
        }
        return Fit(
            self.state, result, arrays, Trace(await self._records()), self._problem(), self._encoding()
        )

    async def _prediction(self) -> NDArray[np.float64]:
        """Return the array of a prediction, once it is there."""
        state = await self._finished(False)
        if state["status"] == "failed":
            raise api_error(state["error"], self.id)  # type: ignore[arg-type]
        if (made := state.get("prediction")) is None:
            raise JobCancelled(f"{self.id} was cancelled before it had an answer.")
        href = made["arrays"]["prediction"]["href"]
        return array_of(await self.link.send(Request("GET", href, {"Accept": "application/x-npy"})))

    @call
    async def records(self) -> list[TraceRecord]:
        """Return the iterations so far."""
        return await self._records()

    async def _records(self) -> list[TraceRecord]:
        records: list[TraceRecord] = []
        query = {"limit": PAGE}
        while True:
            page: TracePage = await self.link.document(Request("GET", f"{self.path}/trace", query=query))
            records += page["records"]
            if page["finished"] or len(page["records"]) < PAGE:
                return records
            query["after"] = records[-1]["iteration"]

    def _problem(self) -> Mapping[str, Any] | None:
        return self._request.body["problem"] if self._request else self.state.get("problem")

    def _encoding(self) -> Any:
        encodings = self._request.encodings if self._request else {}
        return encodings.get("A")


def _outside() -> int:
    """Return the stack level, as ``warnings.warn`` counts it, of whoever called this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(__package__):
        level, frame = level + 1, frame.f_back
    return level


class Job(JobCalls, Blocks):
    """A job, waited for in calls that block."""

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.state['status']})"


class AsyncJob(JobCalls, Awaits):
    """A job whose calls are awaited."""

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r}, {self.state['status']})"
