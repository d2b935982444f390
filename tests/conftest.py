"""What the tests share: a real Valkey on a unix socket, a data directory, workers, jobs to run."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from newtond import valkey as server
from newtond.contract.chain import OUTSIDE, Seal
from newtond.contract.job import Accepted, Task
from newtond.contract.solve import SolveSpec
from newtond.contract.trace import TraceRecord
from newtond.store import DataDirectory
from newtond.store.jobs import new_job_id
from newtond.store.queue import JobQueue

START_SECONDS = 10.0
HEARTBEAT = 0.5


@dataclass
class Valkey:
    """A Valkey that can be killed and started again on the same files."""

    directory: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def socket(self) -> Path:
        return self.directory / server.SOCKET_NAME

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        self.process = subprocess.Popen(server.command(server.locate(), self.socket), cwd=self.directory)
        _wait_until(lambda: server.answers(self.socket), START_SECONDS)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None


WaitUntil = Callable[[Callable[[], object], float], None]


def _wait_until(condition: Callable[[], object], seconds: float, pause: float = 0.02) -> None:
    """Wait until ``condition`` is true, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(pause)


@pytest.fixture
def wait_until() -> WaitUntil:
    return _wait_until


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    with _running_valkey() as started:
        yield started


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """The session's Valkey, emptied."""
    JobQueue(valkey_server.url).connection.flushall()
    return valkey_server


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey that one test may kill."""
    with _running_valkey() as started:
        yield started


class _running_valkey:  # noqa: N801
    def __enter__(self) -> Valkey:
        self.valkey = Valkey(Path(tempfile.mkdtemp(prefix="newtond-")))
        self.valkey.start()
        return self.valkey

    def __exit__(self, *_: object) -> None:
        self.valkey.kill()
        shutil.rmtree(self.valkey.directory)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def data(data_dir: Path) -> DataDirectory:
    return DataDirectory(data_dir)


@pytest.fixture
def queue(valkey: Valkey) -> JobQueue:
    return JobQueue(valkey.url, heartbeat=HEARTBEAT)


WorkerStart = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def worker_process(valkey: Valkey, data_dir: Path) -> Iterator[WorkerStart]:
    """Start ``python -m worker`` processes; they are killed after the test."""
    with WorkerProcesses(valkey.url, data_dir) as start:
        yield start


class WorkerProcesses:
    """Start workers on one Redis and data directory, and kill them at the end."""

    def __init__(self, redis_url: str, data_dir: Path) -> None:
        self.environment = {
            **os.environ,
            "NEWTOND_REDIS_URL": redis_url,
            "NEWTOND_DATA_DIR": str(data_dir),
            "NEWTOND_HEARTBEAT": str(HEARTBEAT),
            "NEWTOND_THREADS": "1",
            "NEWTOND_CHECKPOINT_SECONDS": "0.2",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> WorkerStart:
        return self.start

    def start(self, stderr: IO[bytes] | None = None, **settings: object) -> "subprocess.Popen[bytes]":
        changed = {f"NEWTOND_{name.upper()}": str(value) for name, value in settings.items()}
        environment = self.environment | changed
        process = subprocess.Popen([sys.executable, "-m", "worker"], env=environment, stderr=stderr)
        self.started.append(process)
        return process

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


Submit = Callable[..., str]


def submit_to(
    data: DataDirectory,
    queue: JobQueue,
    rows: int = 200,
    columns: int = 5,
    task: Task = "solve",
    spec: Any = (),
    tenant: str = "default",
    **solver: Any,
) -> str:
    """Accept and enqueue an exp regression on (rows, columns) of random data; return its id."""
    generator = np.random.default_rng(7)
    A = generator.normal(size=(rows, columns)) / columns**0.5
    b = np.exp(A @ generator.normal(size=columns)) + 0.1 * generator.normal(size=rows)
    share = data.tenant(tenant)
    ids = {name: share.arrays.put_dense(array)[0].id for name, array in (("A", A), ("b", b))}
    problem = {"kind": "hyperbolic", "function": "exp"}
    accepted = Accepted(
        job_id=new_job_id(),
        tenant=tenant,
        task=task,
        spec=SolveSpec.model_validate({"problem": problem, "solver": solver, **ids, **dict(spec)}),
        shapes={"A": A.shape, "b": b.shape},
        fingerprint="f",
        created_at=datetime.now(UTC).isoformat(),
    )
    share.jobs.accept(accepted)
    queue.submit(accepted.job_id, accepted.task, tenant)
    return accepted.job_id


SLOW: dict[str, Any] = {
    "rows": 120_000,
    "columns": 20,
    "spec": {"regulariser": {"weights": "convex", "margin": 0.1}},
    "hessian": "paper",
    "tolerance": 1e-12,
    "sketch": {"kind": "leverage", "rows": 100},
}
"""Some fifty iterations and several seconds: the papers' own method, of a small sample."""


@pytest.fixture
def submit(data: DataDirectory, queue: JobQueue) -> Submit:
    return partial(submit_to, data, queue)


@pytest.fixture
def submit_slow(data: DataDirectory, queue: JobQueue) -> Submit:
    return partial(submit_to, data, queue, **SLOW)


@dataclass(frozen=True)
class Answer:
    """What must not depend on what happened to the processes: how it ends, x, the trace, its chain, the seal."""

    termination: str | None
    x: str
    trace: list[dict[str, Any]]
    seal: Seal | None


def answer_of(data: DataDirectory, job_id: str) -> Answer:
    finished = data.jobs.finished(job_id)
    assert finished is not None
    assert finished.result is not None, finished.error
    numbers = set(TraceRecord.model_fields) - OUTSIDE
    trace = [record.model_dump(include=numbers) for record in data.jobs.trace(job_id)]
    return Answer(finished.termination, finished.result.arrays["x"].id, trace, finished.seal)


@pytest.fixture
def answer() -> Callable[[DataDirectory, str], Answer]:
    return answer_of


@pytest.fixture(scope="session")
def undisturbed(valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """The answer of the slow solve when nothing happens to it."""
    data = DataDirectory(tmp_path_factory.mktemp("undisturbed") / "data")
    with WorkerProcesses(valkey_server.url, data.path) as start:
        job_id = submit_to(data, JobQueue(valkey_server.url), **SLOW)
        start()
        _wait_until(lambda: data.jobs.is_finished(job_id), 120)
    return answer_of(data, job_id)
