"""A tenant's bounds: requests a second, open event streams, jobs that wait, bytes at rest; past one is a 429."""

import threading
import time
from dataclasses import dataclass, field

from newtond.contract.errors import QuotaExceeded, RateLimited
from newtond.store.queue import JobQueue
from newtond.store.tenant import Tenant
from service.settings import ServiceSettings

BURST_SECONDS = 2.0
ROOM_RETRY, QUEUE_RETRY = 60.0, 5.0


@dataclass
class Bucket:
    """Tokens that come at a rate and are kept up to a burst; a request takes one."""

    rate: float
    tokens: float = field(init=False)
    seen: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.tokens = self.burst

    @property
    def burst(self) -> float:
        """How many requests may come at once after a silence."""
        return max(1.0, self.rate * BURST_SECONDS)

    def take(self) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        now = time.monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.seen) * self.rate)
        self.seen = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


class Quotas:
    """What each tenant has used, in this process; every tenant has the same bounds."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._buckets: dict[str, Bucket] = {}
        self._streams: dict[str, int] = {}
        self._lock = threading.Lock()

    def count_request(self, tenant: str) -> None:
        """Raise RateLimited where a tenant asks too often."""
        rate = self._settings.tenant_requests_per_second
        with self._lock:
            wait = self._buckets.setdefault(tenant, Bucket(rate)).take()
        if wait:
            raise RateLimited(
                f"More than {rate:g} requests a second.", source={"limit": rate}, retry_after=wait
            )

    def open_stream(self, tenant: str) -> None:
        """Count one more event stream; raises QuotaExceeded."""
        most = self._settings.tenant_streams
        with self._lock:
            if self._streams.get(tenant, 0) >= most:
                raise QuotaExceeded(f"{most} event streams are open already.", source={"limit": most})
            self._streams[tenant] = self._streams.get(tenant, 0) + 1

    def close_stream(self, tenant: str) -> None:
        """Count one event stream less."""
        with self._lock:
            self._streams[tenant] -= 1

    def check_queue(self, tenant: Tenant, queue: JobQueue, more: int = 1) -> None:
        """Raise QuotaExceeded where with so many more too many of a tenant's jobs wait; raises QueueUnavailable."""
        most = self._settings.tenant_queued_jobs
        waiting = queue.waiting(tenant.name)
        if waiting + more > most:
            detail = f"{most} jobs may wait, {waiting} do, and this asks for {more} more."
            raise QuotaExceeded(detail, source={"limit": most}, retry_after=QUEUE_RETRY)

    def room(self, tenant: Tenant) -> int:
        """Return how many bytes of arrays a tenant may still store; raises QuotaExceeded where none."""
        most = self._settings.tenant_stored_bytes
        left = most - tenant.arrays.stored_bytes()
        if left <= 0:
            raise no_room(most)
        return left


def no_room(most: int) -> QuotaExceeded:
    """Return the refusal of an array past the stored bytes."""
    detail = f"Arrays of more than {most} bytes; delete some, or wait until they expire."
    return QuotaExceeded(detail, source={"limit": most}, retry_after=ROOM_RETRY)
