"""From a request to an accepted batch: every member checked before any of them is accepted."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from anyio import to_thread
from pydantic import ValidationError

from newtond.contract.batch import AcceptedBatch, BatchRequest, Varies
from newtond.contract.errors import InvalidSpec, NewtondError, NotFound, QueueFull
from newtond.contract.job import Accepted
from newtond.contract.problem import PROBLEMS
from newtond.contract.solve import SolveSpec
from newtond.store.arrays import ArrayStore
from newtond.store.jobs import new_job_ids
from service.backend import Backend
from service.document import Document
from service.errors import invalid_spec
from service.shapes import check_shapes
from service.submission import enqueue, resolve, shapes_of, store, write_inline
from service.warm_start import started

COLUMNS: Literal["columns"] = "columns"


@dataclass(frozen=True)
class Members:
    """One spec a member, in the order asked for; ``chained`` where each goes on from the one before."""

    varies: Varies
    ridges: list[float] | None
    specs: list[SolveSpec]

    @property
    def chained(self) -> bool:
        return self.ridges is not None and bool(self.specs[0].continues)


async def resolve_batch(backend: Backend, document: Document, folder: Path, batch_id: str) -> Members:
    """Return the members, every array stored and named by id; raises InvalidSpec, InvalidArray, …"""
    asked = _read(document)
    targets = asked.targets or await _split(backend, asked, folder) if asked.ridges is None else None
    _check_size(backend, asked.varies, len(targets or asked.ridges or ()))
    body = _tagged(asked.solve, batch_id)
    with _within_solve():
        if targets is not None:
            spec = await resolve(backend, _with_target(body, targets[0]), {}, folder)
        else:
            spec = await resolve(backend, _with_ridge(body, max(asked.ridges or ())), {}, folder)
        spec = await to_thread.run_sync(started, backend, spec)
    return Members(asked.varies, asked.ridges, list(_each(spec, targets, asked.ridges)))


def _read(document: Document) -> BatchRequest:
    try:
        return BatchRequest.model_validate(document)
    except ValidationError as error:
        raise invalid_spec(error) from None


def _each(spec: SolveSpec, targets: list[str] | None, ridges: list[float] | None) -> Iterator[SolveSpec]:
    for target in targets or ():
        yield spec.with_arrays({"b": target})
    for ridge in ridges or ():
        regulariser = spec.regulariser.model_copy(update={"ridge": float(ridge)})
        yield spec.model_copy(update={"regulariser": regulariser})


def _check_size(backend: Backend, varies: Varies, size: int) -> None:
    most = backend.settings.batch_jobs
    if size > most:
        source = {"pointer": f"/{varies}", "limit": most}
        raise InvalidSpec(f"A batch has at most {most} members; these are {size}.", source=source)


def _tagged(solve: Document, batch_id: str) -> Document:
    """Return the body with the batch's own tag, by which ``GET /jobs`` lists its members."""
    tags = solve.get("tags", [])
    return {**solve, "tags": [*tags, batch_id] if isinstance(tags, list) else tags}


def _with_target(solve: Document, target: str) -> Document:
    if solve.get("b") is not None:
        raise InvalidSpec("b is given twice: the members have each its own.", source={"pointer": "/b"})
    kind = solve["problem"].get("kind") if isinstance(solve.get("problem"), dict) else None
    if isinstance(kind, str) and kind in PROBLEMS and "b" not in PROBLEMS[kind].inputs:
        raise InvalidSpec(f"{kind} takes no array b to vary.", source={"pointer": "/problem/kind"})
    return {**solve, "b": target}


def _with_ridge(solve: Document, ridge: float) -> Document:
    """Return the body with the largest ridge, so that a kind that takes none refuses it."""
    regulariser = solve.get("regulariser") or {}
    if not isinstance(regulariser, dict):
        return solve
    if regulariser.get("ridge"):
        detail = "The ridge is given twice: the members have each its own."
        raise InvalidSpec(detail, source={"pointer": "/regulariser/ridge"})
    return {**solve, "regulariser": {**regulariser, "ridge": ridge}}


async def _split(backend: Backend, asked: BatchRequest, folder: Path) -> list[str]:
    """Store each column of a dense matrix as a vector; return their ids in order."""
    matrix = asked.columns
    if not isinstance(matrix, str):
        inline = asked.model_dump(mode="json")[COLUMNS]
        written: dict[str, Any] = {COLUMNS: inline}
        upload = (await to_thread.run_sync(write_inline, written, folder))[COLUMNS]
        matrix = next(iter((await store(backend, COLUMNS, upload)).values()))
    return await to_thread.run_sync(_columns, backend, matrix)


