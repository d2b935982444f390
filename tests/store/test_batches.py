"""Batches at rest: all jobs or none after a death at any point, and who may start when."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from newtond.contract.batch import AcceptedBatch
from newtond.contract.errors import InvalidSpec, NotFound
from newtond.contract.job import Accepted, Finished
from newtond.contract.result import Result, ResultArray
from newtond.contract.solve import SolveSpec
from newtond.store import DataDirectory
from newtond.store.batches import PLACED, BatchStore
from newtond.store.jobs import JobStore, new_batch_id, new_job_ids
from newtond.store.succession import may_start, next_in_line

NOW = datetime.now(UTC).isoformat()
ARRAY = "sha256:" + "0" * 64


def batch_of(count: int, key: str | None = None, fingerprint: str = "f") -> AcceptedBatch:
    ids = [None, *new_job_ids(count), None]
    spec = SolveSpec.model_validate({"problem": {"kind": "least_squares"}, "A": ARRAY, "b": ARRAY})
    batch_id = new_batch_id()
    jobs = [
        Accepted(
            job_id=str(ids[k]),
            task="solve",
            spec=spec,
            batch=batch_id,
            after=ids[k - 1],
            then=ids[k + 1],
            shapes={},
            fingerprint=fingerprint,
            created_at=NOW,
        )
        for k in range(1, count + 1)
    ]
    return AcceptedBatch(
        id=batch_id,
        varies="ridges",
        ridges=[1.0] * count,
        jobs=jobs,
        idempotency_key=key,
        fingerprint=fingerprint,
        created_at=NOW,
    )


def finish(data: DataDirectory, job_id: str, x: float | None, status: str = "succeeded") -> str | None:
    """End a job, with an answer or without; return the id of its x."""
    id = None if x is None else data.arrays.put_dense(np.array([x]))[0].id
    result = None
    if id is not None:
        array = ResultArray(id=id, shape=(1,), meaning="x", href="/")
        result = Result.model_construct(intercept=None, arrays={"x": array})
    path = data.jobs.root / job_id / "finished.json"
    made = Finished.model_construct(job_id=job_id, status=status, attempt=1, finished_at=NOW, result=result)
    path.write_text(made.model_dump_json())
    return id


@pytest.fixture
def chain(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> AcceptedBatch:
    """Three jobs in line; ends are written short, so they are read without being checked."""
    monkeypatch.setattr(JobStore, "finished", _finished)
    return data.default.batches.accept(batch_of(3))


def _finished(self: JobStore, job_id: str) -> Finished | None:

    path = self._folder(job_id) / "finished.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    if document["result"] is not None:
        arrays = {k: ResultArray(**v) for k, v in document["result"]["arrays"].items()}
        document["result"] = Result.model_construct(intercept=None, arrays=arrays)
    return Finished.model_construct(**document)


def starts(data: DataDirectory, batch: AcceptedBatch, k: int) -> bool:
    return may_start(batch.jobs[k].job_id, data.jobs, data.arrays)


def start_of(data: DataDirectory, batch: AcceptedBatch, k: int) -> object:
    return data.jobs.accepted(batch.jobs[k].job_id).spec.warm_start


def test_each_starts_when_the_one_before_it_has_ended(data: DataDirectory, chain: AcceptedBatch) -> None:
    assert [starts(data, chain, k) for k in range(3)] == [True, False, False]
    x = finish(data, chain.jobs[0].job_id, 2.5)
    following = next_in_line(chain.jobs[0], data.jobs, data.arrays)
    assert following is not None
    assert following.job_id == chain.jobs[1].job_id
    assert start_of(data, chain, 1) == x
    assert x is not None
    assert x in data.jobs.arrays_in_use()
    assert b'"warm_start":"' + x.encode() in data.jobs.inputs(chain.jobs[1].job_id).replace(b" ", b"")
    assert [starts(data, chain, k) for k in range(3)] == [True, True, False]


def test_what_was_settled_stays(data: DataDirectory, chain: AcceptedBatch) -> None:
    x = finish(data, chain.jobs[0].job_id, 2.5)
    assert starts(data, chain, 1)
    data.jobs.delete(chain.jobs[0].job_id)
    assert starts(data, chain, 1)
    assert start_of(data, chain, 1) == x


def test_one_cancelled_as_it_waited_is_passed_over(data: DataDirectory, chain: AcceptedBatch) -> None:
    finish(data, chain.jobs[1].job_id, None, "cancelled")
    assert not starts(data, chain, 2)
    x = finish(data, chain.jobs[0].job_id, 1.5)
    following = next_in_line(chain.jobs[0], data.jobs, data.arrays)
    assert following is not None
    assert following.job_id == chain.jobs[2].job_id
    assert start_of(data, chain, 2) == x


def test_one_that_failed_hands_on_where_it_started(data: DataDirectory, chain: AcceptedBatch) -> None:
    x = finish(data, chain.jobs[0].job_id, 1.5)
    assert starts(data, chain, 1)
    finish(data, chain.jobs[1].job_id, None, "failed")
    assert starts(data, chain, 2)
    assert start_of(data, chain, 2) == x


def test_after_one_that_was_deleted_it_starts_anew(data: DataDirectory, chain: AcceptedBatch) -> None:
    data.jobs.delete(chain.jobs[0].job_id)
    assert starts(data, chain, 1)
    assert start_of(data, chain, 1) is None
    assert next_in_line(chain.jobs[0], data.jobs, data.arrays) is not None


def test_a_service_that_died_over_a_batch_has_accepted_all_of_it(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, batch, placed = data.default.batches, batch_of(3), JobStore.place

    def die_at_the_second(self: JobStore, accepted: Accepted) -> None:
        if accepted.job_id == batch.jobs[1].job_id:
            raise KeyboardInterrupt
        placed(self, accepted)

    monkeypatch.setattr(JobStore, "place", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        batches.accept(batch)
    monkeypatch.undo()
    assert [data.jobs.exists(job.job_id) for job in batch.jobs] == [True, False, False]
    assert batches.complete() == [batch.id]
    assert all(data.jobs.exists(job.job_id) for job in batch.jobs)
    data.jobs.delete(batch.jobs[2].job_id)
    assert batches.complete() == []
    assert not data.jobs.exists(batch.jobs[2].job_id)


def test_a_service_that_died_before_has_accepted_nothing(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        data.default.batches.accept(batch_of(2))
    monkeypatch.undo()
    assert data.default.batches.ids() == []
    assert data.jobs.ids() == []


def test_a_key_names_one_batch(data: DataDirectory) -> None:
    batches: BatchStore = data.default.batches
    first = batches.accept(batch_of(2, "k"))
    assert batches.accept(batch_of(2, "k")) == first
    with pytest.raises(InvalidSpec):
        batches.accept(batch_of(2, "k", "another"))
    batches.delete(first.id)
    assert batches.accept(batch_of(2, "k", "another")).id != first.id
    assert (batches.root / batches.ids()[0] / PLACED).exists()
    with pytest.raises(NotFound):
        batches.accepted(first.id)


def test_ids_of_a_batch_sort_as_they_are_asked_for() -> None:
    ids = new_job_ids(500)
    assert ids == sorted(set(ids))


def test_a_batch_goes_with_the_last_of_its_jobs(data: DataDirectory) -> None:
    batches, batch = data.default.batches, data.default.batches.accept(batch_of(2, "k"))
    later = time.time() + 60
    data.jobs.delete(batch.jobs[0].job_id)
    assert batches.expire(later) == []
    data.jobs.delete(batch.jobs[1].job_id)
    assert batches.expire(time.time() - 60) == []
    assert batches.expire(later) == [batch.id]
    assert batches.ids() == []
    assert list((batches.root / "keys").iterdir()) == []
