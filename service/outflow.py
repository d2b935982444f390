"""Whether what is written to a caller is taken: one that stops reading must not hold a connection for ever."""

import asyncio
import socket
import struct

UNSENT_BYTES = 1 << 17
AT_ONCE = struct.pack("ii", 1, 0)


class Outflow:
    """Aborts a transport whose caller takes too little of what waits to be sent.

    In each ``seconds`` while anything waits, ``seconds`` × ``pace`` bytes must go, or all of it.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float, pace: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._due = seconds * pace
        self._clock: asyncio.TimerHandle | None = None
        # Every byte that the kernel does not take is waited for, and it takes few: else its buffers, megabytes
        # that empty in leaps, would hide who reads from who does not.
        transport.set_write_buffer_limits(0)
        self._line = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def wait(self) -> None:
        """Start the clock: something waits."""
        self.stop()
        self._clock = self._loop.call_later(self._seconds, self._look, self._left())

    def stop(self) -> None:
        """Stop the clock: all is gone, or the connection is."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _look(self, before: int) -> None:
        if before - self._left() < self._due:
            # Reset: the kernel would keep what it has, and try to deliver it, for minutes.
            self._line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            self._transport.abort()
        else:
            self.wait()

    def _left(self) -> int:
        return self._transport.get_write_buffer_size()
