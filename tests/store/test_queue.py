"""The queue and the live state, against a real Valkey."""

import json
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from rq.job import Job as RqJob

from newtond.contract.errors import QueueUnavailable
from newtond.contract.job import Accepted
from newtond.store import DataDirectory
from newtond.store.queue import JobQueue, connect

if TYPE_CHECKING:
    from tests.conftest import Valkey

Accept = Callable[..., Accepted]


def test_a_submitted_job_waits_in_the_queue_of_its_task_and_is_taken_once(queue: JobQueue) -> None:
    queue.submit("job_1", "solve")
    queue.submit("job_2", "solve")
    queue.submit("job_3", "plan")
    assert (queue.depth(), queue.depth("solve"), queue.depth("short")) == (3, 2, 1)
    assert [queue.position(f"job_{k}") for k in (1, 2, 3, 4)] == [0, 1, 0, None]
    assert [queue.take(["short", "solve"], None) for _ in range(4)] == ["job_3", "job_1", "job_2", None]


def test_a_requeued_job_goes_first(queue: JobQueue) -> None:
    queue.submit("job_1", "solve")
    queue.submit("job_2", "solve", at_front=True)
    assert queue.take(["solve"], 1) == "job_2"


def test_nothing_stays_in_redis_of_a_job_that_was_taken(queue: JobQueue) -> None:
    queue.submit("job_1", "solve")
    queue.take(["solve"], None)
    assert queue.connection.keys("rq:job*") == []


@pytest.mark.parametrize("content", [b'["os.system", null, ["true"], {}]', b"\x80\x04pickle", b'{"a": 1}'])
def test_a_planted_job_is_dropped_and_runs_nothing(queue: JobQueue, content: bytes) -> None:
    queue.connection.hset(RqJob.key_for("job_evil"), "data", zlib.compress(content))
    queue.connection.rpush(queue.queue("solve").key, "job_evil")
    with pytest.raises(PermissionError):
        queue.take(["solve"], None)
    assert queue.depth() == 0


def test_what_is_enqueued_is_json(queue: JobQueue) -> None:
    queue.submit("job_1", "solve")
    raw = queue.connection.hget(RqJob.key_for("job_1"), "data")
    assert json.loads(zlib.decompress(raw)) == ["worker.job.run", None, [], {"job_id": "job_1"}]


def test_live_state_is_what_the_worker_last_wrote(queue: JobQueue) -> None:
    assert queue.live("job_1") is None
    queue.submit("job_1", "solve")
    assert queue.live("job_1").status == "queued"
    queue.leases.renew("job_1", "token")
    queue.update(
        "job_1", attempt=2, iteration=7, loss=0.1, gradient_norm=1e-300, started_at="2026-01-01T00:00:00Z"
    )
    live = queue.live("job_1")
    assert (live.status, live.attempt, live.iteration, live.loss) == ("running", 2, 7, 0.1)
    assert (live.gradient_norm, live.started_at) == (1e-300, "2026-01-01T00:00:00Z")
    assert queue.connection.ttl("newtond:live:job_1") > 0


def test_a_lease_has_one_holder_until_it_runs_out(queue: JobQueue) -> None:
    leases = queue.leases
    assert leases.renew("job_1", "first")
    assert not leases.renew("job_1", "second")
    assert leases.holds("job_1", "first")
    assert not leases.holds("job_1", "second")
    assert not leases.release("job_1", "second")
    queue.connection.delete("newtond:lease:job_1")
    assert leases.expired() == ["job_1"]
    assert leases.renew("job_1", "second")
    assert not leases.renew("job_1", "first")


def test_a_wiped_redis_is_filled_again_from_the_files(
    queue: JobQueue, data: DataDirectory, accept: Accept
) -> None:
    queued, leased, lost = (accept().job_id for _ in range(3))
    queue.connection.flushall()
    queue.submit(queued, "solve")
    queue.leases.renew(leased, "token")
    assert queue.reconcile(data) == [lost]
    assert queue.reconcile(data) == []
    assert queue.depth() == 2


def test_a_job_whose_holder_died_is_revived_at_the_front(
    queue: JobQueue, data: DataDirectory, accept: Accept
) -> None:
    first, dead = accept().job_id, accept().job_id
    queue.submit(first, "solve")
    queue.leases.renew(dead, "token")
    assert queue.revive(data) == []
    queue.connection.delete(f"newtond:lease:{dead}")
    assert queue.revive(data) == [dead]
    assert queue.counts() == {"expired": 1}
    assert queue.revive(data) == []
    assert queue.position(dead) == 0


def test_a_redis_that_is_gone_is_said_to_be(own_valkey: "Valkey") -> None:
    queue = JobQueue(own_valkey.url)
    queue.ping()
    own_valkey.kill()
    for call in (
        queue.ping,
        queue.depth,
        lambda: queue.submit("job_1", "solve"),
        lambda: queue.live("job_1"),
    ):
        with pytest.raises(QueueUnavailable):
            call()
    own_valkey.start()
    queue.ping()


def test_a_full_redis_is_unavailable(own_valkey: "Valkey") -> None:
    queue = JobQueue(own_valkey.url)
    connect(own_valkey.url).config_set("maxmemory", "1")
    with pytest.raises(QueueUnavailable):
        queue.submit("job_1", "solve")
