"""What a list remembers of jobs that have ended: no more bytes than it may, the last asked for."""

from pathlib import Path

from newtond.store.jobs import FINISHED, JobStore
from service.ended_jobs import MOST_BYTES, EndedJobs, Line

SIZE = MOST_BYTES // 4


def line(number: int, size: int = SIZE) -> Line:
    return Line(f"job_{number}", "succeeded", (), False, b" " * size)


def known(ended: EndedJobs, jobs: JobStore, numbers: range) -> list[int]:
    return [number for number in numbers if ended.find(jobs, f"job_{number}") is not None]


def test_the_longest_unasked_for_are_forgotten_first(tmp_path: Path) -> None:
    jobs, ended = JobStore(tmp_path / "jobs"), EndedJobs()
    for number in range(7):
        folder = jobs.root / f"job_{number}"
        folder.mkdir()
        (folder / FINISHED).write_bytes(b"{}")
    for number in range(4):
        ended.keep(line(number))
    assert known(ended, jobs, range(4)) == [0, 1, 2, 3]
    ended.keep(line(3))
    assert known(ended, jobs, range(1)) == [0]
    ended.keep(line(4))
    assert known(ended, jobs, range(5)) == [0, 2, 3, 4]
    ended.keep(line(5, 2 * SIZE))
    assert known(ended, jobs, range(6)) == [3, 4, 5]
    ended.keep(line(6, MOST_BYTES + 1))
    assert known(ended, jobs, range(7)) == []
