"""What the tests share: a real Valkey on a unix socket, a data directory, real worker processes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from newtond import valkey as server
from newtond.store import DataDirectory
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
        wait_until(lambda: server.answers(self.socket), START_SECONDS)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None


def wait_until(condition: Callable[[], object], seconds: float, pause: float = 0.02) -> None:
    """Wait until ``condition`` is true, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(pause)


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
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> WorkerStart:
        return self.start

    def start(self, **settings: object) -> "subprocess.Popen[bytes]":
        changed = {f"NEWTOND_{name.upper()}": str(value) for name, value in settings.items()}
        process = subprocess.Popen([sys.executable, "-m", "worker"], env=self.environment | changed)
        self.started.append(process)
        return process

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
