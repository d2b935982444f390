"""How much of a body is read, and how long it is waited for: what is announced first, then what really comes."""

import time

from anyio import move_on_after
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newtond.contract.errors import LengthRequired, MalformedRequest, NewtondError, RequestTimeout, TooLarge
from service.errors import error_response
from service.settings import ServiceSettings

DRAINED_BYTES, DRAINED_SECONDS = 4_000_000, 2.0
BODIED = ("POST", "PUT", "PATCH")


class BodyLimit:
    """Refuse a body past its route's limit before it is parsed, and one that hardly comes.

    Uploads may be large, JSON may not; both must come at some speed.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in BODIED:
            await self.app(scope, receive, send)
            return
        body = _Body(receive, self._limit(scope), self.settings)
        answer = _AnswerAfterBody(body, send)
        try:
            _check_announced(scope, body.limit)
        except NewtondError as error:
            await error_response(error, scope)(scope, receive, answer)
        else:
            await self.app(scope, body, answer)

    def _limit(self, scope: Scope) -> int:
        media_type = Headers(scope=scope).get("content-type", "")
        uploads = scope["path"] == "/arrays" or media_type.lower().startswith("multipart/")
        return self.settings.upload_bytes if uploads else self.settings.json_bytes


class _Body:
    """A ``receive`` that raises TooLarge once more than ``limit`` bytes have come, RequestTimeout if they do not."""

    def __init__(self, receive: Receive, limit: int, settings: ServiceSettings) -> None:
        self.limit = limit
        self._receive = receive
        self._seen = 0
        self._more = True
        self._stalled = False
        self._waited = 0.0
        self._settings = settings

    async def __call__(self) -> Message:
        # After its end a body is listened to for the caller's leaving, which may take for ever.
        message = await (self._timely() if self._more else self._next())
        if self._seen > self.limit:
            raise _too_large(self.limit)
        return message

    async def _timely(self) -> Message:
        """Only waiting counts: what comes slowly because we are slow is no fault of the caller's."""
        patience = self._settings.body_seconds + self._seen / self._settings.body_bytes_per_second
        began = time.monotonic()
        with move_on_after(patience - self._waited):
            message = await self._next()
            self._waited += time.monotonic() - began
            return message
        self._stalled = True
        raise RequestTimeout(
            f"The body came more slowly than {self._settings.body_bytes_per_second:g} bytes a second."
        )

    async def _next(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        return message

    async def drain(self) -> bool:
        """Read a little of what is not wanted and say whether that was all of it.

        A client in mid-send would see a reset and not the answer.
        """
        end = self._seen + DRAINED_BYTES
        with move_on_after(DRAINED_SECONDS):
            while self._more and not self._stalled and self._seen < end:
                await self._next()
        return not self._more


class _AnswerAfterBody:
    """A ``send`` that has the rest of the body read before a refusal begins, or the connection closed after it."""

    def __init__(self, body: _Body, send: Send) -> None:
        self._body = body
        self._send = send

    async def __call__(self, message: Message) -> None:
        refuses = message["type"] == "http.response.start" and message["status"] >= 400
        if refuses and not await self._body.drain():
            MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)


def _check_announced(scope: Scope, limit: int) -> None:
    headers = Headers(scope=scope)
    length = headers.get("content-length")
    if length is None:
        if scope["path"] in ("/arrays", "/solve") and "transfer-encoding" not in headers:
            raise LengthRequired("Say Content-Length, or send the body with Transfer-Encoding: chunked.")
    elif not (length.isascii() and length.isdigit()):
        raise MalformedRequest("Content-Length is not a number.")
    elif int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {limit} bytes allowed here.", source={"limit": limit})
