"""Whatever is killed in mid-solve, the job finishes, once, with the bits of an undisturbed run."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from newtond.store import DataDirectory
from newtond.store.queue import HEARTBEAT_SECONDS, JobQueue

if TYPE_CHECKING:
    from tests.conftest import Answer, Valkey, WaitUntil, WorkerStart

Submit = Callable[..., str]
AnswerOf = Callable[[DataDirectory, str], "Answer"]
SOLVE_SECONDS = 120


@pytest.fixture
def in_mid_solve(data: DataDirectory, wait_until: "WaitUntil") -> Callable[[str], None]:
    """Wait until a job has made some iterations and a checkpoint."""

    def wait(job_id: str) -> None:
        wait_until(lambda: data.jobs.checkpoint(job_id) and len(data.jobs.trace(job_id)) > 5, 60)
        assert not data.jobs.is_finished(job_id)

    return wait


@pytest.fixture
def check(
    data: DataDirectory, wait_until: "WaitUntil", answer: AnswerOf, undisturbed: "Answer"
) -> Callable[..., None]:
    """Wait until a job is finished and compare it with the undisturbed run."""

    def check(job_id: str, *, attempts: int) -> None:
        wait_until(lambda: data.jobs.is_finished(job_id), SOLVE_SECONDS)
        finished = data.jobs.finished(job_id)
        assert finished is not None
        assert finished.status == "succeeded"
        assert answer(data, job_id) == undisturbed
        assert finished.attempt == attempts
        assert (finished.resumed_from_iteration is not None) == (attempts > 1)

    return check


def child_of(process: "subprocess.Popen[bytes]") -> psutil.Process:
    (child,) = psutil.Process(process.pid).children()
    return child


def is_gone(process: psutil.Process) -> bool:
    """Whether it runs no more; one that nobody has reaped yet does not run."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def test_the_workers_child(
    submit_slow: Submit,
    worker_process: "WorkerStart",
    in_mid_solve: Callable[[str], None],
    check: Callable[..., None],
    data: DataDirectory,
    wait_until: "WaitUntil",
) -> None:
    job_id = submit_slow()
    worker = worker_process()
    in_mid_solve(job_id)
    child_of(worker).kill()
    wait_until(lambda: data.jobs.attempts(job_id) == 2, 2)
    check(job_id, attempts=2)


def test_the_workers_parent(
    submit_slow: Submit,
    worker_process: "WorkerStart",
    in_mid_solve: Callable[[str], None],
    check: Callable[..., None],
    data: DataDirectory,
    wait_until: "WaitUntil",
) -> None:
    job_id = submit_slow()
    worker = worker_process(heartbeat=HEARTBEAT_SECONDS)
    in_mid_solve(job_id)
    child = child_of(worker)
    worker_process(heartbeat=HEARTBEAT_SECONDS)
    kill(worker)
    killed = time.monotonic()
    wait_until(lambda: is_gone(child), 1)
    wait_until(lambda: data.jobs.attempts(job_id) == 2, 10)
    assert time.monotonic() - killed < 10
    check(job_id, attempts=2)


def test_redis_wiped(
    submit_slow: Submit,
    submit: Submit,
    worker_process: "WorkerStart",
    in_mid_solve: Callable[[str], None],
    check: Callable[..., None],
    queue: JobQueue,
    data: DataDirectory,
    wait_until: "WaitUntil",
) -> None:
    job_id, waiting = submit_slow(), submit()
    worker_process(reconcile_seconds=1)
    in_mid_solve(job_id)
    queue.connection.flushall()
    check(job_id, attempts=1)
    wait_until(lambda: data.jobs.is_finished(waiting), 30)


def test_redis_wiped_under_two_workers_that_compete(
    submit_slow: Submit,
    worker_process: "WorkerStart",
    in_mid_solve: Callable[[str], None],
    data: DataDirectory,
    answer: AnswerOf,
    undisturbed: "Answer",
    queue: JobQueue,
    wait_until: "WaitUntil",
) -> None:
    job_id = submit_slow()
    for _ in range(2):
        worker_process(reconcile_seconds=0.2)
    in_mid_solve(job_id)
    for _ in range(5):
        queue.connection.flushall()
        time.sleep(0.3)
    wait_until(lambda: data.jobs.is_finished(job_id), SOLVE_SECONDS)
    assert answer(data, job_id) == undisturbed


def test_a_worker_that_sleeps_past_its_lease_and_wakes(
    submit_slow: Submit,
    worker_process: "WorkerStart",
    in_mid_solve: Callable[[str], None],
    check: Callable[..., None],
    data: DataDirectory,
    wait_until: "WaitUntil",
) -> None:
    job_id = submit_slow()
    sleeper = worker_process()
    in_mid_solve(job_id)
    child = child_of(sleeper)
    for pid in (sleeper.pid, child.pid):
        os.kill(pid, signal.SIGSTOP)
    other = worker_process()
    wait_until(lambda: data.jobs.attempts(job_id) == 2, 15)
    wait_until(lambda: psutil.Process(other.pid).children(), 5)
    for pid in (child.pid, sleeper.pid):
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: is_gone(child), 5)
    assert not data.jobs.is_finished(job_id)
    check(job_id, attempts=2)
    assert sleeper.poll() is None


