"""POST /solve: from a spec to a job, in one call, whatever way the arrays come."""

from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from newtond.contract.job import Accepted, Job, Task
from newtond.contract.solve import ARRAY_POINTERS
from service import responses
from service.backend import Backend, backend
from service.body import read_body
from service.errors import problem_response
from service.job_answer import answer, job_answer
from service.job_resource import job_resource
from service.multipart import SPEC
from service.parameters import IdempotencyKey
from service.preferences import Prefer, preferred_wait
from service.submission import accept, check_open, resolve
from service.upload import staging
from service.waiting import wait_finished
from service.warm_start import started

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
        {202: ACCEPTED, 200: DONE}, responses.problems(400, 404, 408, 409, 410, 411, 413, 415, 422, 503, 507)
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
        document, uploads = await read_body(request, backend, folder)
        spec = await resolve(backend, document, uploads, folder)
    spec = await to_thread.run_sync(started, backend, spec)
    task: Task = "plan" if dry_run else "solve"
    accepted = await to_thread.run_sync(
        accept, backend, spec, task, idempotency_key, request.scope["request_id"]
    )
    structlog.contextvars.bind_contextvars(job_id=accepted.job_id)
    wait = preferred_wait(prefer, backend.settings.wait_seconds)
    return await _answer(backend, accepted, wait)


async def _answer(backend: Backend, accepted: Accepted, wait: float | None) -> Response:
    """Answer with the plan of a dry run, the finished job, or where to find the one that is not."""
    plans = accepted.task == "plan"
    if not plans:
        return await job_answer(backend, accepted, wait)
    await wait_finished(backend, accepted.job_id, backend.settings.plan_seconds)
    finished = await to_thread.run_sync(backend.jobs.finished, accepted.job_id)
    if finished is not None and finished.plan is not None:
        return answer(finished.plan, f"/jobs/{accepted.job_id}", wait, done=True)
    if finished is not None and finished.error is not None:
        return problem_response(finished.error)
    job = await to_thread.run_sync(job_resource, backend, accepted.job_id)
    return answer(job, f"/jobs/{accepted.job_id}", wait, done=finished is not None)
