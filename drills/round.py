"""One round: jobs are submitted while faults are thrown; then every promise is checked."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from drills.faults import FAULTS, Struck
from drills.house import House
from drills.processes import wait_for
from drills.watch import Watch
from drills.work import Outcome, outcome
from newtond.contract.errors import QueueUnavailable
from newtond.store.attempts import TRACE
from newtond.store.jobs import ATTEMPTS

RESUMED_IN = 10.0
GIVEN_UP = 120.0
ALL_FINISHED_IN = 300.0
SOMETHING_RUNS_IN = 5.0


@dataclass(frozen=True)
class Task:
    """A work that the server has the arrays of: what is submitted, and what must come of it."""

    name: str
    spec: Mapping[str, Any]
    expected: Outcome


@dataclass
class Findings:
    """What a round saw: seconds to recover by fault, attempts, reads, what was wrong, late, or found nothing to hit."""

    recoveries: list[tuple[str, float]] = field(default_factory=list)
    jobs: int = 0
    attempts: int = 0
    reads: int = 0
    violations: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


class Round:
    """Throws what ``deal`` hands out at ``house`` while ``count`` of ``tasks`` are submitted and solved."""

    def __init__(self, house: House, tasks: list[Task], number: int, seed: int) -> None:
        self._house, self._number = house, number
        self._random = Random(f"{seed}/{number}")
        self._tasks = tasks
        self._accepted: dict[str, Task] = {}
        self._due = threading.Semaphore(0)
        self.findings = Findings()

    def run(self, count: int, faults: list[str]) -> Findings:
        """Return what was found; the house is left running and without jobs."""
        tasks = self._random.choices(self._tasks, k=count)
        # A fault that fails ends the drill: what is not due yet must not keep the process.
        submitter = threading.Thread(target=self._submit, args=(tasks,), daemon=True)
        with Watch(self._house, lambda: list(self._accepted)) as watch:
            submitter.start()
            for name, due in zip(faults, shares(count, len(faults)), strict=True):
                self._submit_more(due)
                self._throw(name)
            submitter.join()
            self._wait_for_the_last()
        self._check(watch, count)
        self._purge()
        return self.findings

    def _submit_more(self, jobs: int) -> None:
        for _ in range(jobs):
            self._due.release()

    def _blame(self, words: str) -> None:
        self.findings.violations.append(f"round {self._number}: {words}")

    def _submit(self, tasks: list[Task]) -> None:
        random = Random(self._random.random())
        for place, task in enumerate(tasks):
            self._due.acquire()
            try:
                self._accepted[self._house.submit(task.spec, f"round-{self._number}-{place}")] = task
            except (AssertionError, TimeoutError) as error:
                self._blame(f"a submit was refused: {error}")
            time.sleep(random.uniform(0.0, 0.3))

    def _throw(self, name: str) -> None:
        self._house.remember()
        try:
            struck = wait_for(lambda: self._strike(name), SOMETHING_RUNS_IN, name)
        except TimeoutError:  # all is finished already
            self.findings.missed.append(name)
            return
        self.findings.recoveries.append((name, self._recovery(name, struck)))
        time.sleep(self._random.uniform(0.0, 0.5))

    def _strike(self, name: str) -> Struck | None:
        try:
            return FAULTS[name](self._house, self._random)
        except (QueueUnavailable, FileNotFoundError):
            return None

    def _recovery(self, name: str, struck: Struck) -> float:
        try:
            wait_for(lambda: self._has_recovered(struck), GIVEN_UP, name)
        except TimeoutError as error:
            self._blame(f"no recovery: {error}")
        took = time.time() - struck.since
        if took > RESUMED_IN:
            self.findings.late.append(f"round {self._number}: {name}: recovered after {took:.1f} s")
        return took

    def _has_recovered(self, struck: Struck) -> bool:
        return all(self._moved(job_id, struck.since) for job_id in struck.jobs) and self._house.is_ready()

    def _moved(self, job_id: str, since: float) -> bool:
        jobs = self._house.data.jobs
        traces = (jobs.root / job_id / ATTEMPTS).glob(f"*/{TRACE}")
        return jobs.is_finished(job_id) or any(_grew(trace, since) for trace in traces)

    def _wait_for_the_last(self) -> None:
        jobs = self._house.data.jobs
        try:
            wait_for(lambda: all(map(jobs.is_finished, self._accepted)), ALL_FINISHED_IN, "the last job")
        except TimeoutError as error:
            left = [job_id for job_id in self._accepted if not jobs.is_finished(job_id)]
            self._blame(f"{error}: {left}")

    def _check(self, watch: Watch, count: int) -> None:
        findings = self.findings
        findings.jobs, findings.reads = len(self._accepted), watch.reads
        for words in (*watch.faults, *watch.changed_ends(), *self._said_twice()):
            self._blame(words)
        if len(self._accepted) != count or set(self._accepted) != set(self._house.data.jobs.ids()):
            self._blame(
                f"{count} submits, {len(self._accepted)} answers, {len(self._house.data.jobs.ids())} jobs"
            )
        for job_id, task in self._accepted.items():
            findings.attempts += self._house.data.jobs.attempts(job_id)
            self._compare(job_id, task)
        self._look_for_orphans()

    def _compare(self, job_id: str, task: Task) -> None:
        if not self._house.data.jobs.is_finished(job_id):
            return
        found = outcome(self._house.data.default, job_id)
        if found != task.expected:
            self._blame(f"{job_id} ({task.name}) ended otherwise: {_difference(found, task.expected)}")

    def _said_twice(self) -> list[str]:
        ends = [line["job_id"] for line in _log(self._house) if line.get("event") == "finished"]
        return [
            f"{job_id}: two workers say that they ended it"
            for job_id in self._accepted
            if ends.count(job_id) > 1
        ]

    def _look_for_orphans(self) -> None:
        def is_clean() -> bool:
            return not self._house.orphans()

        try:
            wait_for(is_clean, 5.0, "the end of orphans")
        except TimeoutError:
            self._blame(f"orphans: {self._house.orphans()}")

    def _purge(self) -> None:
        for job_id in () if self.findings.violations else list(self._accepted):
            httpx.delete(f"{self._house.url}/jobs/{job_id}", timeout=30).raise_for_status()


def shares(jobs: int, faults: int) -> list[int]:
    """Return how many jobs are submitted about each fault, so that every one finds some that run."""
    each = jobs // (faults + 1)
    return [jobs - each * (faults - 1), *[each] * (faults - 1)]


def _grew(trace: Any, since: float) -> bool:
    try:
        status = trace.stat()
    except FileNotFoundError:
        return False
    return bool(status.st_size and status.st_mtime > since)


def _log(house: House) -> list[dict[str, Any]]:
    lines = house.log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def _difference(found: Outcome, expected: Outcome) -> str:
    names = [name for name in Outcome.__dataclass_fields__ if getattr(found, name) != getattr(expected, name)]
    return "; ".join(f"{name} is {getattr(found, name)}, not {getattr(expected, name)}" for name in names)


def deal(seed: int, rounds: int, each: int, kinds: list[str]) -> list[list[str]]:
    """Return the faults of every round: each kind as often as any other, give or take one, in random order."""
    random, deck = Random(f"{seed}/faults"), list[str]()
    while len(deck) < rounds * each:
        deck += random.sample(kinds, len(kinds))
    return [deck[start : start + each] for start in range(0, rounds * each, each)]
