"""Leases: who may write a job's end. One token holds a job; whoever stops renewing loses it."""

from typing import Any

from redis import Redis

LEASED = "newtond:leased"

# Renewing also takes a lease that nobody holds: after a wiped Redis the running attempt goes on.
_RENEW = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
redis.call('sadd', KEYS[2], ARGV[3])
return 1
"""
_RELEASE = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
redis.call('srem', KEYS[2], ARGV[2])
return 1
"""


def lease_key(job_id: str) -> str:
    """Return the name of the lease of a job in Redis."""
    return f"newtond:lease:{job_id}"


class Leases:
    """The leases in one Redis; ``milliseconds`` is how long one lasts unrenewed."""

    def __init__(self, connection: Redis, milliseconds: int) -> None:
        self._connection = connection
        self._milliseconds = milliseconds
        self._renew: Any = connection.register_script(_RENEW)
        self._release: Any = connection.register_script(_RELEASE)

    def renew(self, job_id: str, token: str) -> bool:
        """Take or prolong the lease; False if another token holds it."""
        keys = [lease_key(job_id), LEASED]
        return bool(self._renew(keys=keys, args=[token, self._milliseconds, job_id]))

    def release(self, job_id: str, token: str) -> bool:
        """Give the lease up; False if another token holds it."""
        return bool(self._release(keys=[lease_key(job_id), LEASED], args=[token, job_id]))

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
