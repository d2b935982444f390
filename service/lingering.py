"""A transport that closes slowly where its caller may still send: closing on unread bytes resets the answer away."""

import asyncio
from collections.abc import Callable
from typing import Any

LINGER_SECONDS = 1.0


class LingeringTransport:
    """A connection's transport; ``close`` says the end first and lets the caller read, for a bounded time.

    While it ``lingers``, what comes is to be thrown away by whoever gets it. See RFC 9112, 9.6.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, unread: Callable[[], bool]
    ) -> None:
        """``unread`` says whether the caller may have sent, or be sending, what nobody has read."""
        self.lingers = False
        self._transport = transport
        self._loop = loop
        self._unread = unread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more can be answered."""
        return self.lingers or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send, unless the end has been said."""
        if not self.lingers:
            self._transport.write(data)

    def close(self) -> None:
        """Close, at once where nothing is lost by it."""
        if self._unread() and not self.is_closing():
            self.linger()
        elif not self.lingers:
            self._transport.close()

    def linger(self) -> None:
        """Close a moment after the end of the answer; a caller that has read it closes first."""
        self.lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(LINGER_SECONDS, self._transport.close)
