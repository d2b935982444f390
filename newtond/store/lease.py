"""Leases: who may write a job's end. One token holds a job; whoever stops renewing loses it.

The leases of one queue's jobs are counted, by when they run out, so that a tenant's running jobs have a bound.
"""

from collections.abc import Sequence
from typing import Any, Literal

from redis import Redis

Claim = Literal["held", "taken", "full"]
LEASED = "newtond:leased"
ANSWERS: dict[int, Claim] = {1: "held", 0: "taken", -1: "full"}

# Renewing also takes a lease that nobody holds: after a wiped Redis the running attempt goes on.
_RENEW = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[4])
if most > 0 and not holder then
  redis.call('zremrangebyscore', KEYS[3], '-inf', now)
  if redis.call('zcard', KEYS[3]) >= most then return -1 end
end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
redis.call('sadd', KEYS[2], ARGV[3])
redis.call('zadd', KEYS[3], now + ARGV[2], ARGV[3])
redis.call('pexpire', KEYS[3], ARGV[2])
return 1
"""
_RELEASE = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
redis.call('srem', KEYS[2], ARGV[2])
redis.call('zrem', KEYS[3], ARGV[2])
return 1
"""
_RUNNING = """
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local counts = {}
for place, key in ipairs(KEYS) do counts[place] = redis.call('zcount', key, '(' .. now, '+inf') end
return counts
"""


def lease_key(job_id: str) -> str:
    """Return the name of the lease of a job in Redis."""
    return f"newtond:lease:{job_id}"


def running_key(queue: str) -> str:
    """Return the name of the count of a queue's leased jobs in Redis."""
    return f"newtond:running:{queue}"


class Leases:
    """The leases in one Redis; ``milliseconds`` is how long one lasts unrenewed."""

    def __init__(self, connection: Redis, milliseconds: int) -> None:
        self._connection = connection
        self._milliseconds = milliseconds
        self._renew: Any = connection.register_script(_RENEW)
        self._release: Any = connection.register_script(_RELEASE)
        self._running: Any = connection.register_script(_RUNNING)

    def claim(self, job_id: str, token: str, queue: str, most: int | None) -> Claim:
        """Take or prolong the lease of a job of ``queue``, of which at most ``most`` may be newly leased."""
        keys = [lease_key(job_id), LEASED, running_key(queue)]
        return ANSWERS[self._renew(keys=keys, args=[token, self._milliseconds, job_id, most or 0])]

    def renew(self, job_id: str, token: str, queue: str = "solve") -> bool:
        """Take or prolong the lease; False if another token holds it."""
        return self.claim(job_id, token, queue, None) == "held"

    def release(self, job_id: str, token: str, queue: str = "solve") -> bool:
        """Give the lease up; False if another token holds it."""
        keys = [lease_key(job_id), LEASED, running_key(queue)]
        return bool(self._release(keys=keys, args=[token, job_id]))

    def running(self, queues: Sequence[str]) -> list[int]:
        """Return how many jobs of each queue are leased now."""
        keys = [running_key(queue) for queue in queues]
        counts: list[int] = self._running(keys=keys, args=[])
        return counts

    def holds(self, job_id: str, token: str) -> bool:
        """Say whether no other token holds the lease."""
        holder = self._connection.get(lease_key(job_id))
        return holder is None or holder == token.encode()

    def expired(self) -> list[str]:
        """Return the jobs whose holder stopped renewing: their worker died, or was stopped too long."""
        members: set[bytes] = self._connection.smembers(LEASED)  # type: ignore[assignment]
        return self.unheld([member.decode(errors="replace") for member in members])

    def unheld(self, ids: list[str]) -> list[str]:
        """Return those of the jobs that nobody holds."""
        holders: list[bytes | None] = self._connection.mget([lease_key(i) for i in ids]) if ids else []  # type: ignore[assignment]
        return [job_id for job_id, holder in zip(ids, holders, strict=True) if holder is None]

    def forget(self, job_id: str) -> None:
        """Drop a job from those whose lease is watched."""
        self._connection.srem(LEASED, job_id)
