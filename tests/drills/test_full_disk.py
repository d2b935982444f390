"""A disk that is full, for real: nothing is counted that did not begin, and room is all that is missing."""

from collections.abc import Callable, Iterator

import pytest

from drills.volume import filled, volume
from newtond.contract.errors import StorageFull
from newtond.contract.job import Accepted
from newtond.store import DataDirectory


@pytest.fixture
def data() -> Iterator[DataDirectory]:
    with volume() as ground:
        if ground.why_not is not None:
            pytest.skip(f"no volume to fill: {ground.why_not}")
        yield DataDirectory(ground.path / "data")


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
