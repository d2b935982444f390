"""A connection that is not waited for without end: uvicorn's own, with a clock on each request's head."""

import asyncio
from http import HTTPStatus
from typing import ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from newtond.contract.errors import MalformedRequest, NewtondError, RequestTimeout, Unavailable
from service.errors import error_response
from service.lingering import LingeringTransport

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
    _line: LingeringTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, or turn away a connection too many."""
        self._line = LingeringTransport(transport, self.loop, self._may_be_sending)
        super().connection_made(cast(asyncio.Transport, self._line))
        if len(self.connections) > self.most_connections:
            self._refuse(Unavailable("Too many connections are open; try again later."))
        else:
            self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Start the clock at the first byte of a head, stop it at the last."""
        for start in range(0, len(data), PIECE):
            if self._line.lingers:
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

    def _may_be_sending(self) -> bool:
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR) or bool(self.conn.trailing_data[0])

    def _refuse(self, error: NewtondError) -> None:
        """Answer, whatever has come, and end the connection."""
        if self.transport.is_closing():
            return
        self._stop_clock()
        answer = error_response(error, {})
        status = HTTPStatus(answer.status_code)
        headers = [*answer.raw_headers, (b"connection", b"close")]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        start = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        self.transport.write(start + head + b"\r\n" + bytes(answer.body))
        self._line.linger()
