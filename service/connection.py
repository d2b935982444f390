"""A connection that is not waited for without end: uvicorn's own, with clocks on what comes and on what goes."""

import asyncio
from http import HTTPStatus
from typing import ClassVar, cast

import h11
from h11._readers import ContentLengthReader
from uvicorn.protocols.http.h11_impl import H11Protocol

from newtond.contract.errors import MalformedRequest, NewtondError, QuotaExceeded, RequestTimeout, Unavailable
from service.errors import error_response
from service.lingering import LingeringTransport
from service.neighbours import Neighbours
from service.outflow import Outflow
from service.settings import ServiceSettings

PIECE = 1 << 16
"""h11 copies what it is given several times over, which costs a third where it stays in the cache."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it; a head that does not come whole in time is a 408 and the end.

    The clock starts when a connection opens and at the first byte of every later request, and is not
    wound again by another byte (the attack called slow loris). A caller that does not read its answer is cut off.
    """

    settings: ClassVar[ServiceSettings]
    neighbours: ClassVar[Neighbours]
    _address: str | None = None
    _outflow: Outflow
    _clock: asyncio.TimerHandle | None = None
    _line: LingeringTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, or turn away a connection too many."""
        self._line = LingeringTransport(transport, self.loop, self._may_be_sending)
        super().connection_made(cast(asyncio.Transport, self._line))
        settings = self.settings
        self._outflow = Outflow(transport, self.loop, settings.answer_seconds, settings.body_bytes_per_second)
        try:
            self._enter()
        except NewtondError as error:
            self._refuse(error)
        else:
            self._start_clock()

    def _enter(self) -> None:
        self._address = self.client[0] if self.client else None
        held = self.neighbours.enter(self._address) if self._address else 0
        if len(self.connections) > self.settings.connections:
            raise Unavailable("Too many connections are open; try again later.")
        if held > (most := self.settings.address_connections):
            raise QuotaExceeded(f"{most} connections of this address are open.", source={"limit": most})

    def data_received(self, data: bytes) -> None:
        """Start the clock at the first byte of a head, stop it at the last."""
        if self._is_inside_body(len(data)):
            self._pass_on(data)
            return
        for start in range(0, len(data), PIECE):
            if self._line.lingers:
                return
            self._start_clock()
            super().data_received(data[start : start + PIECE])
            if self.conn.their_state is not h11.IDLE:
                self._stop_clock()

    def _is_inside_body(self, size: int) -> bool:
        """Say whether so many bytes are neither head nor end: h11 would copy them several times over."""
        reader = self.conn._reader
        return (
            isinstance(reader, ContentLengthReader)
            and size < reader._remaining
            and self.conn.trailing_data == (b"", False)
            and self.conn.our_state is h11.SEND_RESPONSE
            and not (self._line.lingers or self.cycle.body)
        )

    def _pass_on(self, data: bytes) -> None:
        """Hand a piece of a body over as it came, and have h11 count it; no more is read until it is taken."""
        assert isinstance(self.conn._reader, ContentLengthReader)
        self.conn._reader._remaining -= len(data)
        self.cycle.body = data  # type: ignore[assignment]
        self.flow.pause_reading()
        self.cycle.message_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_clock()
        self._outflow.stop()
        if self._address:
            self.neighbours.leave(self._address)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the clock of what goes."""
        self._outflow.wait()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Stop the clock of what goes."""
        self._outflow.stop()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say what is no HTTP in our own form."""
        self._refuse(MalformedRequest("This is no HTTP request."))

    def _start_clock(self) -> None:
        if self._clock is None and self.conn.their_state is h11.IDLE:
            self._clock = self.loop.call_later(self.settings.header_seconds, self._time_out)

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
