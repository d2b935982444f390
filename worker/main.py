"""The worker's parent process: takes jobs, forks a child for each, renews leases, brings lost jobs back.

It imports everything a job needs and solves nothing, so that a child starts in milliseconds and no thread
is lost in a fork. One solve and one short task run at a time, so that a long solve does not block a plan.
"""

import gc
import math
import os
import secrets
import signal
import socket
import time

import structlog

from newtond.contract.errors import NotFound, QueueUnavailable, SetupError, StorageFull
from newtond.process import Wakeups
from newtond.store import DataDirectory
from newtond.store.queue import QUEUE_OF_TASK, QUEUES, TAKEN, JobQueue, answering, queue_of
from newtond.store.succession import next_in_line
from worker import log as logs
from worker.ending import now
from worker.registration import RegisteredWorker
from worker.run import Run
from worker.settings import WorkerSettings
from worker.turns import Turns
from worker.warm import warm

log = structlog.get_logger("newtond.worker")
TICK = 0.25
IDLE_WAIT = 1
SILENT_WAIT = 1.0


def main() -> int:
    """Work until told to stop (SIGTERM, SIGINT, SIGHUP); 1 where the data directory is not for us."""
    settings = WorkerSettings()
    logs.configure(settings.log_level)
    try:
        with Wakeups() as wakeups:
            Parent(settings, wakeups).work()
    except SetupError as error:
        log.error("cannot start", error=error.detail)
        return 1
    return 0


