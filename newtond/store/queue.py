"""Live state in Redis and the RQ queues: all of it can be wiped, and the data directory brings it back.

RQ carries one function by name and one argument, as JSON; a job that names another function is refused
when it is read. Two queues a tenant: a long solve cannot block the short tasks, nor one tenant another.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.exceptions import DequeueTimeout, DeserializationError
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from newtond.contract.errors import NotFound, QueueUnavailable
from newtond.contract.job import Task
from newtond.store import DataDirectory
from newtond.store.lease import LEASED, Claim, Leases, lease_key
from newtond.store.succession import may_start
from newtond.store.tenant import DEFAULT, Tenant

FUNCTION = "worker.job.run"
QUEUES: tuple[str, ...] = ("short", "solve")
QUEUE_OF_TASK: Mapping[Task, str] = {"plan": "short", "audit": "short", "predict": "short", "solve": "solve"}
EVERY_QUEUE = "rq:queues"
COUNTS = "newtond:counts"
TAKEN, EXPIRED = "taken", "expired"
LONGEST_CALL = 4096
LIVE_SECONDS = 7 * 86_400
HEARTBEAT_SECONDS = 2.0
LEASE_HEARTBEATS = 3
RECONCILE_SECONDS = 15.0


class SolveJob(RqJob):
    """An RQ job that can name one function only, whatever was planted in Redis."""

    def _deserialize_data(self) -> None:
        super()._deserialize_data()  # type: ignore[no-untyped-call]
        if (self._func_name, self._instance, self._args, self._kwargs) != (
            FUNCTION,
            None,
            [],
            {"job_id": self.id},
        ):
            raise DeserializationError("a job in Redis asks for something else than to run itself")


class SolveQueue(Queue):
    """An RQ queue of such jobs."""

    job_class = SolveJob


@dataclass(frozen=True, slots=True)
class LiveState:
    """What Redis knows of a job that is not finished; numbers are of its newest iteration."""

    status: Literal["queued", "running"]
    attempt: int = 0
    iteration: int | None = None
    loss: float | None = None
    gradient_norm: float | None = None
    heartbeat_at: str | None = None
    started_at: str | None = None
    resumed_from_iteration: int | None = None


_PARSE: dict[str, Any] = {"loss": float, "gradient_norm": float, "heartbeat_at": str, "started_at": str}


def connect(url: str, *, timeout: float = 3.0) -> redis.Redis:
    """Return a connection that fails fast: one retry, for a server that came back under a stale socket."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=2.0,
        retry=Retry(NoBackoff(), 1),
    )


@contextmanager
def answering() -> Iterator[None]:
    """Turn Redis's refusals and silences into QueueUnavailable."""
    try:
        yield
    except redis.RedisError as error:
        raise QueueUnavailable(f"the queue does not answer: {type(error).__name__}") from error


