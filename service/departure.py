"""How a service leaves: it says so and serves on for a while, then lets go of all that merely wait."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Departure:
    """Whether this process is about to end; told by the server, read wherever somebody waits."""

    begun: float | None = field(default=None, init=False)
    _closing: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def draining(self) -> bool:
        """Whether nobody new should be sent here."""
        return self.begun is not None

    @property
    def closing(self) -> bool:
        """Whether the door is shut: who waits is answered with what there is."""
        return self._closing.is_set()

    def drain(self, seconds: float) -> bool:
        """Say from now on that the service leaves; return whether it has said so for ``seconds``."""
        if self.begun is None:
            self.begun = time.monotonic()
        return time.monotonic() - self.begun >= seconds

    def close(self) -> None:
        """Wake everybody who waits."""
        self.drain(0.0)
        self._closing.set()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not past the closing of the door."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
