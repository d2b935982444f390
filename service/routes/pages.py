"""The browser pages; what they show they fetch from the API like any other client."""

from http import HTTPStatus

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from service.entity_tag import IfNoneMatch
from service.negotiation import Accept, choose
from service.parameters import BatchIdPath, JobIdPath
from service.site import asset, page

router = APIRouter(include_in_schema=False)
JSON, HTML = "application/json", "text/html"


@router.get("/")
async def home(accept: Accept = None, if_none_match: IfNoneMatch = None) -> Response:
    """The list of jobs, for a browser; other clients find their calls by the OpenAPI document."""
    if choose(accept, (JSON, HTML)) != HTML:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    answer = page("jobs").answer(if_none_match)
    answer.headers["Vary"] = "Accept"
    return answer


@router.get("/docs")
async def reference(if_none_match: IfNoneMatch = None) -> Response:
    return page("reference").answer(if_none_match)


@router.get("/pages/jobs/{job_id}")
async def job(job_id: JobIdPath, if_none_match: IfNoneMatch = None) -> Response:
    return page("job").answer(if_none_match)


@router.get("/pages/batches")
async def batches(if_none_match: IfNoneMatch = None) -> Response:
    return page("batches").answer(if_none_match)


@router.get("/pages/batches/{batch_id}")
async def batch(batch_id: BatchIdPath, if_none_match: IfNoneMatch = None) -> Response:
    return page("batch").answer(if_none_match)


@router.get("/pages/solve")
async def solve(if_none_match: IfNoneMatch = None) -> Response:
    return page("solve").answer(if_none_match)


@router.get("/pages/problems")
async def problems(if_none_match: IfNoneMatch = None) -> Response:
    return page("problems").answer(if_none_match)


@router.get("/pages/compare")
async def compare(if_none_match: IfNoneMatch = None) -> Response:
    return page("compare").answer(if_none_match)


@router.get("/assets/{name}")
async def static(name: str, if_none_match: IfNoneMatch = None) -> Response:
    return asset(name).answer(if_none_match)
