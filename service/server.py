"""uvicorn's server, leaving in order: unready but open, then shut while what is under way ends, then gone."""

import socket

import uvicorn

from service.departure import Departure


class DepartingServer(uvicorn.Server):
    """Told to stop, it goes on for ``drain_seconds``, so that a load balancer learns of it before callers do.

    Then it stops listening and ends its event streams and long polls; what still runs has the
    configured ``timeout_graceful_shutdown``. A second Ctrl-C ends it at once.
    """

    def __init__(self, config: uvicorn.Config, departure: Departure, drain_seconds: float) -> None:
        super().__init__(config)
        self._departure = departure
        self._drain_seconds = drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop listening."""
        told = await super().on_tick(counter)
        return told and (self._departure.drain(self._drain_seconds) or self.force_exit)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let go of who waits, and wait for who works."""
        self._departure.close()
        await super().shutdown(sockets)
