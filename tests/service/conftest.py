"""A real service: uvicorn in a process of its own, on loopback, over a real Valkey and a real worker."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import Valkey, WorkerProcesses, _wait_until

START_SECONDS = 20.0
SLOW_ROWS, SLOW_COLUMNS = 200_000, 20
SLOW = {
    "problem": {"kind": "hyperbolic", "function": "exp"},
    "regulariser": {"weights": "convex", "margin": 0.1},
    "solver": {"hessian": "paper", "tolerance": 1e-12, "sketch": {"kind": "leverage", "rows": 100}},
}
"""Some fifty iterations and several seconds: the papers' own method, of a small sample."""


@dataclass
class Service:
    """A service process and how to reach it; it can be stopped and started again."""

    data_dir: Path
    redis_url: str
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=lambda: _free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data_dir.parent / "service.log"

    def start(self) -> None:
        settings = {"data_dir": self.data_dir, "redis_url": self.redis_url, "port": self.port} | self.settings
        environment = os.environ | {f"NEWTOND_{name.upper()}": str(value) for name, value in settings.items()}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stderr=log)
        _wait_until(self._lives, START_SECONDS)

    def _lives(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/livez").is_success
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        return process.wait(30)

    def kill(self) -> None:
        if self.process is not None:
            self.stop(signal.SIGKILL)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=70)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def service_root() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="newtond service "))
    yield root
    shutil.rmtree(root)


@contextmanager
def running_valkey() -> Iterator[Valkey]:
    """A Valkey of its own in a short directory: socket paths have a limit."""
    valkey = Valkey(Path(tempfile.mkdtemp(prefix="newtond-")))
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.kill()
        shutil.rmtree(valkey.directory)


@contextmanager
def running_service(root: Path, redis_url: str, **settings: Any) -> Iterator[Service]:
    """A service on its own data directory; it must end well when told to."""
    root.mkdir(exist_ok=True)
    service = Service(root / "data", redis_url, settings)
    try:
        service.start()
        yield service
        if service.process is not None:
            assert service.stop() == 0
    finally:
        service.kill()


@pytest.fixture(scope="session")
def idle_service(service_root: Path) -> Iterator[Service]:
    """A service whose queue nobody serves: jobs stay queued."""
    with running_valkey() as valkey, running_service(service_root / "idle", valkey.url) as service:
        yield service


@pytest.fixture
def idle(idle_service: Service) -> Iterator[httpx.Client]:
    with idle_service.client() as client:
        yield client


@pytest.fixture(scope="session")
def working_service(service_root: Path) -> Iterator[Service]:
    """A service with a Valkey and a worker of its own."""
    root = service_root / "working"
    with (
        running_valkey() as valkey,
        running_service(root, valkey.url, reconcile_seconds=0.5) as service,
        WorkerProcesses(valkey.url, service.data_dir) as start_worker,
    ):
        start_worker()
        yield service


@pytest.fixture
def working(working_service: Service) -> Iterator[httpx.Client]:
    with working_service.client() as client:
        yield client


@pytest.fixture
def own_service(tmp_path: Path, own_valkey: Valkey) -> Iterator[Service]:
    """A service with a Valkey of its own that one test may kill; nobody serves the queue."""
    with running_service(tmp_path, own_valkey.url, reconcile_seconds=0.2, keep_alive_seconds=0.3) as service:
        yield service


def example(kind: str = "hyperbolic") -> dict[str, Any]:
    """Return the published example of a kind."""
    body: dict[str, Any] = json.loads((files("openapi") / "examples" / f"{kind}.json").read_text())
    return body


def submit(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    """Submit the hyperbolic example, changed, and return the job."""
    answer = client.post("/solve", json=example() | changes)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def submit_slow(client: httpx.Client) -> str:
    """Submit a solve of several seconds and return its id."""
    generator = np.random.default_rng(7)
    A = generator.normal(size=(SLOW_ROWS, SLOW_COLUMNS)) / SLOW_COLUMNS**0.5
    b = np.exp(A @ generator.normal(size=SLOW_COLUMNS)) + 0.1 * generator.normal(size=SLOW_ROWS)
    files: dict[str, Any] = {name: (f"{name}.npy", npy(array)) for name, array in (("A", A), ("b", b))}
    answer = client.post("/solve", files=files | {"spec": (None, json.dumps(SLOW))})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def npy(values: Any) -> bytes:
    """Return the .npy file of ``values``."""
    file = io.BytesIO()
    np.save(file, np.asarray(values, dtype=float))
    return file.getvalue()


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the problem document of an answer that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:newtond:error:")
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def finish(client: httpx.Client, job_id: str, seconds: float = 60) -> dict[str, Any]:
    """Wait for a job and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(f"/jobs/{job_id}", headers={"Prefer": "wait=10"}).json()
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return job
    raise AssertionError(f"{job_id} did not finish")
