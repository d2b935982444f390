"""A reader beside a round: whatever it reads while faults are thrown must be whole, and an end must stay."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import httpx

from drills.house import AGAIN, House
from newtond.store.jobs import FINISHED

PAUSE = 0.1


class Watch:
    """Reads the jobs named by ``jobs`` again and again, in files and over HTTP, and notes what is wrong."""

    def __init__(self, house: House, jobs: Callable[[], list[str]]) -> None:
        self._house, self._jobs = house, jobs
        self._ends: dict[str, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.reads = 0
        self.faults: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._over.wait(PAUSE):
            for job_id in self._jobs():
                if job_id not in self._ends and not self._over.wait(PAUSE / 5):
                    self._look_at(job_id)

    def _look_at(self, job_id: str) -> None:
        self.reads += 1
        try:
            self._house.data.jobs.trace(job_id)
            self._look_at_end(job_id)
            self._ask(job_id)
        except Exception as error:  # whatever it is, it is a finding
            self.faults.append(f"{job_id} could not be read: {type(error).__name__}: {error}")

    def _look_at_end(self, job_id: str) -> None:
        if self._house.data.jobs.finished(job_id) is not None:
            self._ends[job_id] = _identity(self._house.data.jobs.root / job_id / FINISHED)

    def _ask(self, job_id: str) -> None:
        try:
            answer = httpx.get(f"{self._house.url}/jobs/{job_id}", timeout=30)
        except httpx.TransportError:  # the API is down just now
            return
        if answer.status_code != httpx.codes.OK and answer.status_code not in AGAIN:
            self.faults.append(f"GET /jobs/{job_id}: {answer.status_code} {answer.text}")

    def changed_ends(self) -> list[str]:
        """Return what became of ends that were written twice."""
        root = self._house.data.jobs.root
        changed = [job for job, seen in self._ends.items() if _identity(root / job / FINISHED) != seen]
        return [f"{job_id}: finished.json was written again" for job_id in changed]


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns
