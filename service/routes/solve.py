"""POST /solve: from a spec to a job, in one call, whatever way the arrays come."""

from pathlib import Path
from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from newtond.contract.errors import InvalidSpec, UnsupportedFormat
from newtond.contract.job import Accepted, Job, Task
from newtond.contract.result import Plan
from newtond.contract.solve import ARRAY_POINTERS
from service import responses
from service.backend import Backend, backend
from service.document import Document, read_document
from service.errors import problem_response
from service.job_resource import job_resource
from service.multipart import SPEC, read_form
from service.parameters import IdempotencyKey
from service.preferences import Prefer, applied, preferred_wait
from service.submission import accept, check_open, resolve
from service.upload import Upload, staging
from service.waiting import wait_finished

router = APIRouter(tags=["solve"])
TheBackend = Annotated[Backend, Depends(backend)]
DryRun = Annotated[bool, Query(description="check everything and answer with the plan of the solve instead")]

SPEC_SCHEMA = {"$ref": "#/components/schemas/SolveSpec"}
FORM_SCHEMA = {
    "type": "object",
    "required": [SPEC],
    "properties": {SPEC: SPEC_SCHEMA}
    | {name: {"type": "string", "format": "binary"} for name in (*ARRAY_POINTERS, "w")},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": SPEC_SCHEMA},
            "multipart/form-data": {
                "schema": FORM_SCHEMA,
                "encoding": {SPEC: {"contentType": "application/json"}},
            },
        },
    }
}
ACCEPTED = {
    "model": Job,
    "description": "Accepted: the job is durable and will finish.",
    "headers": responses.LOCATION | responses.RETRY_AFTER | responses.REQUEST_ID,
}
DONE = {
    "description": "The finished job (under `Prefer: wait`), or the plan (of a dry run).",
    "content": responses.content(
        "application/json",
        schema={"anyOf": [{"$ref": "#/components/schemas/Job"}, {"$ref": "#/components/schemas/Plan"}]},
    ),
    "headers": responses.LOCATION | responses.REQUEST_ID,
}


@router.post(
    "/solve",
    summary="Solve a regression",
    status_code=202,
    response_model=Job,
    responses=responses.merged(
        {202: ACCEPTED, 200: DONE}, responses.problems(400, 404, 408, 409, 411, 413, 415, 422, 503, 507)
    ),
    openapi_extra=BODY,
)
async def solve(
    request: Request,
    backend: TheBackend,
    dry_run: DryRun = False,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Arrays are ids of uploads, or written out when small, or parts of a multipart body beside `spec`."""
    await to_thread.run_sync(check_open, backend)
    with staging(backend.incoming) as folder:
        document, uploads = await _read(request, backend, folder)
        spec = await resolve(backend, document, uploads, folder)
    task: Task = "plan" if dry_run else "solve"
    accepted = await to_thread.run_sync(
        accept, backend, spec, task, idempotency_key, request.scope["request_id"]
    )
    structlog.contextvars.bind_contextvars(job_id=accepted.job_id)
    wait = preferred_wait(prefer, backend.settings.wait_seconds)
    return await _answer(backend, accepted, wait)


async def _read(request: Request, backend: Backend, folder: Path) -> tuple[Document, dict[str, Upload]]:
    """Return the spec's document and the arrays that came beside it; raises UnsupportedFormat, …"""
    media_type = request.headers.get("content-type", "")
    if "content-encoding" in request.headers:
        raise UnsupportedFormat("POST /solve takes no Content-Encoding; a part or an upload to /arrays may.")
    if media_type.lower().startswith("multipart/form-data"):
        return await _read_form(request, backend, folder)
    if media_type.split(";")[0].strip().lower() not in ("application/json", ""):
        raise UnsupportedFormat("POST /solve takes application/json or multipart/form-data.")
    return await to_thread.run_sync(read_document, await request.body()), {}


async def _read_form(request: Request, backend: Backend, folder: Path) -> tuple[Document, dict[str, Upload]]:
    content_type, limit = request.headers["content-type"], backend.settings.json_bytes
    form = await read_form(content_type, request.stream(), folder, limit)
    backend.metrics.count_upload(sum(upload.path.stat().st_size for upload in form.uploads.values()))
    if form.spec is None:
        raise InvalidSpec("The part spec is missing.", source={"part": SPEC})
    return await to_thread.run_sync(read_document, form.spec), form.uploads


async def _answer(backend: Backend, accepted: Accepted, wait: float | None) -> Response:
    """Answer with the plan of a dry run, the finished job, or where to find the one that is not."""
    plans = accepted.task == "plan"
    patience = backend.settings.plan_seconds if plans else (wait or 0.0)
    await wait_finished(backend.jobs, accepted.job_id, patience)
    finished = await to_thread.run_sync(backend.jobs.finished, accepted.job_id)
    if plans and finished is not None and finished.plan is not None:
        return _json(finished.plan, 200, accepted.job_id, wait)
    if plans and finished is not None and finished.error is not None:
        return problem_response(finished.error)
    job = await to_thread.run_sync(job_resource, backend, accepted.job_id)
    return _json(job, 200 if finished else 202, accepted.job_id, wait)


def _json(body: Job | Plan, status: int, job_id: str, wait: float | None) -> Response:
    headers = {"Location": f"/jobs/{job_id}"} | applied(wait)
    if status == 202:
        headers["Retry-After"] = "1"
    return Response(body.model_dump_json(), status, headers=headers, media_type="application/json")