def test_a_worker_that_sleeps_until_its_job_is_finished_elsewhere(
    submit_slow: Submit,
    worker_process: "WorkerStart",
    in_mid_solve: Callable[[str], None],
    check: Callable[..., None],
    data: DataDirectory,
    wait_until: "WaitUntil",
) -> None:
    job_id = submit_slow()
    sleeper = worker_process()
    in_mid_solve(job_id)
    child = child_of(sleeper)
    for pid in (sleeper.pid, child.pid):
        os.kill(pid, signal.SIGSTOP)
    worker_process()
    check(job_id, attempts=2)
    ended = (data.jobs.root / job_id / "finished.json").stat()
    # The child alone: it must find out for itself.
    os.kill(child.pid, signal.SIGCONT)
    wait_until(lambda: is_gone(child), 60)
    os.kill(sleeper.pid, signal.SIGCONT)
    check(job_id, attempts=2)
    now = (data.jobs.root / job_id / "finished.json").stat()
    assert (now.st_ino, now.st_mtime_ns) == (ended.st_ino, ended.st_mtime_ns)


class TestWithItsOwnValkey:
    """Drills that kill the queue, so that it is one test's own."""

    @pytest.fixture
    def valkey(self, own_valkey: "Valkey") -> "Valkey":
        return own_valkey

    def test_valkey(
        self,
        valkey: "Valkey",
        submit_slow: Submit,
        submit: Submit,
        worker_process: "WorkerStart",
        in_mid_solve: Callable[[str], None],
        check: Callable[..., None],
        data: DataDirectory,
        wait_until: "WaitUntil",
    ) -> None:
        job_id, waiting = submit_slow(), submit()
        worker = worker_process(reconcile_seconds=2)
        in_mid_solve(job_id)
        valkey.kill()
        before = len(data.jobs.trace(job_id))
        time.sleep(1)
        assert len(data.jobs.trace(job_id)) > before
        valkey.start()
        check(job_id, attempts=1)
        wait_until(lambda: data.jobs.is_finished(waiting), 30)
        assert worker.poll() is None

    def test_valkey_until_the_solve_is_over(
        self,
        valkey: "Valkey",
        submit_slow: Submit,
        worker_process: "WorkerStart",
        in_mid_solve: Callable[[str], None],
        check: Callable[..., None],
    ) -> None:
        job_id = submit_slow()
        worker = worker_process()
        in_mid_solve(job_id)
        valkey.kill()
        check(job_id, attempts=1)
        assert worker.poll() is None


class Api:
    """A service process on a free port."""

    def __init__(self, environment: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        environment = environment | {"NEWTOND_PORT": str(self.port), "NEWTOND_LOW_WATER_BYTES": "0"}
        self.process = subprocess.Popen([sys.executable, "-m", "service"], env=environment)

    def call(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": kind}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def answers(self) -> bool:
        try:
            self.call("GET", "/livez")
        except OSError:
            return False
        return True


@contextmanager
def api(environment: dict[str, str], wait_until: "WaitUntil") -> Iterator[Api]:
    started = Api(environment)
    try:
        wait_until(started.answers, 60)
        yield started
    finally:
        kill(started.process)


def npy(array: "np.ndarray[Any, Any]") -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_the_api(
    valkey: "Valkey",
    data_dir: Path,
    worker_process: "WorkerStart",
    submit_slow: Submit,
    in_mid_solve: Callable[[str], None],
    check: Callable[..., None],
    data: DataDirectory,
    wait_until: "WaitUntil",
    undisturbed: "Answer",
) -> None:
    environment = {**os.environ, "NEWTOND_REDIS_URL": valkey.url, "NEWTOND_DATA_DIR": str(data_dir)}
    model = data.jobs.accepted(submit_slow()).spec.model_dump(mode="json", exclude_none=True)
    data.jobs.delete(data.jobs.ids()[0])
    with api(environment, wait_until) as first:
        for name in ("A", "b"):
            array = np.asarray(data.arrays.open(model[name]).parts["data"])
            assert first.call("POST", "/arrays", npy(array), "application/x-npy")["id"] == model[name]
        job_id = first.call("POST", "/solve", json.dumps(model).encode())["id"]
        worker_process()
        in_mid_solve(job_id)
        family = psutil.Process(first.process.pid).children(recursive=True)
    wait_until(lambda: all(map(is_gone, family)), 5)
    check(job_id, attempts=1)
    with api(environment, wait_until) as second:
        assert second.call("GET", f"/jobs/{job_id}")["status"] == "succeeded"
        assert second.call("GET", f"/jobs/{job_id}/result")["arrays"]["x"]["id"] == undisturbed.x
