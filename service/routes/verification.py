"""Evidence of a finished job: audits, and the bundle that anybody can verify."""

from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from newtond.contract.audit import AuditRequest
from newtond.contract.errors import UnsupportedFormat
from newtond.contract.job import Job
from service import responses
from service.backend import Backend, backend
from service.body import says_json
from service.bundle import bundle
from service.document import read_document
from service.errors import invalid_spec
from service.job_answer import job_answer, job_answers
from service.parameters import IdempotencyKey, JobIdPath
from service.preferences import Prefer, preferred_wait
from service.submission import check_open
from service.verification import accept_audit

ZIP = "application/zip"
router = APIRouter(prefix="/jobs", tags=["verification"])
TheBackend = Annotated[Backend, Depends(backend)]
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/AuditRequest"},
                "example": {"fraction": 0.1, "seed": 20261124},
            }
        },
    }
}


@router.post(
    "/{job_id}/audits",
    summary="Compute a random share of the row-block gradients of a solve again",
    status_code=202,
    response_model=Job,
    responses=responses.merged(
        job_answers(
            "Accepted: the audit is a job; `audit` of it is the report.",
            "The finished audit (under `Prefer: wait`).",
        ),
        responses.problems(400, 404, 409, 410, 411, 413, 415, 422, 503, 507),
    ),
    openapi_extra=BODY,
)
async def audit_job(
    job_id: JobIdPath,
    request: Request,
    backend: TheBackend,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The solve must have been asked for with `solver.audit: true`, which keeps its iterates."""
    await to_thread.run_sync(check_open, backend)
    asked = await _read(request)
    request_id = request.scope["request_id"]
    accepted = await to_thread.run_sync(accept_audit, backend, job_id, asked, idempotency_key, request_id)
    structlog.contextvars.bind_contextvars(job_id=accepted.job_id)
    wait = preferred_wait(prefer, backend.settings.wait_seconds)
    return await job_answer(backend, accepted, wait)


@router.get(
    "/{job_id}/bundle",
    summary="Spec, chain, result, seal, solution and a verifier, as one zip",
    response_class=Response,
    responses=responses.merged(
        {
            200: {
                "content": responses.content(ZIP, schema={"type": "string", "format": "binary"}),
                "description": "The bundle; `python verify.py bundle.zip A.npz b.npy` checks it with NumPy alone.",
            }
        },
        responses.problems(404, 409, 410, 422),
    ),
)
def get_bundle(job_id: JobIdPath, backend: TheBackend) -> Response:
    """The same job gives the same bytes; inputs are not in it but by their digests."""
    headers = {"Content-Disposition": f'attachment; filename="{job_id}.zip"'}
    return StreamingResponse(bundle(backend, job_id), media_type=ZIP, headers=headers)


async def _read(request: Request) -> AuditRequest:
    if not says_json(request):
        raise UnsupportedFormat("An audit is asked for as application/json.")
    document = await to_thread.run_sync(read_document, await request.body())
    try:
        return AuditRequest.model_validate(document)
    except ValidationError as error:
        raise invalid_spec(error) from None
