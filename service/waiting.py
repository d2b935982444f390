"""Waiting for a job without holding a thread: a look now and then."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.backend import Backend
from service.departure import Departure

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.005, 0.2, 1.1
T = TypeVar("T")


async def wait_finished(backend: Backend, job_id: str, seconds: float) -> bool:
    """Wait until the job has finished, at most ``seconds``; say whether it has. A look costs one stat."""
    jobs = backend.jobs

    async def look() -> bool:
        return jobs.is_finished(job_id)

    return await poll(look, bool, seconds, backend.departure)


async def poll(
    look: Callable[[], Awaitable[T]], settled: Callable[[T], bool], seconds: float, departure: Departure
) -> T:
    """Look until what is seen is settled, or for ``seconds``, and return what was seen last.

    The pauses grow to a tenth of what has passed: a short job is seen at once, a long one costs little. A service
    that closes looks once more.
    """
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    seen = await look()
    while not settled(seen) and not departure.closing and (left := deadline - time.monotonic()) > 0:
        await departure.pause(min(pause, left))
        pause = min(pause * GROWTH, LONGEST_PAUSE)
        seen = await look()
    return seen
