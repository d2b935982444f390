"""From a request to an accepted job: the spec, its arrays in the store, the job durable, then queued.

The order is the promise: ``accepted.json`` is durable before Redis hears of the job, and Redis before the
caller does. Redis is asked first whether it is there (503, and nothing is kept); if it dies in between, the
job is accepted all the same: the reconciler enqueues it when Redis is back.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from anyio import to_thread

from newtond.contract.array import ArrayInfo
from newtond.contract.errors import (
    InvalidArray,
    InvalidSpec,
    NewtondError,
    NotFound,
    QueueFull,
    QueueUnavailable,
)
from newtond.contract.job import Accepted, Task
from newtond.contract.solve import ARRAY_POINTERS, SolveSpec
from newtond.store.jobs import new_job_id
from service.backend import Backend
from service.document import Document, announce, read_spec, take_inline
from service.parsing import parse
from service.shapes import check_shapes
from service.upload import Upload, check_room, room

INLINE = ".json"
log = structlog.get_logger("newtond.service")


def check_open(backend: Backend) -> None:
    """Raise QueueUnavailable, QueueFull or StorageLow unless a job could be taken now."""
    if backend.queue.depth() >= backend.settings.queued_jobs:
        raise QueueFull("Too many jobs wait already; try again later.")
    check_room(backend.settings)


async def resolve(
    backend: Backend, document: Document, uploads: Mapping[str, Upload], folder: Path
) -> SolveSpec:
    """Return the spec with every array stored and named by id; raises InvalidSpec, InvalidArray, …"""
    announce(document, uploads)
    inline = take_inline(document)
    spec = read_spec(document)
    _check_limits(backend, spec)
    files = dict(uploads) | await to_thread.run_sync(_write_inline, inline, folder)
    ids = {name: (await _store(backend, name, files[name])).id for name in spec.arrays() if name in files}
    return spec.with_arrays(ids)


def _check_limits(backend: Backend, spec: SolveSpec) -> None:
    longest = backend.settings.job_seconds
    if spec.solver.time_limit > longest:
        source = {"pointer": "/solver/time_limit", "limit": longest}
        raise InvalidSpec(f"The time limit is past the {longest:g} s allowed here.", source=source)


def _write_inline(arrays: Mapping[str, Any], folder: Path) -> dict[str, Upload]:
    uploads = {}
    for name, array in arrays.items():
        path = folder / f"{name}{INLINE}"
        with room():
            path.write_text(json.dumps(array))
        uploads[name] = Upload(path, "application/json")
    return uploads


async def _store(backend: Backend, name: str, upload: Upload) -> ArrayInfo:
    try:
        stored = await parse(backend, upload)
    except NewtondError as error:
        raise type(error)(f"{name}: {error.detail}", source=_where(name, upload, error)) from None
    if len(stored) != 1:
        raise InvalidArray(
            f"{name}: this file holds {len(stored)} arrays.", source=_where(name, upload, None)
        )
    return stored[0][0]


def _where(name: str, upload: Upload, error: NewtondError | None) -> dict[str, Any]:
    source = dict(error.source or {}) if error else {}
    if upload.path.suffix != INLINE:
        return {"part": name} | source
    return source | {"pointer": ARRAY_POINTERS[name] + source.get("pointer", "")}


def accept(
    backend: Backend, spec: SolveSpec, task: Task, idempotency_key: str | None, request_id: str
) -> Accepted:
    """Make the job durable, enqueue it, and return it; with a key that came before, return its job.

    Raises NotFound for an unknown array, InvalidSpec for arrays that do not fit or a key of another request.
    """
    with backend.claims():
        shapes = _shapes(backend, spec)
        check_shapes(spec, shapes)
        wanted = Accepted(
            job_id=new_job_id(),
            task=task,
            spec=spec,
            shapes=shapes,
            idempotency_key=idempotency_key,
            fingerprint=_fingerprint(spec, task),
            request_id=request_id,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )
        accepted = backend.jobs.accept(wanted)
    if accepted.job_id == wanted.job_id:
        _enqueue(backend, accepted)
    return accepted


def _shapes(backend: Backend, spec: SolveSpec) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for name, array_id in spec.arrays().items():
        assert isinstance(array_id, str)
        try:
            shapes[name] = backend.arrays.info(array_id).shape
        except NotFound as error:
            raise NotFound(error.detail, source={"pointer": ARRAY_POINTERS[name]}) from None
    return shapes


def _fingerprint(spec: SolveSpec, task: Task) -> str:
    return hashlib.sha256(f"{task}\n{spec.model_dump_json()}".encode()).hexdigest()


def _enqueue(backend: Backend, accepted: Accepted) -> None:
    log.info("job accepted", job_id=accepted.job_id, task=accepted.task, kind=accepted.spec.problem.kind)
    try:
        backend.queue.submit(accepted.job_id, accepted.task)
    except QueueUnavailable:
        log.warning("job accepted, to be enqueued when Redis is back", job_id=accepted.job_id)