class JobQueue:
    """The queues and the live state in the Redis at ``redis_url``; every method raises QueueUnavailable."""

    def __init__(self, redis_url: str, *, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self.connection = connect(redis_url)
        self.leases = Leases(self.connection, round(1000 * LEASE_HEARTBEATS * heartbeat))

    def queue(self, name: str) -> SolveQueue:
        """Return the RQ queue of that name; makes no request."""
        return SolveQueue(name, connection=self.connection, serializer=JSONSerializer, default_timeout=-1)

    def submit(self, job_id: str, task: Task, tenant: str = DEFAULT, *, at_front: bool = False) -> None:
        """Enqueue a job; once too often does no harm, for a job runs under a lease and ends once."""
        with answering():
            self.queue(queue_of(QUEUE_OF_TASK[task], tenant)).enqueue_call(
                FUNCTION,
                kwargs={"job_id": job_id},
                job_id=job_id,
                description=job_id,
                timeout=-1,
                ttl=None,
                result_ttl=0,
                failure_ttl=0,
                at_front=at_front,
            )

    def take(self, names: Sequence[str], timeout: int | None) -> str | None:
        """Remove the next job from the queues named, the first first, and return its id; wait ``timeout`` s.

        Raises PermissionError if it is not a call of the one function; it is dropped.
        """
        with answering():
            popped = self._pop([self.queue(name).key for name in names], timeout)
            return None if popped is None else self._job_id(popped)

    def _pop(self, keys: list[str], timeout: int | None) -> str | None:
        # Queue.lpop, for dequeue_any moves single queues' jobs to an intermediate list that RQ
        # looks at after a minute; here the reconciler finds a job that was lost on the way.
        try:
            popped = SolveQueue.lpop(keys, timeout, connection=self.connection)
        except DequeueTimeout:
            return None
        return None if popped is None else popped[1].decode(errors="replace")

    def _job_id(self, rq_id: str) -> str | None:
        with self.connection.pipeline() as pipeline:
            pipeline.hget(RqJob.key_for(rq_id), "data")
            pipeline.delete(RqJob.key_for(rq_id))
            data, _ = pipeline.execute()
        return None if data is None else _named(rq_id, data, self.connection)

    def withdraw(self, job_id: str, tenant: str = DEFAULT) -> None:
        """Remove a job from its tenant's queues and forget its live state."""
        with answering(), self.connection.pipeline() as pipeline:
            for name in queues_of(tenant):
                pipeline.lrem(self.queue(name).key, 0, job_id)
            pipeline.delete(RqJob.key_for(job_id), live_key(job_id))
            pipeline.execute()

    def live(self, job_id: str) -> LiveState | None:
        """Return what Redis knows of the job; None if nothing (finished, or Redis was wiped)."""
        with answering(), self.connection.pipeline() as pipeline:
            pipeline.hgetall(live_key(job_id))
            pipeline.exists(lease_key(job_id))
            pipeline.exists(RqJob.key_for(job_id))
            state, leased, queued = pipeline.execute()
        if not (state or leased or queued):
            return None
        return _live_state(state, "running" if leased else "queued")

    def update(self, job_id: str, **state: float | str | None) -> None:
        """Write fields of the live state; the worker that holds the lease is its one writer."""
        given: dict[Any, Any] = {
            name: value if isinstance(value, str) else repr(value)
            for name, value in state.items()
            if value is not None
        }
        with answering(), self.connection.pipeline(transaction=False) as pipeline:
            pipeline.hset(live_key(job_id), mapping=given)
            pipeline.expire(live_key(job_id), LIVE_SECONDS)
            pipeline.execute()

    def position(self, job_id: str, tenant: str = DEFAULT) -> int | None:
        """Return how many jobs of its tenant's queue go first; None if it is not queued."""
        with answering():
            places = [self.connection.lpos(self.queue(name).key, job_id) for name in queues_of(tenant)]
        return next((place for place in places if isinstance(place, int)), None)

    def depth(self, name: str | None = None) -> int:
        """Return how many jobs wait, in one queue or in those of all tenants."""
        with answering():
            keys = [self.queue(name).key] if name else self._every_queue()
            return self._lengths(keys)

    def waiting(self, tenant: str) -> int:
        """Return how many jobs of a tenant wait."""
        with answering():
            return self._lengths([self.queue(name).key for name in queues_of(tenant)])

    def _every_queue(self) -> list[str]:
        members: set[bytes] = self.connection.smembers(EVERY_QUEUE)  # type: ignore[assignment]
        return [member.decode(errors="replace") for member in members]

    def _lengths(self, keys: list[str]) -> int:
        with self.connection.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.llen(key)
            return sum(pipeline.execute())

    def holds(self, job_id: str, token: str) -> bool:
        """Say whether no other token holds the job's lease."""
        with answering():
            return self.leases.holds(job_id, token)

    def claim(self, job_id: str, token: str, queue: str, most: int | None) -> Claim:
        """Take the lease of a job of ``queue`` unless another holds it or ``most`` such jobs run."""
        with answering():
            return self.leases.claim(job_id, token, queue, most)

    def renew(self, job_id: str, token: str, queue: str = "solve") -> bool:
        """Take or prolong the job's lease; False if another token holds it."""
        with answering():
            return self.leases.renew(job_id, token, queue)

    def release(self, job_id: str, token: str, queue: str = "solve") -> bool:
        """Give the job's lease up; False if this token does not hold it."""
        with answering():
            return self.leases.release(job_id, token, queue)

    def running_in(self, queues: Sequence[str]) -> list[int]:
        """Return how many jobs of each queue are leased now."""
        with answering():
            return self.leases.running(queues)

    def running(self) -> int:
        """Return how many jobs are leased."""
        with answering():
            return int(self.connection.scard(LEASED))

    def count(self, event: str) -> None:
        """Count something that happened to a job in some worker; lost with Redis, as counters may be."""
        with answering():
            self.connection.hincrby(COUNTS, event, 1)

    def counts(self) -> dict[str, int]:
        """Return how often each such thing happened."""
        with answering():
            found: dict[bytes, bytes] = self.connection.hgetall(COUNTS)  # type: ignore[assignment]
        return {event.decode(errors="replace"): int(number) for event, number in found.items()}

    def ping(self) -> None:
        """Raise QueueUnavailable unless Redis answers."""
        with answering():
            self.connection.ping()

    def reconcile(self, data: DataDirectory) -> list[str]:
        """Enqueue every job that is accepted, not finished, and neither queued nor leased; return their ids.

        One that waits for another stays where it is.

        Costs one request a tenant and a stat a job not known to be finished; any number of processes may do it.
        """
        return [job_id for tenant in data.tenants() for job_id in self._reconcile(tenant)]

    def _reconcile(self, tenant: Tenant) -> list[str]:
        with answering():
            queued = {job_id for name in queues_of(tenant.name) for job_id in self._queued(name)}
            waiting = [job_id for job_id in tenant.jobs.unfinished() if job_id not in queued]
            waiting = [job_id for job_id in waiting if _may_start(job_id, tenant)]
            lost = self.leases.unheld(waiting)
        return [job_id for job_id in lost if self._restore(job_id, tenant, at_front=False)]

    def _queued(self, name: str) -> list[str]:
        members: list[bytes] = self.connection.lrange(self.queue(name).key, 0, -1)  # type: ignore[assignment]
        return [member.decode(errors="replace") for member in members]

    def revive(self, data: DataDirectory) -> list[str]:
        """Enqueue at the front every job whose worker stopped renewing its lease; return their ids."""
        with answering():
            lost = self.leases.expired()
        revived = [job_id for job_id in lost if self._revive(job_id, data)]
        with answering():
            for job_id in lost:
                self.leases.forget(job_id)
        for _ in revived:
            self.count(EXPIRED)
        return revived

    def _revive(self, job_id: str, data: DataDirectory) -> bool:
        try:
            return self._restore(job_id, data.of_job(job_id), at_front=True)
        except NotFound:
            return False

    def _restore(self, job_id: str, tenant: Tenant, *, at_front: bool) -> bool:
        try:
            if tenant.jobs.is_finished(job_id):
                return False
            self.submit(job_id, tenant.jobs.accepted(job_id).task, tenant.name, at_front=at_front)
        except NotFound:  # purged since it was listed
            return False
        return True


def _may_start(job_id: str, tenant: Tenant) -> bool:
    try:
        return may_start(job_id, tenant.jobs, tenant.arrays)
    except NotFound:  # purged since it was listed
        return False


def _named(rq_id: str, data: bytes, connection: redis.Redis) -> str:
    # Only the call is read; the rest of an RQ job (callbacks, webhooks, results) is not used here.
    try:
        job = SolveJob(rq_id, connection=connection, serializer=JSONSerializer)
        job.data = zlib.decompressobj().decompress(data, LONGEST_CALL)
        return str(job.kwargs["job_id"])
    except (ValueError, TypeError, zlib.error, DeserializationError) as error:
        raise PermissionError("a job that is not ours was found in Redis and dropped") from error


def queue_of(name: str, tenant: str) -> str:
    """Return the name of a tenant's queue; the default tenant's have no suffix."""
    return name if tenant == DEFAULT else f"{name}:{tenant}"


def queues_of(tenant: str) -> list[str]:
    """Return the names of a tenant's queues."""
    return [queue_of(name, tenant) for name in QUEUES]


def live_key(job_id: str) -> str:
    """Return the name of the live state of a job in Redis."""
    return f"newtond:live:{job_id}"


def _live_state(raw: Mapping[bytes, bytes], status: Literal["queued", "running"]) -> LiveState:
    names = {field.name for field in fields(LiveState)} - {"status"}
    state = {name.decode(): value.decode() for name, value in raw.items()}
    return LiveState(status=status, **{k: _PARSE.get(k, int)(v) for k, v in state.items() if k in names})
