"""Every refusal as RFC 9457 ``application/problem+json``: no stack trace, no path, no echo of the input."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from newtond.contract.errors import InvalidSpec, NewtondError, Throttled, Unauthorised, Unavailable
from newtond.contract.http import TYPE_PREFIX, problem_detail, status_of
from newtond.contract.job import ProblemDetail
from newtond.contract.problem import PROBLEMS

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "5"
CHALLENGE = 'Bearer realm="newtond"'
SHOWN_FAULTS = 20
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
TYPES = ("float", "str", "Coordinates", "FromJob")
TYPE_PREFIXES = ("function-", "constrained-", "list[", "literal[")


def problem_response(problem: ProblemDetail, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that ``problem`` is."""
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, headers=headers, media_type=MEDIA_TYPE)


def error_response(error: NewtondError, scope: Scope) -> Response:
    """Return the answer to an exception of ours; one that may pass asks to be tried again."""
    headers = {"Retry-After": RETRY_AFTER} if isinstance(error, Unavailable) else {}
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(ceil(error.retry_after))
    if isinstance(error, Unauthorised):
        headers["WWW-Authenticate"] = CHALLENGE
    if status_of(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and error.source:
        headers["Content-Range"] = f"bytes */{error.source['size']}"
    scope["refusal"] = error.slug
    return problem_response(problem_detail(error, scope.get("request_id")), headers)


def internal_error(request_id: str | None) -> ProblemDetail:
    """Return what a caller is told of a defect of ours: nothing but where to find it in the log."""
    return ProblemDetail(
        type=TYPE_PREFIX + "internal",
        title="Internal error",
        status=500,
        detail="The server failed at this request; its log has the cause under the request id.",
        request_id=request_id,
    )


def pointer(location: Sequence[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path of keys and indices."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)


def invalid_spec(error: ValidationError) -> InvalidSpec:
    """Return the faults of a spec as an InvalidSpec that points at each, without the input."""
    faults: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        faults.setdefault(pointer(_place(fault["loc"])), _sentence(fault["msg"]))
    (first, why), *rest = faults.items()
    source: dict[str, Any] = {"pointer": first}
    if rest:
        source["others"] = [{"pointer": place, "detail": text} for place, text in rest[:SHOWN_FAULTS]]
    return InvalidSpec(f"{first or 'The body'}: {why}", source=source)


def _place(location: Sequence[str | int]) -> list[str | int]:
    """Drop the steps that pydantic adds for the member of a union it tried: the caller never wrote them."""
    kinds = PROBLEMS if location[:1] == ("problem",) else {}
    return [step for step in location if step not in kinds and not _names_a_type(step)]


def _names_a_type(step: str | int) -> bool:
    return isinstance(step, str) and (step in TYPES or step.startswith(TYPE_PREFIXES))


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")


async def _answer_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, NewtondError)
    return error_response(error, request.scope)


async def _answer_http(request: Request, error: Exception) -> Response:
    """Say FastAPI's own 404, 405 and 4xx in our form."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    slug = status.phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    request.scope["refusal"] = slug
    problem = ProblemDetail(
        type=TYPE_PREFIX + slug,
        title=status.phrase,
        status=status.value,
        detail=status.description or status.phrase,
        request_id=request.scope.get("request_id"),
    )
    return problem_response(problem, headers)


def _methods(request: Request) -> list[str]:
    """Every method of this path: the router names those of the first route that matches, and stops."""
    return [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def _answer_parameters(request: Request, error: Exception) -> Response:
    """A path, query or header value that FastAPI refused."""
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    part, *rest = fault["loc"]
    name = str(rest[0]) if rest else None
    detail = f"{part} {name}: {_sentence(fault['msg'])}" if name else _sentence(fault["msg"])
    source = {"parameter": name, "in": part} if name else {"in": part}
    return error_response(InvalidSpec(detail, source=source), request.scope)


def handle_errors(app: FastAPI) -> None:
    """Have ``app`` answer every exception with a problem document."""
    app.add_exception_handler(NewtondError, _answer_ours)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_parameters)
