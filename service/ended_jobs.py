"""Jobs that have ended, as they are listed: their files never change, so each is read once while a service lives."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from newtond.contract.job import FINISHED, Job, Status
from newtond.store.jobs import JobStore

MOST_BYTES = 8 << 20
"""Of resources, a few kilobytes each: some thousand jobs."""


@dataclass(frozen=True)
class Line:
    """A job in a list: what it may be searched for by, and its resource as JSON."""

    job_id: str
    status: Status
    tags: tuple[str, ...]
    cancel_requested: bool
    body: bytes


def line_of(job: Job) -> Line:
    """Return a job as it is listed."""
    return Line(job.id, job.status, tuple(job.tags), job.cancel_requested, job.model_dump_json().encode())


class EndedJobs:
    """The lines of jobs that have ended, the ones longest unasked for forgotten first; safe for any threads."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def find(self, jobs: JobStore, job_id: str) -> Line | None:
        """Return the line of a job of ``jobs``; None where it is unknown, purged, or was asked to stop since.

        Costs two stats: what decides is the files, whoever wrote or removed them.
        """
        with self._lock:
            line = self._lines.get(job_id)
            if line is not None:
                self._lines.move_to_end(job_id)
        if line is None or not jobs.is_finished(job_id):
            return None
        return line if jobs.cancel_requested(job_id) == line.cancel_requested else None

    def keep(self, line: Line) -> None:
        """Remember a job if it has ended."""
        if line.status not in FINISHED:
            return
        with self._lock:
            known = self._lines.pop(line.job_id, None)
            self._bytes += len(line.body) - (len(known.body) if known else 0)
            self._lines[line.job_id] = line
            while self._bytes > MOST_BYTES:
                _, oldest = self._lines.popitem(last=False)
                self._bytes -= len(oldest.body)
