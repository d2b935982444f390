"""Jobs that are stopped: cancelled, out of time, told to end, given up after too many deaths."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from newtond.contract.job import Finished
from newtond.store import DataDirectory
from newtond.store.queue import JobQueue

if TYPE_CHECKING:
    from tests.conftest import WaitUntil, WorkerStart

Submit = Callable[..., str]


def end_of(data: DataDirectory, job_id: str) -> Finished:
    finished = data.jobs.finished(job_id)
    assert finished is not None
    return finished


def child_of(pid: int) -> psutil.Process:
    (child,) = psutil.Process(pid).children()
    return child


def test_a_job_cancelled_before_it_starts_never_runs(
    submit: Submit, data: DataDirectory, worker_process: "WorkerStart", wait_until: "WaitUntil"
) -> None:
    job_id = submit()
    data.jobs.request_cancel(job_id)
    worker_process()
    wait_until(lambda: data.jobs.is_finished(job_id), 30)
    finished = end_of(data, job_id)
    assert (finished.status, finished.termination, finished.result) == ("cancelled", "cancelled", None)
    assert data.jobs.trace(job_id) == []


def test_a_cancelled_job_keeps_its_iterate_and_certificate(
    submit_slow: Submit, data: DataDirectory, worker_process: "WorkerStart", wait_until: "WaitUntil"
) -> None:
    job_id = submit_slow()
    worker_process()
    wait_until(lambda: len(data.jobs.trace(job_id)) > 3, 30)
    data.jobs.request_cancel(job_id)
    wait_until(lambda: data.jobs.is_finished(job_id), 5)
    finished = end_of(data, job_id)
    assert (finished.status, finished.termination, finished.converged) == ("cancelled", "cancelled", False)
    assert finished.result is not None
    assert finished.result.iterations == len(data.jobs.trace(job_id))
    assert finished.result.certificate.loss is not None


@pytest.mark.parametrize("seconds", [None, 1.5])
def test_an_iteration_that_does_not_end_is_killed_and_its_job_ends_from_the_checkpoint(
    submit_slow: Submit,
    data: DataDirectory,
    worker_process: "WorkerStart",
    wait_until: "WaitUntil",
    seconds: float | None,
) -> None:
    job_id = submit_slow(**({} if seconds is None else {"time_limit": seconds}))
    worker = worker_process(cancel_seconds=0.5, checkpoint_seconds=0.05)
    wait_until(lambda: data.jobs.checkpoint(job_id), 30)
    stuck = child_of(worker.pid)
    stuck.suspend()
    if seconds is None:
        data.jobs.request_cancel(job_id)
    wait_until(lambda: data.jobs.is_finished(job_id), 10)
    finished = end_of(data, job_id)
    expected = ("cancelled", "cancelled") if seconds is None else ("succeeded", "time_limit")
    assert (finished.status, finished.termination) == expected
    assert finished.result is not None
    assert finished.resumed_from_iteration == finished.result.iterations
    assert not stuck.is_running()
    assert data.jobs.deaths(job_id) == 1  # the attempt that concluded, which needs no word of its own


def test_sigterm_checkpoints_and_hands_the_job_to_the_next_worker(
    submit: Submit,
    submit_slow: Submit,
    data: DataDirectory,
    queue: JobQueue,
    worker_process: "WorkerStart",
    wait_until: "WaitUntil",
) -> None:
    job_id, other = submit_slow(), submit()
    worker = worker_process(checkpoint_seconds=1000)
    wait_until(lambda: len(data.jobs.trace(job_id)) > 5, 30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0
    assert queue.position(job_id) == 0
    assert queue.position(other) == 1
    assert data.jobs.deaths(job_id) == 0
    done = len(data.jobs.trace(job_id))
    checkpoint = data.jobs.checkpoint(job_id)
    assert checkpoint is not None
    assert checkpoint.iteration == done
    worker_process()
    wait_until(lambda: data.jobs.is_finished(job_id), 60)
    finished = end_of(data, job_id)
    assert (finished.status, finished.attempt, finished.resumed_from_iteration) == ("succeeded", 2, done)
    assert [each.iteration for each in data.jobs.trace(job_id)] == list(range(finished.iteration + 1))  # type: ignore[operator]


def test_an_idle_worker_ends_at_once(
    worker_process: "WorkerStart", queue: JobQueue, wait_until: "WaitUntil"
) -> None:
    worker = worker_process()
    wait_until(lambda: queue.connection.smembers("rq:workers"), 30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0
    assert queue.connection.smembers("rq:workers") == set()


def test_a_job_that_kills_its_worker_every_time_fails_in_the_end(
    submit_slow: Submit, data: DataDirectory, worker_process: "WorkerStart", wait_until: "WaitUntil"
) -> None:
    job_id = submit_slow()
    worker = worker_process(max_attempts=2)
    for attempt in (1, 2):
        wait_until(lambda: data.jobs.attempts(job_id), 30)
        wait_until(psutil.Process(worker.pid).children, 30)
        assert data.jobs.attempts(job_id) == attempt
        child_of(worker.pid).kill()
        wait_until(lambda: not psutil.Process(worker.pid).children(), 5)
    wait_until(lambda: data.jobs.is_finished(job_id), 10)
    finished = end_of(data, job_id)
    assert (finished.status, finished.result) == ("failed", None)
    assert finished.error is not None
    assert finished.error.type.endswith("retries-exhausted")


def test_a_purged_job_ends_without_a_trace(
    submit_slow: Submit,
    submit: Submit,
    data: DataDirectory,
    queue: JobQueue,
    worker_process: "WorkerStart",
    wait_until: "WaitUntil",
) -> None:
    job_id = submit_slow()
    worker = worker_process(checkpoint_seconds=0.05)
    wait_until(lambda: len(data.jobs.trace(job_id)) > 3, 30)
    data.jobs.delete(job_id)
    after = submit()
    wait_until(lambda: data.jobs.is_finished(after), 30)
    assert worker.poll() is None
    assert data.jobs.ids() == [after]
    wait_until(lambda: queue.running() == 0, 5)


def test_a_redis_that_comes_late_is_waited_for(
    data_dir: Path, tmp_path: Path, worker_process: "WorkerStart", wait_until: "WaitUntil"
) -> None:
    with (tmp_path / "log").open("wb") as log:
        worker = worker_process(stderr=log, redis_url=f"unix://{tmp_path}/none.sock")
        wait_until(lambda: b"silent" in (tmp_path / "log").read_bytes(), 30)
        time.sleep(1)
        assert worker.poll() is None
        worker.terminate()
        assert worker.wait(5) == 0
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert len([event for event in events if "silent" in event]) == 1
