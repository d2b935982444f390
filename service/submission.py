"""From a request to an accepted job: the spec, its arrays in the store, the job durable, then queued.

The order is the promise: ``accepted.json`` is durable before Redis hears of the job, and Redis before the
caller does. Redis is asked first whether it is there (503, and nothing is kept); if it dies in between, the
job is accepted all the same: the reconciler enqueues it when Redis is back.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from anyio import to_thread

from newtond.contract.array import ArrayInput
from newtond.contract.audit import Audit
from newtond.contract.errors import (
    InvalidSpec,
    NewtondError,
    NotFound,
    QueueFull,
    QueueUnavailable,
)
from newtond.contract.job import Accepted, Task
from newtond.contract.prediction import Prediction
from newtond.contract.solve import ARRAY_POINTERS, SolveSpec, array_roles
from newtond.store.jobs import new_job_id
from service.backend import Backend
from service.document import Document, announce, read_spec, take_inline
from service.parsing import names_in, parse
from service.shapes import check_shapes
from service.upload import Upload, check_room, room

INLINE = ".json"
log = structlog.get_logger("newtond.service")


def check_open(backend: Backend) -> None:
    """Raise QueueUnavailable, QueueFull, StorageLow or QuotaExceeded unless a job could be taken now."""
    if backend.queue.depth() >= backend.settings.queued_jobs:
        raise QueueFull("Too many jobs wait already; try again later.")
    check_room(backend.settings)
    backend.quotas.check_queue(backend.tenant, backend.queue)


async def resolve(
    backend: Backend, document: Document, uploads: Mapping[str, Upload], folder: Path
) -> SolveSpec:
    """Return the spec with every array stored and named by id; raises InvalidSpec, InvalidArray, …"""
    announce(document, named_by(uploads))
    inline = take_inline(document)
    spec = read_spec(document)
    _check_limits(backend, spec)
    files = dict(uploads) | await to_thread.run_sync(write_inline, inline, folder)
    ids: dict[str, str] = {}
    for name in spec.arrays():
        if name in files:
            held = await store(backend, name, files[name])
            _check_groups(spec, held)
            ids |= held
    return spec.with_arrays(ids)


def named_by(uploads: Mapping[str, Upload]) -> list[str]:
    """Return the arrays that parts are sure to hold; an svmlight file is the part A and holds b too."""
    names: list[str] = []
    for part, upload in uploads.items():
        held = names_in(upload)[:2] or (part,)
        if part != held[0]:
            detail = f"{part}: an svmlight file is A and b; send it as the part A."
            raise InvalidSpec(detail, source={"part": part})
        names += held
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidSpec(f"{min(twice)} is given twice.", source={"part": min(twice)})
    return names


def _check_groups(spec: SolveSpec, held: Mapping[str, str]) -> None:
    """Raise InvalidSpec if the qid of an svmlight file has no place in the spec, or one that is taken."""
    if "groups" not in held or "A" not in held:
        return
    if spec.groups is not None:
        raise InvalidSpec("groups is given twice: A has a qid in each line.", source={"part": "groups"})
    if "groups" not in array_roles(spec.problem.kind):
        detail = f"A has a qid in each line, and {spec.problem.kind} takes no groups."
        raise InvalidSpec(detail, source={"part": "A"})


def _check_limits(backend: Backend, spec: SolveSpec) -> None:
    longest = backend.settings.job_seconds
    if spec.solver.time_limit > longest:
        source = {"pointer": "/solver/time_limit", "limit": longest}
        raise InvalidSpec(f"The time limit is past the {longest:g} s allowed here.", source=source)


def write_inline(arrays: Mapping[str, Any], folder: Path) -> dict[str, Upload]:
    """Write arrays that stood in JSON into files of their own, to be read like any upload."""
    uploads = {}
    for name, array in arrays.items():
        path = folder / f"{name}{INLINE}"
        with room():
            path.write_text(json.dumps(array))
        uploads[name] = Upload(path, "application/json")
    return uploads


async def store(backend: Backend, name: str, upload: Upload) -> dict[str, str]:
    """Store what a part holds; return the ids by the arrays' names."""
    with _blaming(name, upload):
        stored = await parse(backend, upload)
    return {held or name: info.id for held, (info, _) in stored.items()}


@contextmanager
def _blaming(name: str, upload: Upload) -> Iterator[None]:
    """Say in every error which array it is about."""
    try:
        yield
    except NewtondError as error:
        raise type(error)(f"{name}: {error.detail}", source=_where(name, upload, error)) from None


def _where(name: str, upload: Upload, error: NewtondError) -> dict[str, Any]:
    source = dict(error.source or {})
    if upload.path.suffix != INLINE:
        return {"part": name} | source
    return source | {"pointer": ARRAY_POINTERS.get(name, f"/{name}") + source.get("pointer", "")}


def accept(
    backend: Backend,
    spec: SolveSpec,
    task: Task,
    idempotency_key: str | None,
    request_id: str,
    audit: Audit | None = None,
    prediction: Prediction | None = None,
) -> Accepted:
    """Make the job durable, enqueue it, and return it; with a key that came before, return its job.

    Raises NotFound for an unknown array, InvalidSpec for arrays that do not fit or a key of another request,
    QuotaExceeded where too many jobs came at once.
    """
    with backend.claims():
        backend.quotas.check_queue(backend.tenant, backend.queue)
        if audit is not None:
            backend.jobs.accepted(audit.job_id)
        shapes = shapes_of(backend, prediction.arrays() if prediction else spec.arrays())
        if prediction is None:
            check_shapes(spec, shapes)
        wanted = Accepted(
            job_id=new_job_id(),
            tenant=backend.tenant.name,
            task=task,
            spec=spec,
            audit=audit,
            prediction=prediction,
            shapes=shapes,
            idempotency_key=idempotency_key,
            fingerprint=_fingerprint(spec, task, audit or prediction),
            request_id=request_id,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )
        accepted = backend.jobs.accept(wanted)
        if accepted.job_id == wanted.job_id:
            enqueue(backend, accepted)
    return accepted


def shapes_of(backend: Backend, arrays: Mapping[str, ArrayInput]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each stored array; raises NotFound, with its place."""
    shapes = {}
    for name, array_id in arrays.items():
        assert isinstance(array_id, str)
        try:
            shapes[name] = backend.arrays.info(array_id).shape
            backend.arrays.touch(array_id)
        except NotFound as error:
            source = {"pointer": ARRAY_POINTERS[name]} if name in ARRAY_POINTERS else {"array": name}
            raise NotFound(error.detail, source=source) from None
    return shapes


def _fingerprint(spec: SolveSpec, task: Task, more: Audit | Prediction | None) -> str:
    asked = [task, spec.model_dump_json(), *([more.model_dump_json()] if more else [])]
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()


def enqueue(backend: Backend, accepted: Accepted) -> None:
    """Enqueue an accepted job; where Redis is silent the reconciler will."""
    log.info("job accepted", job_id=accepted.job_id, task=accepted.task, kind=accepted.spec.problem.kind)
    try:
        backend.queue.submit(accepted.job_id, accepted.task, accepted.tenant)
    except QueueUnavailable:
        log.warning("job accepted, to be enqueued when Redis is back", job_id=accepted.job_id)
