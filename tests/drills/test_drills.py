"""The drill and the load, short: as `make drill` and `make load` run them, and able to find what is planted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from drills import drill, faults, load, report
from drills.house import House
from drills.round import Findings, Round, deal, shares
from drills.work import Outcome, works

ROOT = Path(__file__).parents[2]


def test_a_short_drill_breaks_no_promise(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- drill: begin -->\nold\n<!-- drill: end -->\nafter\n")
    command = [sys.executable, "-m", "drills", "--rounds", "2", "--jobs", "6", "--report", str(page)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=550)
    text = page.read_text()
    assert "12 jobs were accepted" in text, done.stderr
    assert "Violations: 0." in text, text
    assert text.startswith("before\n")
    assert text.endswith("<!-- drill: end -->\nafter\n")
    assert "old" not in text
    assert done.returncode == ("Recovered later than 10 s: 0 of" not in text)


@pytest.mark.slow
def test_thirty_seconds_of_load_lose_nothing() -> None:
    seen = load.run(clients=50, seconds=30, workers=1, seed=0)
    assert seen.failures == []
    assert seen.jobs
    assert all(seen.calls.values())
    assert "no job was lost" in load.section(seen)


def test_every_fault_is_dealt_as_often_as_any_other() -> None:
    dealt = [name for names in deal(3, 35, 4, list(faults.FAULTS)) for name in names]
    assert {dealt.count(name) for name in faults.FAULTS} == {len(dealt) // len(faults.FAULTS)}
    assert deal(3, 35, 4, list(faults.FAULTS)) == deal(3, 35, 4, list(faults.FAULTS))
    assert deal(4, 35, 4, list(faults.FAULTS)) != deal(3, 35, 4, list(faults.FAULTS))


@pytest.mark.parametrize(("jobs", "count"), [(20, 4), (6, 5), (3, 4), (1, 1)])
def test_every_job_is_due_about_some_fault(jobs: int, count: int) -> None:
    due = shares(jobs, count)
    assert (sum(due), len(due)) == (jobs, count)
    assert min(due) >= 0
    assert due[0] == max(due)


def test_the_same_seed_makes_the_same_work() -> None:
    for one, other in zip(works(5), works(5), strict=True):
        assert one.spec == other.spec
        assert all((one.arrays[name] == other.arrays[name]).all() for name in one.arrays)


def test_a_checkpoint_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    for seed in range(20):
        file.write_bytes(b"whole" * 100)
        faults._damage(file, Random(seed))
        assert file.read_bytes() != b"whole" * 100


@pytest.fixture
def house(tmp_path: Path) -> House:
    log = tmp_path / "log"
    log.touch()
    return House(tmp_path / "data", log, 1)


def test_an_end_that_two_workers_claim_is_found(house: House) -> None:
    lines = [{"event": "finished", "job_id": job} for job in ("job_a", "job_b", "job_a")]
    house.log.write_text("\n".join(map(json.dumps, lines)))
    each = Round(house, [], 0, 0)
    each._accepted = dict.fromkeys(("job_a", "job_b"))  # type: ignore[arg-type]
    assert each._said_twice() == ["job_a: two workers say that they ended it"]


def test_a_stray_process_is_found_and_ended(house: House) -> None:
    stray = subprocess.Popen(["sleep", "60"], env=house._environment)
    try:
        assert [process.pid for process in house.leftovers()] == [stray.pid]
        house.end()
        assert stray.poll() is not None
        assert house.leftovers() == []
    finally:
        stray.kill()


def test_a_report_names_violations_and_what_was_late() -> None:
    found = Findings(
        [("disk full", 3.0), ("API killed", 12.0)], 2, 3, 9, ["round 0: broken"], ["round 0: late"]
    )
    text = report.section(drill.Drill(0, 2, 1, 9.0, 4.0, {"disk full": "no root"}, [found]))
    for words in (
        "Violations: 1.",
        "- round 0: broken",
        "- round 0: late",
        "1 of 2",
        "Left out: disk full (no root)",
    ):
        assert words in text
    assert "| API killed | 1 | 12.0 s | 12.0 s | 12.0 s |" in text


def test_another_outcome_is_told_apart() -> None:
    one = Outcome("succeeded", "converged", "s", {"x": "sha256:1"}, ("a", "b"))
    assert one != Outcome("succeeded", "converged", "s", {"x": "sha256:1"}, ("a", "c"))
    assert one != Outcome("succeeded", "converged", "s", {"x": "sha256:2"}, ("a", "b"))
