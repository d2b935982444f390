"""A drill: references first, then round after round until one breaks a promise."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drills.faults import FAULTS
from drills.house import House
from drills.processes import wait_for
from drills.report import Drill
from drills.round import Findings, Round, Task, deal
from drills.volume import Volume, keep, volume
from drills.work import Work, outcome, works

FAULTS_A_ROUND = 4
REFERENCE_IN = 120.0


def run(seed: int, rounds: int, jobs: int, workers: int) -> Drill:
    """Return what was found; the first round with a violation is the last, and its data are kept."""
    started, found = time.monotonic(), list[Findings]()
    with volume() as ground, house_on(ground, workers) as house:
        left_out = {} if ground.why_not is None else {"disk full": ground.why_not}
        ready = time.monotonic()
        tasks = [_task(house, work) for work in works(seed)]
        for number, faults in enumerate(
            deal(seed, rounds, FAULTS_A_ROUND, [name for name in FAULTS if name not in left_out])
        ):
            again = found[-1].missed if found else []
            found.append(Round(house, tasks, number, seed).run(jobs, [*again, *faults]))
            _say(number, found[-1])
            if found[-1].violations:
                _say_where(keep(ground), found[-1])
                break
        _stop(house, found[-1])
    return Drill(seed, jobs, workers, time.monotonic() - started, ready - started, left_out, found)


@contextmanager
def house_on(ground: Volume, workers: int, **settings: str) -> Iterator[House]:
    """Yield a server with its data there, ready; nothing of it runs afterwards."""
    house = House(ground.path / "data", ground.log, workers, **settings)
    try:
        house.start()
        house.wait_until_ready()
        yield house
    finally:
        house.end()


def _task(house: House, work: Work) -> Task:
    """Store the arrays, and solve once undisturbed."""
    ids = {name: house.upload(array) for name, array in work.arrays.items()}
    spec = {**work.spec, **ids}
    job_id = house.submit(spec, f"reference-{work.name.replace(' ', '-')}")
    wait_for(lambda: house.data.jobs.is_finished(job_id), REFERENCE_IN, f"the reference of {work.name}")
    expected = outcome(house.data.default, job_id)
    assert expected.status == "succeeded", expected.error
    house.data.jobs.delete(job_id)
    return Task(work.name, spec, expected)


def _stop(house: House, found: Findings) -> None:
    status = house.stop()
    if status != 0:
        found.violations.append(f"`newtond up` ended with status {status} after SIGTERM")
    if orphans := house.leftovers():
        found.violations.append(f"after the end there are still {orphans}")


def _say(number: int, found: Findings) -> None:
    recoveries = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found.recoveries)
    print(f"round {number}: {found.jobs} jobs, {found.attempts} attempts; {recoveries}", flush=True)


def _say_where(kept: Path, found: Findings) -> None:
    print(f"kept: {kept}/data (jobs, arrays) and {kept}/log (what every process said)", file=sys.stderr)
    for words in found.violations:
        print(words, file=sys.stderr)
