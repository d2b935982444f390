"""Whose jobs a worker takes next: tenants in turn, those with the fewest running first, none past its bound."""

import time
from collections.abc import Sequence

from newtond.store import DataDirectory
from newtond.store.queue import JobQueue, queue_of

BOUNDED = "solve"


class Turns:
    """The order of the tenants' queues for one worker; a tenant has at most ``most`` solves running."""

    def __init__(self, data: DataDirectory, queue: JobQueue, most: int) -> None:
        self._data = data
        self._queue = queue
        self._served: dict[str, float] = {}
        self.most = most

    def queues(self, idle: Sequence[str]) -> list[str]:
        """Return the queues to listen to for the idle slots, the first first; raises QueueUnavailable."""
        names = [tenant.name for tenant in self._data.tenants()]
        counts = self._queue.running_in([queue_of(BOUNDED, name) for name in names])
        running = dict(zip(names, counts, strict=True))
        order = sorted(names, key=lambda name: (running[name], self._served.get(name, 0.0)))
        return [
            queue_of(slot, name)
            for slot in idle
            for name in order
            if slot != BOUNDED or running[name] < self.most
        ]

    def bound(self, slot: str) -> int | None:
        """Return how many jobs of a tenant may run in such slots, None for any number."""
        return self.most if slot == BOUNDED else None

    def serve(self, tenant: str) -> None:
        """Note that it was this tenant's turn."""
        self._served[tenant] = time.monotonic()