class Parent:
    """One slot a queue; each holds at most one run."""

    def __init__(self, settings: WorkerSettings, wakeups: Wakeups) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._settings = settings
        self._wakeups = wakeups
        self._data = DataDirectory(settings.data_dir)
        self._queue = JobQueue(settings.redis_url, heartbeat=settings.heartbeat)
        self._turns = Turns(self._data, self._queue, settings.tenant_running_jobs)
        self._registered: RegisteredWorker | None = None
        self._slots: dict[str, Run | None] = dict.fromkeys(QUEUES)
        self._next_beat = self._next_reconciliation = -math.inf
        self._silent = False
        self._warming, self._cold = warm(), True

    def work(self) -> None:
        """Look after the runs and take new ones until told to stop."""
        structlog.contextvars.bind_contextvars(worker=self.name)
        log.info("ready", queues=QUEUES)
        while not self._wakeups.stops:
            self._look_after_runs()
            try:
                self._beat()
                self._take()
                self._silent = False
            except QueueUnavailable as error:
                self._complain(error)
        self._leave()

    def _complain(self, error: QueueUnavailable) -> None:
        if not self._silent:
            log.warning("the queue is silent; running jobs go on", error=error.detail)
        self._silent = True
        self._wakeups.wait(TICK if self._runs() else SILENT_WAIT)

    def _runs(self) -> list[Run]:
        return [run for run in self._slots.values() if run is not None]

    def _look_after_runs(self) -> None:
        for name, run in self._slots.items():
            if run is not None and not self._step(run):
                self._slots[name] = None
                self._hand_back(run)

    def _step(self, run: Run) -> bool:
        try:
            return run.step()
        except NotFound:
            log.info("purged while it ran", job_id=run.job_id)
        except StorageFull as error:
            log.error("no room", job_id=run.job_id, error=str(error))
        run.kill()
        return False

    def _hand_back(self, run: Run) -> None:
        try:
            if run.jobs.is_finished(run.job_id) or not run.jobs.exists(run.job_id):
                self._queue.withdraw(run.job_id, run.data.name)
            # Released before it is submitted: whoever takes it must find it free.
            held = self._queue.release(run.job_id, run.token, run.queue)
            if held and run.requeue:
                self._queue.submit(run.job_id, run.accepted.task, run.data.name, at_front=True)
            if run.jobs.is_finished(run.job_id):
                self._start_next(run)
        except QueueUnavailable:
            log.warning("not handed back; its lease runs out", job_id=run.job_id)

    def _start_next(self, run: Run) -> None:
        following = next_in_line(run.accepted, run.jobs, run.data.arrays)
        if following is not None:
            self._queue.submit(following.job_id, following.task, run.data.name, at_front=True)

    def _beat(self) -> None:
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + self._settings.heartbeat
            self._renew()
            self._register()
            self._bring_back()
        # After the renewal: one that slept past its lease must not write the live state of another's job.
        for run in self._runs():
            self._report(run)

    def _report(self, run: Run) -> None:
        board = run.board
        self._queue.update(
            run.job_id,
            attempt=run.attempt,
            started_at=run.jobs.started_at(run.job_id),
            heartbeat_at=now(),
            iteration=board.count("iteration"),
            resumed_from_iteration=board.count("resumed_from"),
            loss=board.read("loss"),
            gradient_norm=board.read("gradient_norm"),
        )

    def _renew(self) -> None:
        for name, run in self._slots.items():
            if run is not None and not self._queue.renew(run.job_id, run.token, run.queue):
                log.warning("lease lost", job_id=run.job_id, attempt=run.attempt)
                run.abandon()
                self._slots[name] = None
                self._queue.count(TAKEN)

    def _register(self) -> None:
        with answering():
            if self._registered is None:
                ttl = math.ceil(self._settings.lease_seconds)
                self._registered = RegisteredWorker(self.name, self._queue.connection, ttl)
            self._registered.beat(bool(self._runs()))

    def _bring_back(self) -> None:
        revived = self._queue.revive(self._data)
        if time.monotonic() >= self._next_reconciliation:
            self._next_reconciliation = time.monotonic() + self._settings.reconcile_seconds
            revived += self._queue.reconcile(self._data)
        for job_id in revived:
            log.info("brought back", job_id=job_id)

    def _take(self) -> None:
        idle = [name for name, run in self._slots.items() if run is None]
        busy = len(idle) < len(self._slots)
        names = self._turns.queues(idle)
        try:
            job_id = self._queue.take(names, None if busy or self._cold else IDLE_WAIT) if names else None
        except PermissionError as error:
            log.error("refused", error=str(error))
            return
        if job_id is not None:
            self._assign(job_id)
        elif busy or not (names or self._cold):
            self._wakeups.wait(TICK)
        elif self._cold:
            self._warm_up()

    def _warm_up(self) -> None:
        try:
            next(self._warming)
        except StopIteration:
            self._cold = False
            gc.freeze()  # what is loaded stays shared with every child
            log.info("kernels loaded")

    def _assign(self, job_id: str) -> None:
        try:
            tenant = self._data.of_job(job_id)
            accepted = tenant.jobs.accepted(job_id)
        except (NotFound, ValueError) as error:
            log.warning("dropped", job_id=job_id, error=str(error))
            return
        if tenant.jobs.waits(job_id):
            log.warning("dropped", job_id=job_id, error="the job before it has not ended")
            return
        slot = QUEUE_OF_TASK[accepted.task]
        token = f"{self.name}:{secrets.token_hex(8)}"
        run = Run(accepted, token, queue_of(slot, tenant.name), tenant, self._settings)
        if self._slots[slot] is None and self._claimed(run, slot):
            self._begin(run, slot)

    def _claimed(self, run: Run, slot: str) -> bool:
        claim = self._queue.claim(run.job_id, run.token, run.queue, self._turns.bound(slot))
        if claim == "full":
            # Another worker was faster and took the tenant's last place.
            self._queue.submit(run.job_id, run.accepted.task, run.data.name, at_front=True)
        return claim == "held"

    def _begin(self, run: Run, slot: str) -> None:
        self._turns.serve(run.data.name)
        self._slots[slot] = run
        if run.jobs.is_finished(run.job_id):
            self._slots[slot] = None
            self._hand_back(run)

    def _leave(self) -> None:
        for run in self._runs():
            run.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._settings.stop_seconds
        while self._runs() and time.monotonic() < deadline:
            self._look_after_runs()
            self._wakeups.wait(TICK / 5)
        for run in self._runs():
            run.abandon()
            run.requeue = True
            self._hand_back(run)
        self._unregister()
        log.info("stopped")

    def _unregister(self) -> None:
        try:
            with answering():
                if self._registered is not None:
                    self._registered.register_death()  # type: ignore[no-untyped-call]
        except QueueUnavailable:
            log.warning("not unregistered; its registration runs out")
