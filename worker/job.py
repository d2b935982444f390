"""One job in its own process: iterate, keep the trace and the checkpoints, finish.

``run`` is the one function that RQ may name. Its exit code tells the parent what is left to do.
"""

import resource
import sys
import time
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

import structlog

from newtond import engine
from newtond.contract.chain import sha256
from newtond.contract.errors import InternalError, NewtondError, NotFound, OutOfMemory, Unavailable
from newtond.contract.job import Accepted, Finished
from newtond.contract.result import Termination
from newtond.contract.trace import TraceRecord
from newtond.engine import Inputs, Measured, RowGradients, Step
from newtond.store.attempts import Attempt
from newtond.store.queue import JobQueue
from newtond.store.tenant import Tenant
from worker import ending
from worker.audit import audit
from worker.board import Board
from worker.chain import Chain, leaves
from worker.checkpoint import Progress, Saver, advance, restore
from worker.control import Control, Interrupted
from worker.inputs import load
from worker.prediction import predict
from worker.result import conclude
from worker.settings import WorkerSettings

log = structlog.get_logger("newtond.worker")
LARGEST_DIGESTED = 1 << 23
"""The bytes of row-block gradients that a line digests unasked; more of them take longer than a pass."""
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
RULES: dict[str, str] = {"cancelled": "stopped on request", "time_limit": "the time limit was reached"}


class Exit(IntEnum):
    """How a child ends; any other code, or a signal, is a death."""

    DONE = 0
    RELEASED = 75
    LOST = 76
    UNAVAILABLE = 77


@dataclass(frozen=True)
class Assignment:
    """A job, the attempt at it, and the lease it runs under; ``stop`` is set where it must only conclude."""

    accepted: Accepted
    number: int
    token: str
    stop: Termination | None
    settings: WorkerSettings
    data: Tenant
    board: Board

    @property
    def job_id(self) -> str:
        return self.accepted.job_id

    @cached_property
    def queue(self) -> JobQueue:
        """A connection of the child's own."""
        return JobQueue(self.settings.redis_url, heartbeat=self.settings.heartbeat)

    @cached_property
    def threads(self) -> int:
        return self.settings.solve_threads(self.accepted.spec.solver.threads)


def run(assignment: Assignment) -> Exit:
    """Do the job and finish it, or say why another attempt must."""
    try:
        return _finish(assignment, _end(assignment))
    except Interrupted as interrupted:
        return Exit.LOST if interrupted.why == "lost" else Exit.RELEASED
    except (Unavailable, OSError, NotFound) as error:
        return _without_end(assignment, error)


def _finish(assignment: Assignment, finished: Finished) -> Exit:
    won = assignment.data.jobs.finish(finished)
    log.info(
        "finished" if won else "finished elsewhere", status=finished.status, termination=finished.termination
    )
    return Exit.DONE


def _without_end(assignment: Assignment, error: Exception) -> Exit:
    if not assignment.data.jobs.exists(assignment.job_id):
        log.info("purged while it ran")
        return Exit.DONE
    if not isinstance(error, Unavailable):
        raise error
    log.warning("cannot go on now", error=str(error))
    return Exit.UNAVAILABLE


def _end(assignment: Assignment) -> Finished:
    jobs, accepted = assignment.data.jobs, assignment.accepted
    try:
        return TASKS[accepted.task](assignment)
    except (Unavailable, OSError, Interrupted):
        raise
    except NewtondError as error:
        return ending.failed(jobs, accepted, error)
    except MemoryError:
        return ending.failed(jobs, accepted, OutOfMemory("the solve needs more memory than the worker has"))
    except Exception:
        log.exception("internal error")
        return ending.failed(jobs, accepted, InternalError("the solve failed by a fault of the server"))


def _plan(assignment: Assignment) -> Finished:
    jobs, accepted = assignment.data.jobs, assignment.accepted
    if jobs.cancel_requested(accepted.job_id):
        return ending.cancelled(jobs, accepted)
    inputs = load(accepted.spec, assignment.data.arrays)
    return ending.planned(jobs, accepted, engine.plan(accepted.spec, inputs, assignment.threads))


def _solve(assignment: Assignment) -> Finished:
    jobs, accepted = assignment.data.jobs, assignment.accepted
    checkpoint = jobs.checkpoint(accepted.job_id)
    if checkpoint is None and jobs.cancel_requested(accepted.job_id):
        return ending.cancelled(jobs, accepted)
    inputs = load(accepted.spec, assignment.data.arrays)
    attempt = jobs.attempt(accepted.job_id, assignment.number)
    solve = Solve(assignment, inputs, attempt, None if checkpoint is None else restore(checkpoint))
    progress = solve.to_its_end()
    attempt.close()
    assignment.board.write(concluding_since=time.monotonic())
    result = conclude(assignment, inputs, progress)
    if solve.control.lease_is_lost():
        raise Interrupted("lost")
    return ending.solved(assignment, result, progress, solve.resumed_from)


