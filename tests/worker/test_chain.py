"""The chain of a solve: every line names the one before, and the seal the last; clocks lie outside."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from newtond.contract.chain import Link, canonical, linked, seal, sha256
from newtond.store import DataDirectory
from worker.chain import array_id

if TYPE_CHECKING:
    from tests.conftest import WaitUntil, WorkerStart

Submit = Callable[..., str]
LINE = {"iteration": 3, "loss": 1e-300, "gradient_norm": 0.1, "seconds": 1.0, "attempt": 1, "peak_memory": 7}


def lines(data: DataDirectory, job_id: str) -> list[bytes]:
    path = data.jobs.root / job_id / "attempts" / "1" / "trace.ndjson"
    return path.read_bytes().splitlines()


@pytest.fixture
def finish(
    data: DataDirectory, worker_process: "WorkerStart", wait_until: "WaitUntil"
) -> Callable[[str], str]:
    worker_process()

    def finish(job_id: str) -> str:
        wait_until(lambda: data.jobs.is_finished(job_id), 60)
        return job_id

    return finish


def test_every_line_names_the_line_before_and_the_seal_names_the_last(
    data: DataDirectory, submit: Submit, finish: Callable[[str], str]
) -> None:
    job_id = finish(submit())
    finished, head = data.jobs.finished(job_id), sha256(data.jobs.inputs(job_id))
    inputs, before = head, None
    for line in lines(data, job_id):
        link = Link.model_validate(json.loads(line)["link"])
        assert (link.previous, link.inputs) == (head, inputs)
        assert link.point is not None
        assert link.gradients is not None
        assert before in (None, link.point)
        head, before = sha256(linked(line)), link.x
    assert finished is not None
    assert finished.result is not None
    assert finished.seal == seal(inputs, head, json.loads(finished.result.model_dump_json()))
    assert before == finished.result.arrays["x"].id  # of full rank: the last iterate is the solution


def test_two_runs_of_one_spec_have_one_seal_and_another_seed_has_another(
    data: DataDirectory, submit: Submit, finish: Callable[[str], str]
) -> None:
    seals = [data.jobs.finished(finish(submit(**solver))).seal for solver in ({}, {}, {"seed": 1})]  # type: ignore[union-attr]
    assert seals[0] == seals[1]
    assert seals[2] != seals[0]


def test_what_clocks_and_attempts_say_lies_outside_and_any_number_inside() -> None:
    def digest(**changes: Any) -> str:
        return sha256(linked(json.dumps(LINE | changes).encode()))

    outside = {"seconds": 2.0, "attempt": 9, "peak_memory": 8, "phases": {"sweep": 1.0}, "note": None}
    assert digest(**outside) == digest()
    for change in ({"iteration": 4}, {"loss": 1.1e-300}, {"gradient_norm": 0.2}, {"note": "n"}):
        assert digest(**change) != digest()


def test_a_sketch_names_its_key(data: DataDirectory, submit: Submit, finish: Callable[[str], str]) -> None:
    job_id = finish(submit(rows=2000, columns=5, hessian="sketch", seed=11))
    used = [record.sketch for record in data.jobs.trace(job_id) if record.sketch]
    assert used
    assert [(each.seed, each.iteration) for each in used] == [(11, k) for k in range(len(used))]


def test_a_canonical_form_is_one_whatever_the_order_and_the_nulls() -> None:
    assert canonical({"b": 1.0, "a": [None, "é"], "c": None}) == b'{"a":[null,"\\u00e9"],"b":1.0}'


def test_an_iterate_is_named_as_the_store_names_it(data: DataDirectory) -> None:
    x = np.linspace(0.0, 1.0, 7)
    assert array_id(x) == data.arrays.put_dense(x)[0].id
