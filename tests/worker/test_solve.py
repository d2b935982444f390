"""Jobs that run to their end: results in the data directory, traces, failures as data."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from newtond.contract.job import Finished
from newtond.store import DataDirectory
from newtond.store.queue import JobQueue

if TYPE_CHECKING:
    from tests.conftest import WaitUntil, WorkerStart

Submit = Callable[..., str]


@pytest.fixture
def finish(
    data: DataDirectory, worker_process: "WorkerStart", wait_until: "WaitUntil"
) -> Callable[[str], Finished]:
    """Run a worker until the job is finished."""
    worker_process()

    def finish(job_id: str) -> Finished:
        wait_until(lambda: data.jobs.is_finished(job_id), 60)
        finished = data.jobs.finished(job_id)
        assert finished is not None
        return finished

    return finish


def test_a_solve_succeeds_with_arrays_certificate_plan_and_provenance(
    submit: Submit, finish: Callable[[str], Finished], data: DataDirectory
) -> None:
    finished = finish(job_id := submit(outputs := 200, 5, spec={"outputs": ["fitted", "residual"]}))
    result = finished.result
    assert result is not None
    assert (finished.status, finished.termination, finished.converged) == ("succeeded", "converged", True)
    assert {name: array.shape for name, array in result.arrays.items()} == {
        "x": (5,), "fitted": (outputs,), "residual": (outputs,)
    }  # fmt: skip
    x = data.arrays.open(result.arrays["x"].id).as_vector()
    assert np.all(np.isfinite(x))
    assert result.arrays["x"].href == f"/jobs/{job_id}/result/x"
    assert result.certificate.gradient_norm == result.gradient_norm
    assert result.provenance.threads == 1
    assert result.provenance.blas_threads == 1
    assert result.provenance.cpu
    assert (finished.attempt, finished.resumed_from_iteration) == (1, None)
    assert finished.started_at is not None
    assert finished.started_at <= finished.finished_at


def test_the_trace_has_a_line_an_iteration_with_time_attempt_and_memory(
    submit: Submit, finish: Callable[[str], Finished], data: DataDirectory
) -> None:
    finished = finish(job_id := submit())
    trace = data.jobs.trace(job_id)
    assert [each.iteration for each in trace] == list(range(len(trace)))
    assert all(each.attempt == 1 and each.peak_memory > 1_000_000 for each in trace)
    assert [each.seconds for each in trace] == sorted(each.seconds for each in trace)
    assert finished.iteration == trace[-1].iteration
    assert finished.result.newton_decrement == trace[-1].newton_decrement  # type: ignore[union-attr]


def test_a_plan_is_a_job_without_a_result(submit: Submit, finish: Callable[[str], Finished]) -> None:
    finished = finish(submit(task="plan"))
    assert (finished.status, finished.result) == ("succeeded", None)
    assert finished.plan is not None
    assert finished.plan.hessian == "exact"


def test_a_plan_is_not_kept_waiting_by_a_long_solve(
    submit: Submit, submit_slow: Submit, finish: Callable[[str], Finished], data: DataDirectory
) -> None:
    slow = submit_slow()
    finish(submit(task="plan"))
    assert not data.jobs.is_finished(slow)


def test_a_spec_that_its_arrays_contradict_fails_with_the_reason(
    submit: Submit, finish: Callable[[str], Finished]
) -> None:
    finished = finish(submit(hessian="paper"))
    assert (finished.status, finished.result) == ("failed", None)
    assert finished.error is not None
    assert finished.error.type.endswith("invalid-spec")
    assert "convex" in finished.error.detail


def test_an_array_that_was_deleted_fails_the_job(
    submit: Submit, finish: Callable[[str], Finished], data: DataDirectory
) -> None:
    job_id = submit(rows=77)
    data.arrays.delete(str(data.jobs.accepted(job_id).spec.A))
    finished = finish(job_id)
    assert finished.status == "failed"
    assert finished.error is not None
    assert finished.error.type.endswith("not-found")


def test_running_out_of_iterations_is_an_answer(submit: Submit, finish: Callable[[str], Finished]) -> None:
    finished = finish(submit(max_iterations=1))
    assert (finished.status, finished.termination, finished.converged) == (
        "succeeded",
        "max_iterations",
        False,
    )
    assert finished.result is not None


def test_running_out_of_time_is_an_answer(submit_slow: Submit, finish: Callable[[str], Finished]) -> None:
    finished = finish(submit_slow(time_limit=0.5))
    assert (finished.status, finished.termination, finished.converged) == ("succeeded", "time_limit", False)
    assert finished.result is not None
    assert finished.result.certificate.loss == finished.result.loss


def test_a_running_job_is_seen_alive(
    submit_slow: Submit, queue: JobQueue, worker_process: "WorkerStart", wait_until: "WaitUntil"
) -> None:
    job_id = submit_slow()
    worker_process()
    wait_until(lambda: (live := queue.live(job_id)) and live.iteration is not None and live.iteration > 1, 30)
    live = queue.live(job_id)
    assert live is not None
    assert (live.status, live.attempt, live.resumed_from_iteration) == ("running", 1, None)
    assert live.loss is not None
    assert live.heartbeat_at is not None
    assert live.started_at is not None
    assert queue.running() == 1
    assert queue.connection.smembers("rq:workers")


def test_nothing_of_a_finished_job_stays_in_redis(
    submit: Submit, finish: Callable[[str], Finished], queue: JobQueue, wait_until: "WaitUntil"
) -> None:
    job_id = submit()
    finish(job_id)
    wait_until(lambda: queue.running() == 0, 5)
    assert [key for key in queue.connection.keys("*") if job_id.encode() in key] == []


def test_the_same_spec_gives_the_same_bits_for_any_number_of_threads(
    submit: Submit, data: DataDirectory, finish: Callable[[str], Finished]
) -> None:
    ids = [submit(rows=5000, columns=10, threads=threads) for threads in (1, 2)]
    results = [finish(each).result for each in ids]
    assert [each.provenance.threads for each in results] == [1, 2]  # type: ignore[union-attr]
    assert len({each.arrays["x"].id for each in results}) == 1  # type: ignore[union-attr]


def test_a_forked_child_starts_a_job_in_a_moment(
    submit: Submit, finish: Callable[[str], Finished], data: DataDirectory
) -> None:
    finish(submit())  # the kernels are loaded by now or soon
    time.sleep(2)
    began = time.monotonic()
    finish(submit(rows=201))
    assert time.monotonic() - began < 1.0


def test_logs_are_json_with_the_job_in_them(
    submit: Submit, worker_process: "WorkerStart", data: DataDirectory, wait_until: "WaitUntil", tmp_path: Any
) -> None:
    job_id = submit()
    with (tmp_path / "log").open("wb") as log:
        worker: subprocess.Popen[bytes] = worker_process(stderr=log)
        wait_until(lambda: data.jobs.is_finished(job_id), 30)
        worker.terminate()
        assert worker.wait(10) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    mine = [line["event"] for line in lines if line.get("job_id") == job_id]
    assert mine == ["started", "finished"]
