"""The answer to a request that made a job: the job, finished if it was waited for long enough."""

from typing import Any

from anyio import to_thread
from fastapi import Response

from newtond.contract.job import Accepted, Job
from newtond.contract.model import Model
from service import responses
from service.backend import Backend
from service.job_resource import job_resource
from service.preferences import applied
from service.waiting import wait_finished


async def job_answer(backend: Backend, accepted: Accepted, wait: float | None) -> Response:
    """Wait as was preferred; 200 with the finished job, else 202."""
    await wait_finished(backend, accepted.job_id, wait or 0.0)
    job = await to_thread.run_sync(job_resource, backend, accepted.job_id)
    return answer(job, f"/jobs/{job.id}", wait, done=job.finished_at is not None)


def answer(body: Model, location: str, wait: float | None, *, done: bool) -> Response:
    """Return 200 with what is done, or 202 with what is not yet, and where to find it."""
    headers = {"Location": location} | applied(wait)
    if not done:
        headers["Retry-After"] = "1"
    return Response(
        body.model_dump_json(), 200 if done else 202, headers=headers, media_type="application/json"
    )


def job_answers(accepted: str, finished: str) -> dict[int | str, dict[str, Any]]:
    """Return both as OpenAPI responses, in these words."""
    return {
        202: {
            "model": Job,
            "description": accepted,
            "headers": responses.LOCATION | responses.RETRY_AFTER | responses.REQUEST_ID,
        },
        200: {
            "model": Job,
            "description": finished,
            "headers": responses.LOCATION | responses.REQUEST_ID,
        },
    }
