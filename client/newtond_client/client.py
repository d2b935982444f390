"""``Client`` and ``AsyncClient``: the same calls, the one blocking, the other awaited."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtond_client import embedded
from newtond_client.answers import document_of
from newtond_client.calls import Awaits, Blocks, call, stream
from newtond_client.canonical import MEDIA_TYPES as CANONICAL_TYPES
from newtond_client.canonical import Canonical, file_body
from newtond_client.errors import InvalidInput, NotFound, UnexpectedAnswer
from newtond_client.fit import Fit
from newtond_client.job import AsyncJob, Job, JobCalls, Link
from newtond_client.models import (
    ArrayInfo,
    Batch,
    BatchSummary,
    Catalogue,
    Limits,
    Plan,
    ProblemEntry,
    ProblemSummary,
    Version,
)
from newtond_client.models import Job as JobState
from newtond_client.retry import Retries
from newtond_client.sources import File, Source, source_of
from newtond_client.spec import Wanted, wanted
from newtond_client.tables import is_table
from newtond_client.transport import Awaiting, Blocking, Reply, Request

H = TypeVar("H", bound=JobCalls)
PATIENCE_SECONDS = 120.0


class ClientCalls(Generic[H]):
    """Every call, written once; see ``Client`` and ``AsyncClient``."""

    handle: ClassVar[type[JobCalls]]

    def __init__(self, link: Link, progress: bool | None) -> None:
        self.link = link
        self.progress = progress
        self._stored: set[str] = set()

    @call
    async def solve(
        self, /, kind: str, A: Any = None, b: Any = None, *, progress: bool | None = None, **options: Any
    ) -> Fit:
        """Solve a regression of this kind and return its ``Fit``.

        ``A`` and ``b`` (and any other array of the kind, by name) are NumPy arrays, nested lists, SciPy sparse
        matrices, pandas tables, ``Path``s or array ids; ``options`` are the fields of the problem, the
        regulariser, the solver and the spec, whichever they belong to. Raises the server's refusals, SolveError
        if the job fails, and Interrupted on Ctrl-C: the job then goes on.
        """
        job = await self._submit(kind, {"A": A, "b": b, **options})
        return await job._wait(self.progress if progress is None else progress)

    @call
    async def submit(self, /, kind: str, A: Any = None, b: Any = None, **options: Any) -> H:
        """Ask for a solve and return the job's handle at once; arguments as those of ``solve``."""
        return await self._submit(kind, {"A": A, "b": b, **options})

    @call
    async def plan(self, /, kind: str, A: Any = None, b: Any = None, **options: Any) -> Plan:
        """Return how such a solve would be done, and why, without doing it."""
        request = wanted(kind, _arrays_of_fits(options | {"A": A, "b": b}))
        document = document_of(await self._ask(request, {"dry_run": "true"}))
        while "status" in document and document.get("plan") is None:
            document = await self.handle(self.link, document)._finished(None)
        plan: Plan = document.get("plan") or document
        return plan

    @call
    async def predict(
        self, /, job: Fit | JobCalls | str, A: Any = None, **arrays: Any
    ) -> NDArray[np.float64]:
        """Return what the server says of new rows, (n,) or (n, k), by a fit, a job or a job's id.

        ``A`` and the kind's other new arrays, by name, are given as for ``solve``. Raises the server's refusals,
        and SolveError where float64 has no value for a row.
        """
        if isinstance(job, Fit) and job.encoding is not None and is_table(A):
            A = job.encoding.design(A)
        ids: dict[str, str] = {}
        for name, value in {"A": A, **arrays}.items():
            if value is not None:
                ids |= await self._store(name, source_of(value, name))
        ids.pop("b", None)  # a file of several arrays holds targets too
        path = f"/jobs/{job if isinstance(job, str) else job.id}/predict"
        handle = self._job(await self.link.document(Request("POST", path, _key(), json=ids)))
        return await handle._prediction()

    @call
    async def batch(
        self,
        /,
        kind: str,
        A: Any = None,
        b: Any = None,
        *,
        targets: Sequence[Any] | None = None,
        ridges: Sequence[float] | None = None,
        **options: Any,
    ) -> list[H]:
        """Ask for many solves at once, all or none, and return their handles in order.

        One of ``targets`` (vectors b) and ``ridges`` (each goes on from the answer of the one before) is given;
        the rest is as for ``solve``.
        """
        request = wanted(kind, _arrays_of_fits({**options, "A": A, "b": b}))
        ids: dict[str, str] = {}
        for name, source in request.arrays.items():
            ids |= await self._store(name, source)
        body: dict[str, Any] = {"solve": request.with_ids(ids)}
        if targets is not None:
            stored = [await self._store("b", source_of(target, "b")) for target in targets]
            body["targets"] = [each["b"] for each in stored]
        if ridges is not None:
            body["ridges"] = [float(ridge) for ridge in ridges]
        batch: Batch = await self.link.document(Request("POST", "/batches", _key(), json=body))
        paths = [member["links"]["job"] for member in batch["members"]]
        return [self._job(await self.link.document(Request("GET", path)), request) for path in paths]

    @call
    async def job(self, job_id: str) -> H:
        """Return the handle of a job that was submitted before; raises NotFound."""
        return self._job(await self.link.document(Request("GET", f"/jobs/{job_id}")))

    @stream
    async def jobs(self, status: str | None = None, tag: str | None = None) -> AsyncIterator[JobState]:
        """Yield every job, newest first, page by page."""
        query = {name: value for name, value in (("status", status), ("tag", tag)) if value is not None}
        async for job in self._pages("jobs", query):
            yield job

    @stream
    async def batches(
        self, finished: bool | None = None, tag: str | None = None
    ) -> AsyncIterator[BatchSummary]:
        """Yield every batch, newest first, page by page."""
        query = {} if finished is None else {"finished": str(finished).lower()}
        query |= {} if tag is None else {"tag": tag}
        async for batch in self._pages("batches", query):
            yield batch

    async def _pages(self, name: str, query: dict[str, str]) -> AsyncIterator[Any]:
        after: str | None = None
        while True:
            asked = query | ({"after": after} if after else {})
            page = await self.link.document(Request("GET", f"/{name}", query=asked))
            for each in page[name]:
                yield each
            after = page.get("after")
            if after is None:
                return

    @call
    async def upload(self, array: Any) -> str:
        """Store an array, unless the server has it, and return its id; of a file of several, that of A."""
        return next(iter((await self._store("A", source_of(array, "array"))).values()))

    @call
    async def array(self, array_id: str) -> ArrayInfo:
        """Return what the server knows of an array; raises NotFound."""
        info: ArrayInfo = await self.link.document(Request("GET", f"/arrays/{array_id}"))
        return info

    @call
    async def delete_array(self, array_id: str) -> None:
        """Delete an array; raises Conflict while an unfinished job needs it."""
        await self.link.send(Request("DELETE", f"/arrays/{array_id}"))
        self._stored.discard(array_id)

    @call
    async def problems(self) -> list[ProblemSummary]:
        """Return every kind that the server solves."""
        found: Catalogue = await self.link.document(Request("GET", "/problems"))
        return found["problems"]

    @call
    async def problem(self, kind: str) -> ProblemEntry:
        """Return one kind: formula, symbols, arrays, an example; raises NotFound."""
        entry: ProblemEntry = await self.link.document(Request("GET", f"/problems/{kind}"))
        return entry

    @call
    async def limits(self) -> Limits:
        """Return every bound that requests are held to."""
        limits: Limits = await self.link.document(Request("GET", "/limits"))
        return limits

    @call
    async def version(self) -> Version:
        """Return what runs there."""
        version: Version = await self.link.document(Request("GET", "/version"))
        return version

    def _job(self, state: JobState, request: Wanted | None = None) -> H:
        handle: Any = self.handle(self.link, state, request)
        return handle

    async def _submit(self, /, kind: str, options: Mapping[str, Any]) -> H:
        request = wanted(kind, _arrays_of_fits(options))
        reply = await self._ask(request, {})
        return self._job(document_of(reply), request)

    async def _ask(self, request: Wanted, query: Mapping[str, str]) -> Reply:
        """Store what is not stored and ask; once more from the start if an array has been deleted since."""
        headers = _key()
        for last in (False, True):
            ids: dict[str, str] = {}
            for name, source in request.arrays.items():
                ids |= await self._store(name, source)
            body = request.with_ids(ids)
            try:
                return await self.link.send(Request("POST", "/solve", headers, query, json=body))
            except NotFound as error:
                if last or "pointer" not in error.source:
                    raise
                self._stored.difference_update(ids.values())
        raise AssertionError("unreachable")

    async def _store(self, name: str, source: Source) -> dict[str, str]:
        """Return the id of an array under its name; an svmlight file given as A brings b, and groups, with it."""
        if isinstance(source, str):
            return {name: source}
        if isinstance(source, File):
            return await self._send_file(name, source)
        array_id = source.digest()
        if array_id not in self._stored and not await self._has(array_id):
            await self._send_array(source, array_id)
        self._stored.add(array_id)
        return {name: array_id}

    async def _has(self, array_id: str) -> bool:
        try:
            await self.link.send(Request("GET", f"/arrays/{array_id}"))
        except NotFound:
            return False
        return True

    async def _send_array(self, array: Canonical, array_id: str) -> None:
        headers = {"Content-Type": CANONICAL_TYPES[array.format]}
        info: ArrayInfo = await self.link.document(Request("POST", "/arrays", headers, body=array.body()))
        if info["id"] != array_id:
            raise UnexpectedAnswer(f"The server calls an array {info['id']}; its digest is {array_id}.")

    async def _send_file(self, name: str, file: File) -> dict[str, str]:
        headers = {"Content-Type": file.media_type}
        if file.encoding:
            headers["Content-Encoding"] = file.encoding
        with file.path.open("rb") as content:
            request = Request("POST", "/arrays", headers, body=file_body(content))
            answer: Any = await self.link.document(request)
        if "arrays" not in answer:
            return {name: answer["id"]}
        if name != "A":
            raise InvalidInput(f"{file.path.name} holds {', '.join(answer['arrays'])}; it is given as A.")
        return {each: info["id"] for each, info in answer["arrays"].items()}