def _columns(backend: Backend, matrix: str) -> list[str]:
    source: dict[str, Any] = {"pointer": f"/{COLUMNS}"}
    try:
        stored = backend.arrays.open(matrix)
    except NotFound as error:
        raise NotFound(error.detail, source=source) from None
    if stored.format != "dense" or len(stored.shape) != 2:
        detail = "columns is a dense matrix, a target in each column; a sparse one is given as vectors, in targets."
        raise InvalidSpec(detail, source=source)
    data = stored.parts["data"]
    _check_size(backend, COLUMNS, data.shape[1])
    arrays = ArrayStore(backend.arrays.root, backend.quotas.room(backend.tenant))
    return [arrays.put_dense(np.ascontiguousarray(data[:, j]))[0].id for j in range(data.shape[1])]


@contextmanager
def _within_solve() -> Iterator[None]:
    """Say in every error that its place is in the body of the solve."""
    try:
        yield
    except NewtondError as error:
        if error.source and "pointer" in error.source:
            error.source["pointer"] = "/solve" + error.source["pointer"]
        raise


def accept_batch(
    backend: Backend, batch_id: str, members: Members, idempotency_key: str | None, request_id: str
) -> AcceptedBatch:
    """Make the batch durable, all of it or nothing, enqueue what may start, and return it.

    With a key that came before, return that batch. Raises NotFound for an unknown array, InvalidSpec for arrays
    that do not fit or a key of another request, QueueFull, QuotaExceeded.
    """
    count = len(members.specs)
    if backend.queue.depth() + count > backend.settings.queued_jobs:
        raise QueueFull("Too many jobs wait already for a batch of this size; try again later.")
    with backend.claims():
        backend.quotas.check_queue(backend.tenant, backend.queue, count)
        wanted = _accepted(backend, batch_id, members, idempotency_key, request_id)
        batch = backend.batches.accept(wanted)
        if batch.id == batch_id:
            for job in batch.jobs:
                if job.after is None:
                    enqueue(backend, job)
    return batch


def _accepted(
    backend: Backend, batch_id: str, members: Members, idempotency_key: str | None, request_id: str
) -> AcceptedBatch:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ids: list[str | None] = [None, *new_job_ids(len(members.specs)), None]
    fingerprint = _fingerprint(batch_id, members)
    shapes = list(_shapes(backend, members))
    jobs = [
        Accepted(
            job_id=str(ids[k + 1]),
            tenant=backend.tenant.name,
            task="solve",
            spec=spec,
            batch=batch_id,
            after=ids[k] if members.chained else None,
            then=ids[k + 2] if members.chained else None,
            shapes=shapes[k],
            fingerprint=fingerprint,
            request_id=request_id,
            created_at=now,
        )
        for k, spec in enumerate(members.specs)
    ]
    return AcceptedBatch(
        id=batch_id,
        varies=members.varies,
        ridges=members.ridges,
        jobs=jobs,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        created_at=now,
    )


def _shapes(backend: Backend, members: Members) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield each member's shapes, checked; what they share is looked at once."""
    with _within_solve():
        shared = shapes_of(backend, {k: v for k, v in members.specs[0].arrays().items() if k != "b"})
    for k, spec in enumerate(members.specs):
        with _of_member(members.varies, k):
            shapes = shared | shapes_of(backend, {"b": spec.b} if spec.b is not None else {})
            in_order = {name: shapes[name] for name in spec.arrays()}
            check_shapes(spec, in_order)
        yield in_order


@contextmanager
def _of_member(varies: Varies, k: int) -> Iterator[None]:
    """Say in every error of b which member's it is, and of all else that it is in the solve."""
    try:
        yield
    except NewtondError as error:
        pointer = (error.source or {}).get("pointer", "")
        own = varies != "ridges" and pointer == "/b"
        place = f"/{varies}/{k}" if own else f"/solve{pointer}"
        raise type(error)(error.detail, source={**(error.source or {}), "pointer": place}) from None


def _fingerprint(batch_id: str, members: Members) -> str:
    bare = [
        spec.model_copy(update={"tags": [tag for tag in spec.tags if tag != batch_id]}).model_dump_json()
        for spec in members.specs
    ]
    return hashlib.sha256("\n".join([members.varies, *bare]).encode()).hexdigest()
