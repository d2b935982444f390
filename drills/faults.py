"""The faults: each is thrown at one running server and returns the jobs that it hit."""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from drills.house import HEARTBEAT, House
from drills.processes import kill, marked, send
from drills.volume import filled
from newtond.store.attempts import CHECKPOINT
from newtond.store.jobs import ATTEMPTS
from newtond.store.lease import lease_key
from newtond.store.queue import LEASE_HEARTBEATS, answering

LEASE = HEARTBEAT * LEASE_HEARTBEATS
FULL_FOR = (2.0, 6.0)


@dataclass(frozen=True)
class Struck:
    """What a fault hit: the jobs that must go on now, and the time (of the wall) that recovery counts from."""

    jobs: frozenset[str]
    since: float


Fault = Callable[[House, Random], Struck | None]
"""None where there was nothing to hit; raises QueueUnavailable where Valkey is not up yet."""


def kill_api(house: House, random: Random) -> Struck | None:
    """SIGKILL to the API."""
    return _kill_part(house, "api", frozenset(house.holders()))


def kill_valkey(house: House, random: Random) -> Struck | None:
    """SIGKILL to Valkey."""
    return _kill_part(house, "valkey", frozenset(house.holders()))


def _kill_part(house: House, role: str, jobs: frozenset[str]) -> Struck | None:
    parts = house.parts(role)
    kill(parts)
    return Struck(jobs, time.time()) if parts else None


def kill_worker(house: House, random: Random) -> Struck | None:
    """SIGKILL to a worker, at a job if one is."""
    worker = _worker(house, random)
    if worker is None:
        return None
    jobs = _jobs_of(house, worker)
    kill([worker])
    return Struck(jobs, time.time())


def kill_child(house: House, random: Random) -> Struck | None:
    """SIGKILL to the process that solves."""
    worker = _busy_worker(house, random)
    if worker is None:
        return None
    jobs = _jobs_of(house, worker)
    send(_children(worker), signal.SIGKILL)
    return Struck(jobs, time.time())


def kill_supervisor(house: House, random: Random) -> Struck | None:
    """SIGKILL to `newtond up`, which is then started again."""
    jobs = frozenset(house.holders())
    kill([house.supervisor])
    struck = time.time()
    house.start()
    return Struck(jobs, struck)


def kill_everything(house: House, random: Random) -> Struck | None:
    """SIGKILL to every process at once, then `newtond up` again."""
    jobs = frozenset(house.holders())
    kill(marked(house.mark))
    struck = time.time()
    house.start()
    return Struck(jobs, struck)


def restart(house: House, random: Random) -> Struck | None:
    """SIGTERM to `newtond up`, and another one when it has ended, from when recovery counts."""
    jobs = frozenset(house.holders())
    status = house.stop()
    if status != 0:
        raise AssertionError(f"`newtond up` ended with status {status} after SIGTERM")
    struck = time.time()
    house.start()
    return Struck(jobs, struck)


def stop_worker(house: House, random: Random) -> Struck | None:
    """SIGSTOP to a worker and its child for longer than a lease, then SIGCONT, in either order."""
    worker = _busy_worker(house, random)
    if worker is None:
        return None
    jobs, struck = _jobs_of(house, worker), time.time()
    asleep = [worker, *_children(worker)]
    send(asleep, signal.SIGSTOP)
    time.sleep(LEASE * random.uniform(1.5, 3))
    random.shuffle(asleep)
    for process in asleep:
        send([process], signal.SIGCONT)
        time.sleep(random.choice((0.0, 0.3)))
    return Struck(jobs, struck)


def flush(house: House, random: Random) -> Struck | None:
    """FLUSHALL: Valkey forgets queues, leases and live state."""
    jobs = frozenset(house.holders())
    with answering():
        house.queue().connection.flushall()
    return Struck(jobs, time.time())


def expire_leases(house: House, random: Random) -> Struck | None:
    """The clock of the leases leaps: each has run out though its holder lives."""
    return _with_leases(house, lambda redis, key: redis.pexpire(key, 1))


