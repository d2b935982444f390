"""A disk that is full, for real: nothing is counted that did not begin, and room is all that is missing."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from drills.drill import house_on
from drills.processes import kill, wait_for
from drills.volume import Volume, filled, volume
from newtond.contract.errors import StorageFull
from newtond.contract.job import Accepted
from newtond.output import Output
from newtond.store import DataDirectory


@pytest.fixture
def ground() -> Iterator[Volume]:
    with volume() as ground:
        if ground.why_not is not None:
            pytest.skip(f"no volume to fill: {ground.why_not}")
        yield ground


@pytest.fixture
def data(ground: Volume) -> DataDirectory:
    return DataDirectory(ground.path / "data")


def test_an_attempt_that_finds_no_room_is_no_attempt(
    data: DataDirectory, submit_accepted: Callable[[DataDirectory], Accepted]
) -> None:
    job_id = submit_accepted(data).job_id
    with filled(data.path.parent):
        for _ in range(3):
            with pytest.raises(StorageFull):
                data.jobs.new_attempt(job_id)
        assert (data.jobs.attempts(job_id), data.jobs.deaths(job_id)) == (0, 0)
    assert data.jobs.new_attempt(job_id) == 1


def test_an_attempt_given_up_on_a_full_disk_is_not_a_death(
    data: DataDirectory, submit_accepted: Callable[[DataDirectory], Accepted]
) -> None:
    job_id = submit_accepted(data).job_id
    number = data.jobs.new_attempt(job_id)
    with filled(data.path.parent):
        data.jobs.end_attempt(job_id, number)
        assert data.jobs.deaths(job_id) == 0


def test_what_is_said_on_a_full_disk_ends_nothing(ground: Volume) -> None:
    log = ground.path / "log"
    with log.open("w") as stream:
        output = Output(stream)
        with filled(ground.path):
            with pytest.raises(OSError, match="No space"):
                print("x" * 100_000, file=stream, flush=True)
            for _ in range(100):
                output.say("y" * 5000)
        output.say("and this")
        assert "and this" in log.read_text().splitlines()
    with pytest.raises(ValueError, match="closed"):
        output.say("to nobody")


@pytest.mark.slow
def test_a_server_whose_log_lies_on_the_full_disk_lives_on(ground: Volume) -> None:
    with house_on(dataclasses.replace(ground, log=ground.path / "log"), workers=1) as house:
        (worker,) = house.parts("worker")
        with filled(ground.path):
            with house.log.open("ab", buffering=0) as last_page, suppress(OSError):
                while last_page.write(b"\n"):
                    pass
            kill([worker])
            wait_for(lambda: house.parts("worker"), 20, "another worker")
            wait_for(lambda: not house.is_ready(), 20, "that it is not ready")
        house.wait_until_ready()
        assert house.stop() == 0
