"""What is found in Redis is not trusted, and what is found twice is done once."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rq.job import Job as RqJob

from newtond.store import DataDirectory
from newtond.store.jobs import new_job_id
from newtond.store.queue import JobQueue

if TYPE_CHECKING:
    from tests.conftest import WaitUntil, WorkerStart

Submit = Callable[..., str]


def test_planted_jobs_run_nothing_and_stop_nothing(
    submit: Submit,
    queue: JobQueue,
    data: DataDirectory,
    worker_process: "WorkerStart",
    wait_until: "WaitUntil",
    tmp_path: Path,
) -> None:
    calls = (
        f'["os.mkdir", null, ["{tmp_path}/owned"], {{}}]',
        '["worker.job.run", null, [], {"job_id": "../../etc"}]',
        f'["worker.job.run", null, [], {{"job_id": "{new_job_id()}"}}]',
        "not json",
    )
    for k, call in enumerate(calls):
        queue.connection.hset(RqJob.key_for(f"job_{k}"), "data", zlib.compress(call.encode()))
        queue.connection.rpush(queue.queue("solve").key, f"job_{k}")
    queue.connection.rpush(queue.queue("short").key, b"\xff\xfe")
    job_id = submit()
    worker = worker_process()
    wait_until(lambda: data.jobs.is_finished(job_id), 30)
    assert worker.poll() is None
    assert not (tmp_path / "owned").exists()


def test_a_job_that_was_enqueued_many_times_runs_once(
    submit: Submit,
    queue: JobQueue,
    data: DataDirectory,
    worker_process: "WorkerStart",
    wait_until: "WaitUntil",
) -> None:
    job_id = submit()
    for _ in range(3):
        queue.submit(job_id, "solve")
    worker_process()
    wait_until(lambda: data.jobs.is_finished(job_id) and queue.depth() == 0 and queue.running() == 0, 30)
    assert data.jobs.attempts(job_id) == 1


def test_a_job_that_redis_never_heard_of_is_found_at_the_start(
    submit: Submit,
    queue: JobQueue,
    data: DataDirectory,
    worker_process: "WorkerStart",
    wait_until: "WaitUntil",
) -> None:
    job_id = submit()
    queue.connection.flushall()
    worker_process()
    wait_until(lambda: data.jobs.is_finished(job_id), 30)
