"""The outermost layer: a request's id, its log line, its metrics, and the answer when we fail it."""

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import internal_error, problem_response
from service.metrics import Metrics

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
log = structlog.get_logger("newtond.service")


class RequestContext:
    """Give every request an id (the caller's own, if sane) and say at the end what became of it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["request_id"] = _request_id(Headers(scope=scope))
        with structlog.contextvars.bound_contextvars(request_id=scope["request_id"]):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, answer = time.monotonic(), _Answer(scope["request_id"], send)
        try:
            await self.app(scope, receive, answer.send)
        except ClientDisconnect:
            log.info("caller left", method=scope["method"], route=_route(scope))
        except Exception:
            log.exception("request failed", method=scope["method"], route=_route(scope))
            scope["refusal"] = "internal"
            if answer.status is None:
                await problem_response(internal_error(scope["request_id"]))(scope, receive, answer.send)
        finally:
            self._report(scope, answer.status or 499, time.monotonic() - began)

    def _report(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], _route(scope)
        self.metrics.count_request(method, route, status, seconds)
        if "refusal" in scope:
            self.metrics.count_refusal(scope["refusal"])
        tenant = scope.get("tenant")
        log.info(
            "request", method=method, route=route, status=status, seconds=round(seconds, 6), tenant=tenant
        )


class _Answer:
    """Sends an answer with the request's id, and remembers its status."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.request_id = request_id
        self.status: int | None = None
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self.request_id
        await self._send(message)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if SANE_ID.fullmatch(given) else "req_" + secrets.token_hex(12)


def _route(scope: Scope) -> str:
    """The route's template: a path that is not ours would make a metric of its own of every probe."""
    return getattr(scope.get("route"), "path", "unknown")
