"""A job's files: whole or absent, once whoever races, whatever was torn."""

import os
import re
import threading
from collections.abc import Callable

import numpy as np
import pytest

from newtond.contract.errors import InvalidSpec, NotFound, SetupError
from newtond.contract.job import Accepted, Finished
from newtond.contract.trace import Iteration, TraceRecord
from newtond.store import DataDirectory
from newtond.store.checkpoint import Checkpoint
from newtond.store.jobs import JobStore, new_job_id

Accept = Callable[..., Accepted]


def finished(job_id: str, **changes: object) -> Finished:
    fields = {"job_id": job_id, "status": "cancelled", "attempt": 1, "finished_at": "2026-01-01T00:00:00Z"}
    return Finished.model_validate(fields | changes)


def record(iteration: int, **changes: object) -> TraceRecord:
    fields = {"iteration": iteration, "loss": 1.0, "gradient_norm": 0.5, "seconds": 0.1, "attempt": 1}
    return TraceRecord.model_validate({**fields, "peak_memory": 1, **changes})


def checkpoint(iteration: int, **changes: object) -> Checkpoint:
    arrays = {"x": np.array([0.1, -0.0, 1e-320]), "pairs": np.ones((2, 3)), "none": np.empty((0, 2))}
    return Checkpoint(iteration, arrays, {"damping": 0.1, "method": "newton", "count": 3}, **changes)  # type: ignore[arg-type]


def test_ids_are_ulids_and_sort_by_time() -> None:
    ids = [new_job_id() for _ in range(50)]
    assert all(re.fullmatch("job_[0-9A-HJKMNP-TV-Z]{26}", each) for each in ids)
    assert len(set(ids)) == 50
    assert ids[0][:13] <= ids[-1][:13]


def test_what_was_accepted_is_read_back_by_another_process_of_the_store(
    accept: Accept, data: DataDirectory
) -> None:
    accepted = accept()
    assert JobStore(data.jobs.root).accepted(accepted.job_id) == accepted
    assert data.jobs.finished(accepted.job_id) is None


@pytest.mark.parametrize("job_id", ["job_" + "0" * 26, "../arrays", "", ".", "job_x"])
def test_a_job_that_is_not_there_is_not_found(data: DataDirectory, job_id: str) -> None:
    for call in (
        data.jobs.accepted,
        data.jobs.finished,
        data.jobs.trace,
        data.jobs.delete,
        data.jobs.request_cancel,
    ):
        with pytest.raises(NotFound):
            call(job_id)


def test_a_key_gives_the_first_job_again(accept: Accept, data: DataDirectory) -> None:
    first = accept(idempotency_key="ключ/../")
    assert accept(idempotency_key="ключ/../") == first
    assert data.jobs.ids() == [first.job_id]
    with pytest.raises(InvalidSpec):
        accept(idempotency_key="ключ/../", fingerprint="other")
    assert accept(idempotency_key="another").job_id != first.job_id


def test_a_crash_between_key_and_job_is_mended_by_the_retry(
    accept: Accept, make_accepted: Accept, data: DataDirectory
) -> None:
    lost = make_accepted(idempotency_key="k")
    data.jobs._claim(data.jobs._key_path("k"), lost)
    assert data.jobs.ids() == []
    assert accept(idempotency_key="k") == lost
    assert data.jobs.ids() == [lost.job_id]


