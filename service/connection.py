"""A connection that is not waited for without end: uvicorn's own, with a clock on each request's head."""

import asyncio
import json
from http import HTTPStatus
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from newtond.contract.errors import MalformedRequest, NewtondError, RequestTimeout, Unavailable
from newtond.contract.http import problem_detail
from service.errors import MEDIA_TYPE

LINGER_SECONDS = 0.5
PIECE = 1 << 16
"""h11 copies what it is given several times over, which costs a third where it stays in the cache."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it; a head that does not come whole in time is a 408 and the end.

    The clock starts when a connection opens and at the first byte of every later request, and is not
    wound again by another byte (the attack called slow loris).
    """

    header_seconds: ClassVar[float]
    most_connections: ClassVar[int]
    _clock: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, or turn away a connection too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(Unavailable("Too many connections are open; try again later."))
        else:
            self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Start the clock at the first byte of a head, stop it at the last."""
        for start in range(0, len(data), PIECE):
            if self._refused:
                return
            self._start_clock()
            super().data_received(data[start : start + PIECE])
            if self.conn.their_state is not h11.IDLE:
                self._stop_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Say what is no HTTP in our own form."""
        self._refuse(MalformedRequest("This is no HTTP request."))

    def _start_clock(self) -> None:
        if self._clock is None and self.conn.their_state is h11.IDLE:
            self._clock = self.loop.call_later(self.header_seconds, self._time_out)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _time_out(self) -> None:
        self._refuse(RequestTimeout("The head of the request does not come."))

    def _refuse(self, error: NewtondError) -> None:
        """Answer, and close a moment later: closing on unread bytes would reset the answer away."""
        if self._refused or self.transport.is_closing():
            return
        self._stop_clock()
        self._refused = True
        problem = problem_detail(error)
        body = json.dumps(problem.model_dump(exclude_none=True)).encode()
        status = HTTPStatus(problem.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
