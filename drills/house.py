"""A ``newtond up`` of the drill's own: started, broken, started again, and spoken to over HTTP."""

import io
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from drills.processes import MARK, kill, marked, runs, wait_for
from drills.work import Array
from newtond.store import DataDirectory
from newtond.store.lease import LEASED, lease_key
from newtond.store.queue import JobQueue, answering
from newtond.supervisor import free_port

HEARTBEAT = 0.5
READY_IN, UPLOADED_IN, ENDS_IN = 120.0, 300.0, 30.0
ENDINGS = {"api": ["-m", "service"], "worker": ["-m", "worker"]}
AGAIN = frozenset({429, 503, 507})
SETTINGS = {
    "NEWTOND_HEARTBEAT": str(HEARTBEAT),
    "NEWTOND_RECONCILE_SECONDS": "2",
    "NEWTOND_CHECKPOINT_SECONDS": "0.1",
    "NEWTOND_LOW_WATER_BYTES": "4000000",
    "NEWTOND_MAX_ATTEMPTS": "100",
    "NEWTOND_TENANT_REQUESTS_PER_SECOND": "100000",
}


class House:
    """One data directory, and the server on it while there is one."""

    def __init__(self, data: Path, log: Path, workers: int, **settings: str) -> None:
        self.data, self.log, self.workers = DataDirectory(data), log, workers
        self.mark = secrets.token_hex(8)
        self.port = free_port("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, **SETTINGS, **settings, MARK: self.mark}
        self._supervisor: psutil.Popen | None = None
        self._seen: set[psutil.Process] = set()

    def start(self) -> None:
        """Start the server, and do not wait for it."""
        command = [str(Path(sys.executable).with_name("newtond")), "up", "--port", str(self.port)]
        command += ["--data-dir", str(self.data.path), "--workers", str(self.workers), "--threads", "1"]
        with self.log.open("ab") as sink:
            self._supervisor = psutil.Popen(
                command, stdout=sink, stderr=subprocess.STDOUT, env=self._environment, start_new_session=True
            )

    def is_ready(self) -> bool:
        """Say whether the API says so."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        """Wait for the API and all workers; TimeoutError if they do not come."""
        wait_for(self.is_ready, READY_IN, "the API is ready")

    @property
    def supervisor(self) -> psutil.Popen:
        """The process of ``newtond up``."""
        assert self._supervisor is not None
        return self._supervisor

    def stop(self) -> int:
        """Tell the server to end, and return its exit status."""
        self.supervisor.send_signal(signal.SIGTERM)
        return int(self.supervisor.wait(ENDS_IN))

    def end(self) -> None:
        """End every process that was started here, whatever state it is in."""
        kill([*self._seen, *marked(self.mark)])

    def parts(self, role: str) -> list[psutil.Process]:
        """Return the supervisor's children in a role: api, worker or valkey."""
        return [child for child in self.supervisor.children() if runs(child) and _role(child) == role]

    def orphans(self) -> list[psutil.Process]:
        """Return what carries the mark and does not descend from the supervisor."""
        family = {self.supervisor, *self.supervisor.children(recursive=True)}
        return [process for process in self.leftovers() if process not in family]

    def leftovers(self) -> list[psutil.Process]:
        """Return every process of this house that runs."""
        return [process for process in {*self._seen, *marked(self.mark)} if runs(process)]

    def remember(self) -> None:
        """Note who runs now: a child that cleans its environment has no mark."""
        self._seen = {process for process in self._seen if runs(process)}
        self._seen.update(self.supervisor.children(recursive=True))

    def queue(self) -> JobQueue:
        """Return a connection to the server's own Valkey."""
        record = json.loads((self.data.path / "valkey.socket.json").read_text())
        return JobQueue(f"unix://{record}/valkey.sock", heartbeat=HEARTBEAT)

    def holders(self) -> dict[str, int]:
        """Return the jobs that run and the process of the worker that holds each; raises QueueUnavailable."""
        redis: Any = self.queue().connection
        with answering():
            ids = sorted(member.decode() for member in redis.smembers(LEASED))
            tokens = redis.mget([lease_key(job_id) for job_id in ids]) if ids else []
        found = {job_id: _pid(token) for job_id, token in zip(ids, tokens, strict=True) if token}
        return {job_id: pid for job_id, pid in found.items() if not self.data.jobs.is_finished(job_id)}

    def upload(self, array: Array) -> str:
        """Store an array and return its id."""
        buffer = io.BytesIO()
        np.save(buffer, array)
        headers = {"Content-Type": "application/x-npy"}
        answer = httpx.post(
            f"{self.url}/arrays", content=buffer.getvalue(), headers=headers, timeout=UPLOADED_IN
        )
        return str(answer.raise_for_status().json()["id"])

    def submit(self, spec: Mapping[str, Any], key: str) -> str:
        """Submit a job as a client would that does not give up; the key makes it one job."""
        deadline = time.monotonic() + READY_IN
        while (answer := self._post(spec, key)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError("a job was not accepted")
            time.sleep(0.1)
        return answer

    def _post(self, spec: Mapping[str, Any], key: str) -> str | None:
        headers = {"Idempotency-Key": key}
        try:
            answer = httpx.post(f"{self.url}/solve", json=spec, headers=headers, timeout=30)
        except httpx.TransportError:
            return None
        if answer.status_code in AGAIN:
            return None
        if not answer.is_success:
            raise AssertionError(f"POST /solve: {answer.status_code} {answer.text}")
        return str(answer.json()["id"])


def _role(process: psutil.Process) -> str:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return "gone"
    return next((role for role, words in ENDINGS.items() if command[-2:] == words), "valkey")


def _pid(token: bytes) -> int:
    return int(token.decode().partition(":")[0].rsplit("-", 2)[1])
