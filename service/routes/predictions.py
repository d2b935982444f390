"""POST /jobs/{id}/predict: what a finished solve says of new rows."""

from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response

from newtond.contract.job import Job
from newtond.contract.prediction import NewRows
from service import responses
from service.backend import Backend, backend
from service.body import read_body
from service.job_answer import job_answer, job_answers
from service.multipart import SPEC
from service.parameters import IdempotencyKey, JobIdPath
from service.prediction import Solved, accept_prediction, read_rows
from service.preferences import Prefer, preferred_wait
from service.submission import check_open
from service.upload import staging

router = APIRouter(prefix="/jobs", tags=["results"])
TheBackend = Annotated[Backend, Depends(backend)]
ROWS_SCHEMA = {"$ref": "#/components/schemas/NewRows"}
FORM_SCHEMA = {
    "type": "object",
    "properties": {SPEC: ROWS_SCHEMA}
    | {name: {"type": "string", "format": "binary"} for name in NewRows.model_fields},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": ROWS_SCHEMA, "example": {"A": [[1.0, 0.5], [1.0, 0.75]]}},
            "multipart/form-data": {
                "schema": FORM_SCHEMA,
                "encoding": {SPEC: {"contentType": "application/json"}},
            },
        },
    }
}


@router.post(
    "/{job_id}/predict",
    summary="What a finished solve says of new rows",
    status_code=202,
    response_model=Job,
    responses=responses.merged(
        job_answers(
            "Accepted: the prediction is a job; its array is at `/jobs/{id}/result/prediction`.",
            "The finished prediction (under `Prefer: wait`).",
        ),
        responses.problems(400, 404, 408, 409, 410, 411, 413, 415, 422, 503, 507),
    ),
    openapi_extra=BODY,
)
async def predict(
    job_id: JobIdPath,
    request: Request,
    backend: TheBackend,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """New rows come as arrays of a solve do; `prediction` of `GET /problems/{kind}` says which, and the formula."""
    await to_thread.run_sync(check_open, backend)
    solved = await to_thread.run_sync(Solved, backend, job_id)
    with staging(backend.incoming) as folder:
        document, uploads = await read_body(request, backend, folder, needs_spec=False)
        rows = await read_rows(backend, solved, document, uploads, folder)
    request_id = request.scope["request_id"]
    accepted = await to_thread.run_sync(accept_prediction, backend, solved, rows, idempotency_key, request_id)
    structlog.contextvars.bind_contextvars(job_id=accepted.job_id)
    return await job_answer(backend, accepted, preferred_wait(prefer, backend.settings.wait_seconds))
