"""Garbage collection: what is old and needed by nobody goes, and nothing else, however it races."""

import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from newtond.contract.errors import Gone, NotFound
from newtond.contract.job import Accepted, Finished
from newtond.store import DataDirectory
from newtond.store.retention import REMEMBERED, collect

DAY = 86_400.0
Accept = Callable[..., Accepted]


def age(data: DataDirectory, *arrays: str, seconds: float = 2 * DAY) -> None:
    for id in arrays or data.arrays.ids():
        folder = data.arrays.path(id).parent
        os.utime(folder, (time.time() - seconds,) * 2)


def end(data: DataDirectory, job_id: str, seconds: float) -> None:
    data.jobs.finish(
        Finished(job_id=job_id, status="cancelled", attempt=0, finished_at="2026-01-01T00:00:00Z")
    )
    os.utime(data.jobs.root / job_id / "finished.json", (time.time() - seconds,) * 2)


def test_an_array_goes_some_time_after_its_last_use(data: DataDirectory) -> None:
    old, new = (data.arrays.put_dense(np.full(2, value))[0].id for value in (1.0, 2.0))
    age(data, old)
    assert collect(data.default, DAY) == ([], [old])
    assert data.arrays.ids() == [new]
    age(data, new)
    assert data.arrays.put_dense(np.full(2, 2.0))[1] is False  # wanted again
    assert collect(data.default, DAY) == ([], [])


def test_what_a_job_reads_stays_until_the_job_goes(data: DataDirectory, accept: Accept) -> None:
    accepted = accept(idempotency_key="k")
    age(data)
    assert collect(data.default, DAY) == ([], [])
    end(data, accepted.job_id, DAY / 2)
    assert collect(data.default, DAY) == ([], [])
    os.utime(data.jobs.root / accepted.job_id / "finished.json", (0, time.time() - 2 * DAY))
    jobs, arrays = collect(data.default, DAY)
    assert jobs == [accepted.job_id]
    assert len(arrays) == 2
    assert list(data.jobs.keys.iterdir()) == []


def test_an_expired_job_is_gone_and_later_forgotten(data: DataDirectory, accept: Accept) -> None:
    job_id = accept().job_id
    end(data, job_id, 2 * DAY)
    collect(data.default, DAY)
    for ask in (data.jobs.accepted, data.jobs.finished, data.jobs.trace, data.jobs.delete):
        with pytest.raises(Gone):
            ask(job_id)
    assert data.jobs.ids() == []
    os.utime(data.jobs.expired / job_id, (0, time.time() - (REMEMBERED + 1) * DAY))
    collect(data.default, DAY)
    with pytest.raises(NotFound) as absent:
        data.jobs.accepted(job_id)
    assert not isinstance(absent.value, Gone)


def test_a_result_that_is_stored_and_not_yet_named_stays(data: DataDirectory, accept: Accept) -> None:
    """A worker stores x, sleeps past the retention, and only then names it."""
    accept(created_at="2020-01-01T00:00:00+00:00")
    x = data.arrays.put_dense(np.arange(7.0))[0].id
    age(data, x, seconds=30 * DAY)
    assert collect(data.default, DAY) == ([], [])


def test_an_audited_job_stays_while_its_audit_is_not_finished(data: DataDirectory, accept: Accept) -> None:
    audited = accept().job_id
    end(data, audited, 2 * DAY)
    audit = accept(task="audit", audit={"job_id": audited, "fraction": 0.5, "seed": 1}).job_id
    assert collect(data.default, DAY) == ([], [])
    end(data, audit, 0)
    assert collect(data.default, DAY)[0] == [audited]


def test_a_put_races_with_the_collector_and_never_loses(data: DataDirectory) -> None:
    """Whoever puts an array finds it there afterwards, however often it expires in that instant."""
    stop, lost = threading.Event(), []

    def collect_for_ever() -> None:
        while not stop.is_set():
            data.arrays.expire(time.time() - DAY, set())

    collector = threading.Thread(target=collect_for_ever)
    collector.start()
    try:
        for _ in range(300):
            id = data.arrays.put_dense(np.arange(3.0))[0].id
            if not data.arrays.exists(id):
                lost.append(id)
            os.utime(data.arrays.root / id.removeprefix("sha256:"), (0, 0)) if data.arrays.exists(
                id
            ) else None
    finally:
        stop.set()
        collector.join()
    assert lost == []
