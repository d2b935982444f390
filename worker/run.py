"""One job as the parent sees it: a forked child, its deadlines, and what to do when it ends."""

import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NoReturn

import structlog

from newtond.contract.errors import NewtondError, RetriesExhausted, SolveError
from newtond.contract.job import Accepted
from newtond.contract.result import Termination
from newtond.process import die_with_parent
from newtond.store.jobs import JobStore
from newtond.store.tenant import Tenant
from worker import ending
from worker.board import Board
from worker.job import Assignment, Exit, run
from worker.settings import WorkerSettings

log = structlog.get_logger("newtond.worker")
Overdue = Literal["cancelled", "time_limit", "conclusion"]


@dataclass
class Run:
    """A job under this worker's lease: at most one child at a time, and a new one when it died."""

    accepted: Accepted
    token: str
    queue: str
    data: Tenant
    settings: WorkerSettings
    board: Board = field(default_factory=Board, init=False)
    attempt: int = field(default=0, init=False)
    pid: int | None = field(default=None, init=False)
    requeue: bool = field(default=False, init=False)
    _stop: Termination | None = field(default=None, init=False)
    _overdue: Overdue | None = field(default=None, init=False)
    _due: float = field(default=0.0, init=False)
    _began: float = field(default=0.0, init=False)
    _cancel_seen: float = field(default=math.inf, init=False)

    @property
    def job_id(self) -> str:
        return self.accepted.job_id

    @property
    def jobs(self) -> JobStore:
        return self.data.jobs

    def step(self) -> bool:
        """Start, reap and time the child; False when nothing is left to do for this job here."""
        if self.pid is None:
            return time.monotonic() < self._due or self._begin()
        self.board.write(parent_seen=time.monotonic())
        if (code := self._reap()) is not None:
            return self._ended(code)
        if self._overdue is None and (overdue := self._why_overdue()):
            self._overdue = overdue
            self.signal(signal.SIGKILL)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child, if there is one."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def abandon(self) -> None:
        """Kill the child and leave its attempt as given up by will."""
        if self.kill():
            self._release()

    def kill(self) -> bool:
        """Kill the child; False if there was none."""
        if self.pid is None:
            return False
        self.signal(signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = None
        return True

    def _begin(self) -> bool:
        if self.jobs.deaths(self.job_id) >= self.settings.max_attempts:
            times = self.settings.max_attempts
            self._finish_without_result(RetriesExhausted(f"the worker died at this job, {times} times"))
            return False
        self.attempt = self.jobs.new_attempt(self.job_id)
        self._began = time.monotonic()
        self._overdue = None
        self.board = Board()
        self.board.write(parent_seen=self._began, deadline=self._began + self.accepted.spec.solver.time_limit)
        self.pid = self._fork()
        return True

    def _fork(self) -> int:
        assignment = Assignment(
            self.accepted, self.attempt, self.token, self._stop, self.settings, self.data, self.board
        )
        tie_to_parent = die_with_parent(signal.SIGKILL)
        if (pid := os.fork()) == 0:
            _be_child(assignment, tie_to_parent)
        log.info("started", job_id=self.job_id, attempt=self.attempt, child=pid)
        return pid

    def _reap(self) -> int | None:
        pid, status = os.waitpid(self.pid or 0, os.WNOHANG)
        return None if pid == 0 else os.waitstatus_to_exitcode(status)

    def _why_overdue(self) -> Overdue | None:
        now = time.monotonic()
        concluding = self._began if self._stop else self.board.read("concluding_since")
        if concluding is not None:
            return "conclusion" if now - concluding > self.settings.conclude_seconds else None
        if self._cancel_seen == math.inf and self.jobs.cancel_requested(self.job_id):
            self._cancel_seen = now
        if now - self._cancel_seen > self.settings.cancel_seconds:
            return "cancelled"
        late = now - (self.board.read("deadline") or math.inf)
        return "time_limit" if late > self.settings.cancel_seconds else None

    def _ended(self, code: int) -> bool:
        self.pid = None
        if code == Exit.DONE:
            return False
        if code in (Exit.RELEASED, Exit.LOST, Exit.UNAVAILABLE):
            self._release()
            self.requeue = code == Exit.RELEASED
            return False
        if self._overdue is not None:
            return self._killed(self._overdue)
        deaths = self.jobs.deaths(self.job_id)
        self._due = time.monotonic() + 2.0 ** (deaths - 1) - 1.0
        log.warning("child died", job_id=self.job_id, attempt=self.attempt, code=code, deaths=deaths)
        return True

    def _killed(self, overdue: Overdue) -> bool:
        log.warning("child killed", job_id=self.job_id, attempt=self.attempt, overdue=overdue)
        self._release()
        if overdue == "conclusion" or self.accepted.task != "solve":
            self._finish_without_result(SolveError("there was no answer within the time limit"))
            return False
        self._stop = overdue
        return True

    def _release(self) -> None:
        if self.jobs.exists(self.job_id):
            self.jobs.end_attempt(self.job_id, self.attempt)

    def _finish_without_result(self, error: NewtondError) -> None:
        if self.jobs.cancel_requested(self.job_id):
            self.jobs.finish(ending.cancelled(self.jobs, self.accepted))
        else:
            self.jobs.finish(ending.failed(self.jobs, self.accepted, error))


def _be_child(assignment: Assignment, tie_to_parent: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        tie_to_parent()
        _shed_signals()
        structlog.contextvars.bind_contextvars(job_id=assignment.job_id, attempt=assignment.number)
        code = run(assignment)
    except BaseException:
        log.exception("attempt failed")
    finally:
        # Never back into the parent's code, its handlers or its buffers.
        os._exit(code)


def _shed_signals() -> None:
    """Undo the parent's handlers; in a group of its own a child is spared a terminal's Ctrl-C."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