def stretch_leases(house: House, random: Random) -> Struck | None:
    """The clock of the leases halts: each lasts four heartbeats more than it should, and a holder is killed."""
    holder = _busy_worker(house, random)
    if holder is None:
        return None
    jobs = _jobs_of(house, holder)
    _with_leases(house, lambda redis, key: redis.pexpire(key, round(1000 * (LEASE + 4 * HEARTBEAT))))
    kill([holder])
    return Struck(jobs, time.time())


def _with_leases(house: House, change: Callable[..., object]) -> Struck | None:
    jobs, redis = frozenset(house.holders()), house.queue().connection
    with answering():
        for job_id in jobs:
            change(redis, lease_key(job_id))
    return Struck(jobs, time.time()) if jobs else None


def run_twice(house: House, random: Random) -> Struck | None:
    """A running job is queued again and its lease taken away until another worker has it too."""
    running = sorted(house.holders())
    if not running:
        return None
    job_id, queue, struck = random.choice(running), house.queue(), time.time()
    before = house.data.jobs.attempts(job_id)
    # Until the other worker is free, the first one takes its lease back at each renewal.
    while time.time() < struck + 4 * LEASE and house.data.jobs.attempts(job_id) == before:
        if queue.position(job_id) is None:
            queue.submit(job_id, "solve", at_front=True)
        with answering():
            queue.connection.delete(lease_key(job_id))
        time.sleep(0.05)
    return Struck(frozenset({job_id}), struck)


def damage_checkpoint(house: House, random: Random) -> Struck | None:
    """The newest checkpoint of a running job is cut short or one bit of it flipped, and its solver killed."""
    worker = _busy_worker(house, random)
    if worker is None:
        return None
    jobs, children = _jobs_of(house, worker), _children(worker)
    send(children, signal.SIGSTOP)
    damaged = [_damage(file, random) for job_id in jobs if (file := _checkpoint(house, job_id))]
    send(children, signal.SIGKILL if damaged else signal.SIGCONT)
    return Struck(jobs, time.time()) if damaged else None


def _checkpoint(house: House, job_id: str) -> Path | None:
    files = (house.data.jobs.root / job_id / ATTEMPTS).glob(f"*/{CHECKPOINT}")
    return max(files, key=lambda file: int(file.parent.name), default=None)


def _damage(file: Path, random: Random) -> None:
    content = bytearray(file.read_bytes())
    if random.random() < 0.5:
        del content[random.randrange(len(content)) :]
    else:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    file.write_bytes(content)


def fill_disk(house: House, random: Random) -> Struck | None:
    """The volume of the data directory is filled to the last byte for some seconds; recovery counts from their end."""
    jobs = frozenset(house.holders())
    with filled(house.data.path.parent):
        time.sleep(random.uniform(*FULL_FOR))
    return Struck(jobs, time.time())


def _jobs_of(house: House, worker: psutil.Process) -> frozenset[str]:
    return frozenset(job_id for job_id, pid in house.holders().items() if pid == worker.pid)


def _busy_worker(house: House, random: Random) -> psutil.Process | None:
    holding = set(house.holders().values())
    busy = [worker for worker in house.parts("worker") if worker.pid in holding and _children(worker)]
    return random.choice(busy) if busy else None


def _worker(house: House, random: Random) -> psutil.Process | None:
    workers = house.parts("worker")
    return _busy_worker(house, random) or (random.choice(workers) if workers else None)


def _children(worker: psutil.Process) -> list[psutil.Process]:
    try:
        return worker.children()
    except psutil.NoSuchProcess:
        return []


FAULTS: Mapping[str, Fault] = {
    "API killed": kill_api,
    "Valkey killed": kill_valkey,
    "worker killed": kill_worker,
    "solver killed": kill_child,
    "supervisor killed": kill_supervisor,
    "everything killed": kill_everything,
    "graceful restart": restart,
    "worker asleep past its lease": stop_worker,
    "Valkey emptied": flush,
    "leases run out early": expire_leases,
    "leases run out late": stretch_leases,
    "job on two workers": run_twice,
    "checkpoint damaged": damage_checkpoint,
    "disk full": fill_disk,
}