def _audit(assignment: Assignment) -> Finished:
    jobs, accepted = assignment.data.jobs, assignment.accepted
    report = audit(assignment)
    return ending.cancelled(jobs, accepted) if report is None else ending.audited(jobs, accepted, report)


def _predict(assignment: Assignment) -> Finished:
    jobs, accepted = assignment.data.jobs, assignment.accepted
    if jobs.cancel_requested(accepted.job_id):
        return ending.cancelled(jobs, accepted)
    return ending.predicted(jobs, accepted, predict(assignment))


TASKS = {"plan": _plan, "audit": _audit, "predict": _predict, "solve": _solve}


class Solve:
    """The iterations of one attempt, from a checkpoint or from the start."""

    def __init__(
        self, assignment: Assignment, inputs: Inputs, attempt: Attempt, resumed: Progress | None
    ) -> None:
        self._assignment = assignment
        self._spec = assignment.accepted.spec
        self._inputs = inputs
        self._attempt = attempt
        self._resumed = resumed
        origin = sha256(assignment.data.jobs.inputs(assignment.job_id))
        self._chain = Chain(origin, resumed.chain if resumed else None)
        self._saver = Saver(attempt, assignment.settings.checkpoint_seconds)
        self._started = time.monotonic() - (resumed.seconds if resumed else 0.0)
        self.resumed_from = resumed.state.iteration if resumed else None
        self.control = self._control()

    def _control(self) -> Control:
        job, jobs = self._assignment, self._assignment.data.jobs
        if self.resumed_from is not None:
            job.board.write(resumed_from=self.resumed_from)
        return Control(
            job.board,
            cancelled=lambda: jobs.cancel_requested(job.job_id),
            holds_lease=lambda: job.queue.holds(job.job_id, job.token),
            lease_seconds=job.settings.lease_seconds,
            deadline=self._started + self._spec.solver.time_limit,
        )

    def to_its_end(self) -> Progress:
        """Return the progress at which this solve stops; raises Interrupted if another attempt must go on."""
        if self._assignment.stop is not None:
            return self._stopped(self._resumed or self._start(), self._assignment.stop)
        if self._resumed is not None and self._resumed.termination is not None:
            return self._resumed
        return self._iterate()

    def _start(self) -> Progress:
        unmoved = self._spec.model_copy(
            update={"solver": self._spec.solver.model_copy(update={"max_iterations": 0})}
        )
        step = next(engine.steps(unmoved, self._inputs, self._assignment.threads))
        return advance(None, step, 0.0)

    def _iterate(self) -> Progress:
        progress = self._resumed
        state = None if progress is None else progress.state
        steps = engine.steps(self._spec, self._inputs, self._assignment.threads, state)
        while True:
            if (why := self.control.why_give_up()) is not None:
                self._give_up(progress, Interrupted(why))
            if progress is not None and (stop := self.control.why_stop()) is not None:
                return self._stopped(progress, stop)
            step = next(steps)
            seconds = time.monotonic() - self._started
            self._record(step, seconds)
            progress = advance(progress, step, seconds, self._chain.head)
            if progress.termination is not None:
                self._saver.save(progress)
                return progress
            self._saver.offer(progress)

    def _give_up(self, progress: Progress | None, interrupted: Interrupted) -> None:
        if progress is not None:
            self._saver.save(progress)
        raise interrupted

    def _stopped(self, progress: Progress, termination: Termination) -> Progress:
        stopped = replace(progress, termination=termination, stopping_rule=RULES[termination])
        self._saver.save(stopped)
        return stopped

    def _measured(self, step: Step) -> Measured | None:
        """Return what the step was measured from: under audit always, else where digests of it cost little."""
        measured = step.measured
        if self._spec.solver.audit:
            x = step.state.iterate
            return measured or Measured(x, self._gradients.at(x))
        return measured if measured is not None and measured.nbytes <= LARGEST_DIGESTED else None

    @cached_property
    def _gradients(self) -> RowGradients:
        return engine.row_gradients(self._spec, self._inputs, self._assignment.threads)

    def _record(self, step: Step, seconds: float) -> None:
        record, measured = step.record, self._measured(step)
        digests = None if measured is None else leaves(measured.shares)
        if self._spec.solver.audit and measured is not None and digests is not None:
            self._attempt.keep(record.iteration, measured.x, digests)
        line = self._attempt.append(
            TraceRecord.model_construct(
                **dict(record),
                link=self._chain.link(step, measured, digests),
                seconds=seconds,
                attempt=self._assignment.number,
                peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT,
            )
        )
        self._chain.add(line)
        self._assignment.board.write(
            iteration=record.iteration, loss=record.loss, gradient_norm=record.gradient_norm
        )