def _key() -> dict[str, str]:
    """Return the header that makes a request one, however often it is sent."""
    return {"Idempotency-Key": str(uuid.uuid4())}


def _arrays_of_fits(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with a ``Fit`` to start from as its coefficients, its intercept last; else by its job."""
    start = options.get("warm_start")
    if not isinstance(start, Fit):
        return dict(options)
    if "x" not in start.arrays:
        return {**options, "warm_start": {"job": start.id}}
    last = [start.intercept] if options.get("intercept") else []
    return {**options, "warm_start": [*start.x.tolist(), *last]}


class Client(ClientCalls[Job], Blocks):
    """A newtond server at ``url``; without one, a server of its own is started and shared in this process.

    ``key`` is an API key. ``progress`` shows the iterations: None on a terminal only. A lost connection and a
    server that is busy are retried for ``patience`` seconds.
    """

    handle = Job

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        progress: bool | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.url = url or embedded.server_url()
        self._transport = Blocking(self.url, key)
        super().__init__(Link(self._transport, Retries(patience)), progress)

    def close(self) -> None:
        """Close the connections; jobs go on."""
        self._transport.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"


class AsyncClient(ClientCalls[AsyncJob], Awaits):
    """As ``Client``, but its calls are awaited."""

    handle = AsyncJob

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        progress: bool | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.url = url or embedded.server_url()
        self._transport = Awaiting(self.url, key)
        super().__init__(Link(self._transport, Retries(patience)), progress)

    async def close(self) -> None:
        """Close the connections; jobs go on."""
        await self._transport.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"