def test_concurrent_requests_with_one_key_make_one_job(make_accepted: Accept, data: DataDirectory) -> None:
    winners: list[str] = []
    requests = [make_accepted(idempotency_key="k") for _ in range(8)]
    threads = [
        threading.Thread(target=lambda each=each: winners.append(data.jobs.accept(each).job_id))  # type: ignore[misc]
        for each in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 8
    assert data.jobs.ids() == [winners[0]] == list(set(winners))


def test_a_job_finishes_once(accept: Accept, data: DataDirectory) -> None:
    job_id = accept().job_id
    assert data.jobs.finish(finished(job_id))
    assert not data.jobs.finish(finished(job_id, status="failed"))
    assert data.jobs.finished(job_id) == finished(job_id)


def test_of_many_that_race_to_finish_one_wins(accept: Accept, data: DataDirectory) -> None:
    job_id = accept().job_id
    readers, writers = os.pipe()
    children = []
    for k in range(6):
        if (pid := os.fork()) == 0:
            os.write(writers, b"1" if data.jobs.finish(finished(job_id, attempt=k)) else b"0")
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    assert sorted(os.read(readers, 6)) == sorted(b"000001")
    assert {path.name for path in (data.jobs.root / job_id).iterdir()} == {"accepted.json", "finished.json"}


def test_the_list_is_newest_first_and_pages_by_cursor(accept: Accept, data: DataDirectory) -> None:
    ids = sorted((accept().job_id for _ in range(5)), reverse=True)
    assert data.jobs.ids() == ids
    assert data.jobs.ids(after=ids[2]) == ids[3:]


def test_unfinished_jobs_hold_their_arrays(accept: Accept, data: DataDirectory) -> None:
    done, waiting = accept(), accept()
    data.jobs.finish(finished(done.job_id))
    assert list(data.jobs.unfinished()) == [waiting.job_id]
    assert data.jobs.arrays_in_use() == {waiting.spec.A, waiting.spec.b}
    data.jobs.finish(finished(waiting.job_id))
    assert data.jobs.arrays_in_use() == set()


def test_a_purged_job_leaves_nothing_and_frees_its_key(accept: Accept, data: DataDirectory) -> None:
    first = accept(idempotency_key="k")
    data.jobs.delete(first.job_id)
    assert list(data.jobs.root.iterdir()) == []
    assert accept(idempotency_key="k").job_id != first.job_id


def test_a_wish_to_cancel_is_durable_and_idempotent(accept: Accept, data: DataDirectory) -> None:
    job_id = accept().job_id
    assert not data.jobs.cancel_requested(job_id)
    data.jobs.request_cancel(job_id)
    data.jobs.request_cancel(job_id)
    assert JobStore(data.jobs.root).cancel_requested(job_id)


def test_the_trace_is_merged_by_iteration_and_the_latest_attempt_wins(
    accept: Accept, data: DataDirectory
) -> None:
    job_id = accept().job_id
    assert data.jobs.trace(job_id) == []
    for iterations in (range(4), range(2, 6)):
        attempt = data.jobs.attempt(job_id, data.jobs.new_attempt(job_id))
        for iteration in iterations:
            attempt.append(record(iteration, attempt=attempt.number))
        attempt.close()
    assert [(each.iteration, each.attempt) for each in data.jobs.trace(job_id)] == [
        (0, 1), (1, 1), (2, 2), (3, 2), (4, 2), (5, 2),
    ]  # fmt: skip
    assert [each.iteration for each in data.jobs.trace(job_id, after=3)] == [4, 5]


def test_a_torn_last_line_is_not_read(accept: Accept, data: DataDirectory) -> None:
    job_id = accept().job_id
    attempt = data.jobs.attempt(job_id, data.jobs.new_attempt(job_id))
    attempt.append(record(0))
    attempt.append(record(1))
    attempt.close()
    path = attempt.folder / "trace.ndjson"
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert len(data.jobs.trace(job_id)) == whole[:cut].count(b"\n")


def test_numbers_of_the_trace_survive_bit_for_bit(accept: Accept, data: DataDirectory) -> None:
    job_id = accept().job_id
    attempt = data.jobs.attempt(job_id, data.jobs.new_attempt(job_id))
    values = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0]
    for k, value in enumerate(values):
        attempt.append(record(k, loss=value))
    attempt.close()
    assert [each.loss.hex() for each in data.jobs.trace(job_id)] == [value.hex() for value in values]


def test_a_checkpoint_comes_back_bit_for_bit(accept: Accept, data: DataDirectory) -> None:
    job_id = accept().job_id
    assert data.jobs.checkpoint(job_id) is None
    attempt = data.jobs.attempt(job_id, data.jobs.new_attempt(job_id))
    saved = checkpoint(3, seconds=1.5, termination="stalled", stopping_rule="r", newton_decrement=1e-9)
    attempt.save(saved)
    read = data.jobs.checkpoint(job_id)
    assert read is not None
    assert {name: array.tobytes() for name, array in read.arrays.items()} == {
        name: array.tobytes() for name, array in saved.arrays.items()
    }
    assert read.arrays["pairs"].shape == (2, 3)
    assert read.scalars == saved.scalars
    assert (read.seconds, read.termination, read.stopping_rule, read.newton_decrement) == (
        1.5,
        "stalled",
        "r",
        1e-9,
    )


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    accept: Accept, data: DataDirectory, damage: bytes | None
) -> None:
    job_id = accept().job_id
    attempt = data.jobs.attempt(job_id, data.jobs.new_attempt(job_id))
    attempt.save(checkpoint(1))
    attempt.save(checkpoint(2))
    path = attempt.folder / "checkpoint"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content) if damage is None else damage)
    assert data.jobs.checkpoint(job_id).iteration == 1  # type: ignore[union-attr]
    path.unlink()
    assert data.jobs.checkpoint(job_id).iteration == 1  # type: ignore[union-attr]


def test_the_furthest_checkpoint_of_all_attempts_is_used(accept: Accept, data: DataDirectory) -> None:
    job_id = accept().job_id
    for iteration in (5, 3):
        data.jobs.attempt(job_id, data.jobs.new_attempt(job_id)).save(checkpoint(iteration))
    assert data.jobs.checkpoint(job_id).iteration == 5  # type: ignore[union-attr]


def test_attempts_that_did_not_say_how_they_ended_are_deaths(accept: Accept, data: DataDirectory) -> None:
    job_id = accept().job_id
    assert (data.jobs.attempts(job_id), data.jobs.deaths(job_id)) == (0, 0)
    assert [data.jobs.new_attempt(job_id) for _ in range(3)] == [1, 2, 3]
    data.jobs.end_attempt(job_id, 2)
    assert (data.jobs.attempts(job_id), data.jobs.deaths(job_id)) == (3, 2)


def test_a_data_directory_of_another_format_is_refused(data: DataDirectory) -> None:
    DataDirectory(data.path)
    (data.path / "format").write_text("newtond data 2\n")
    with pytest.raises(SetupError):
        DataDirectory(data.path)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_number_that_is_not_finite_is_read_back_as_null(
    data: DataDirectory, accept: Callable[..., Accepted], value: float
) -> None:
    job_id = accept().job_id
    attempt = data.jobs.attempt(job_id, data.jobs.new_attempt(job_id))
    step = Iteration(iteration=0, loss=value, gradient_norm=value, newton_decrement=value)
    attempt.append(TraceRecord.model_construct(**dict(step), seconds=1.0, attempt=1, peak_memory=1))
    attempt.close()
    (read,) = data.jobs.trace(job_id)
    assert (read.loss, read.gradient_norm, read.newton_decrement) == (None, None, None)
