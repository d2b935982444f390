"""Waiting for a job without holding a thread: a look now and then."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from newtond.store.jobs import JobStore

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.2
T = TypeVar("T")


async def wait_finished(jobs: JobStore, job_id: str, seconds: float) -> bool:
    """Wait until the job has finished, at most ``seconds``; say whether it has. A look costs one stat."""

    async def look() -> bool:
        return jobs.is_finished(job_id)

    return await poll(look, bool, seconds)


async def poll(look: Callable[[], Awaitable[T]], settled: Callable[[T], bool], seconds: float) -> T:
    """Look until what is seen is settled, or for ``seconds``, and return what was seen last.

    The pauses grow: a short job is seen at once, a long one costs little.
    """
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    seen = await look()
    while not settled(seen) and (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.3, LONGEST_PAUSE)
        seen = await look()
    return seen
