"""When a request is sent again: a lost connection, 408, 429, 502, 503, 504, with growing pauses or the server's own.

Everything the client sends may be sent twice: a solve carries an Idempotency-Key, an upload is named by its
digest, a cancel or a delete asks for a state.
"""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from newtond_client import answers
from newtond_client.errors import ConnectionLost
from newtond_client.transport import Reply, Request, Transport

PASSING = frozenset({408, 429, 502, 503, 504})
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0


@dataclass(frozen=True)
class Retries:
    """Try again for ``patience`` seconds after the first failure; 0 tries once."""

    patience: float = 120.0

    async def send(self, transport: Transport, request: Request) -> Reply:
        """Return a good answer; raises ConnectionLost or the server's refusal when patience is over."""
        pauses = Pauses(self.patience)
        while True:
            try:
                reply = await transport.send(request)
            except ConnectionLost:
                if not pauses.left():
                    raise
                await pauses.take(transport)
                continue
            if reply.status not in PASSING or not pauses.left():
                return answers.checked(reply)
            await pauses.take(transport, _asked(reply))

    @asynccontextmanager
    async def stream(self, transport: Transport, request: Request) -> AsyncIterator[Reply]:
        """Open a stream once; raises ConnectionLost also where the server says to come again."""
        async with transport.stream(request) as reply:
            if reply.status in PASSING:
                raise ConnectionLost(f"The server answered {reply.status}.")
            yield answers.checked(reply)


class Pauses:
    """Growing pauses with jitter, within a patience that ``reset`` renews when something was heard."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.reset()

    def reset(self) -> None:
        self.next = FIRST_PAUSE
        self.deadline: float | None = None

    def left(self) -> bool:
        """Whether another try is within patience."""
        return self.patience > 0 if self.deadline is None else time.monotonic() < self.deadline

    async def take(self, transport: Transport, asked: float | None = None) -> None:
        """Wait before the next try: as long as asked, else twice as long as before."""
        if self.deadline is None:
            self.deadline = time.monotonic() + self.patience
        pause = asked if asked is not None else self.next * random.uniform(0.5, 1.0)  # noqa: S311 (jitter)
        self.next = min(2 * self.next, LONGEST_PAUSE)
        await transport.pause(min(pause, max(self.deadline - time.monotonic(), 0.0)))


def _asked(reply: Reply) -> float | None:
    """Return the seconds of Retry-After, which newtond gives as a number."""
    try:
        return max(float(reply.headers.get("retry-after", "")), 0.0)
    except ValueError:
        return None
