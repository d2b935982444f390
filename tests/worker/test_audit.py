"""Audits: an honest solve holds, a lie about k of the row blocks is caught as often as the formula says."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from newtond import engine
from newtond.contract.audit import Audit, AuditReport, is_drawn
from newtond.contract.chain import linked, seal, sha256
from newtond.engine import RowGradients
from newtond.store import DataDirectory
from newtond.store.attempts import KEPT_LEAVES, KEPT_X
from newtond.store.checkpoint import Checkpoint, encode
from worker.audit import Findings, breaks_of, examined, report
from worker.inputs import load
from worker.result import provenance

if TYPE_CHECKING:
    from tests.conftest import WaitUntil, WorkerStart

Submit = Callable[..., str]
Finish = Callable[[str], str]
ROWS, COLUMNS = 40_000, 20
LIES, FRACTION, AUDITS = 5, 0.3, 400


@pytest.fixture
def finish(data: DataDirectory, worker_process: "WorkerStart", wait_until: "WaitUntil") -> Finish:
    worker_process()

    def finish(job_id: str) -> str:
        wait_until(lambda: data.jobs.is_finished(job_id), 120)
        return job_id

    return finish


@pytest.fixture
def kept(submit: Submit, finish: Finish) -> str:
    return finish(submit(ROWS, COLUMNS, audit=True))


def gradients_of(data: DataDirectory, job_id: str) -> RowGradients:
    spec = data.jobs.accepted(job_id).spec
    return engine.row_gradients(spec, load(spec, data.arrays))


def audited(
    data: DataDirectory, job_id: str, gradients: RowGradients, fraction: float, seed: int = 0
) -> AuditReport:
    finished, asked = data.jobs.finished(job_id), Audit(job_id=job_id, fraction=fraction, seed=seed)
    assert finished is not None
    found = Findings(breaks_of(data.jobs, job_id, finished))
    for _ in examined(data.jobs, asked, finished, gradients, found):
        pass
    return report(asked, finished, found, provenance(1))


def lie(data: DataDirectory, job_id: str, shards: set[tuple[int, int]]) -> None:
    """Do as a worker does that makes these row blocks' gradients up: all it writes agrees with itself."""
    folder = data.jobs.root / job_id
    attempt = folder / "attempts" / "1"
    head, lines = sha256(data.jobs.inputs(job_id)), []
    for line in (attempt / "trace.ndjson").read_bytes().splitlines():
        record = json.loads(line)
        k = record["iteration"]
        state = data.jobs.kept(job_id, k)
        assert state is not None
        leaves = state.arrays[KEPT_LEAVES].copy()
        for iteration, block in shards:
            if iteration == k:
                leaves[block] ^= 255
        arrays = {KEPT_X: state.arrays[KEPT_X], KEPT_LEAVES: leaves}
        (attempt / "iterates" / str(k)).write_bytes(b"".join(encode(Checkpoint(k, arrays, {}))))
        record["link"] |= {"previous": head, "gradients": sha256(leaves.tobytes())}
        lines.append(json.dumps(record).encode())
        head = sha256(linked(lines[-1]))
    (attempt / "trace.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    reseal(data, job_id, head)


def reseal(data: DataDirectory, job_id: str, head: str) -> None:
    path = data.jobs.root / job_id / "finished.json"
    finished = json.loads(path.read_bytes())
    finished["seal"] = seal(sha256(data.jobs.inputs(job_id)), head, finished["result"]).model_dump()
    path.write_text(json.dumps(finished))


def test_an_honest_solve_holds_and_a_lie_is_caught_as_often_as_the_formula_says(
    data: DataDirectory, kept: str
) -> None:
    gradients = gradients_of(data, kept)
    whole = audited(data, kept, gradients, 1.0)
    assert (whole.verdict, whole.faults, whole.failed) == ("held", [], [])
    assert whole.drawn == whole.held == whole.shards == whole.iterates * gradients.count
    assert gradients.count > 3
    assert whole.iterates > 2

    generator = np.random.default_rng(2308)
    every = [(k, block) for k in range(whole.iterates) for block in range(gradients.count)]
    shards = {every[i] for i in generator.choice(len(every), LIES, replace=False)}
    lie(data, kept, shards)
    told = audited(data, kept, gradients, 1.0)
    assert (told.verdict, told.faults) == ("failed", [])
    assert {(shard.iteration, shard.block) for shard in told.failed} == shards

    caught = sum(audited(data, kept, gradients, FRACTION, seed).verdict == "failed" for seed in range(AUDITS))
    expected = 1.0 - (1.0 - FRACTION) ** LIES
    spread = (expected * (1.0 - expected) / AUDITS) ** 0.5
    assert abs(caught / AUDITS - expected) < 4.0 * spread


def test_what_was_kept_is_read_whether_drawn_or_not(data: DataDirectory, kept: str) -> None:
    gradients, folder = gradients_of(data, kept), data.jobs.root / kept / "attempts" / "1" / "iterates"
    content = (folder / "1").read_bytes()
    (folder / "1").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (folder / "2").unlink()
    found = audited(data, kept, gradients, 1e-9)
    assert found.verdict == "failed"
    assert found.faults == [f"iteration {k}: its iterate is missing or damaged" for k in (1, 2)]


def test_an_iterate_that_the_line_does_not_name(data: DataDirectory, kept: str) -> None:
    gradients, folder = gradients_of(data, kept), data.jobs.root / kept / "attempts" / "1" / "iterates"
    (folder / "1").write_bytes((folder / "2").read_bytes())
    assert audited(data, kept, gradients, 1.0).faults == [
        "iteration 1: the iterate kept is not the one that the line names"
    ]


def test_lines_that_do_not_follow_each_other_and_a_seal_of_another_result(
    data: DataDirectory, kept: str
) -> None:
    gradients, path = gradients_of(data, kept), data.jobs.root / kept / "attempts" / "1" / "trace.ndjson"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    changed = json.loads(lines[1])
    changed["loss"] *= 1.5
    path.write_bytes(b"".join([lines[0], json.dumps(changed).encode() + b"\n", *lines[2:]]))
    (fault,) = audited(data, kept, gradients, 0.5).faults
    assert fault.startswith("line 2 ")
    path.write_bytes(whole)
    finished = json.loads((data.jobs.root / kept / "finished.json").read_bytes())
    finished["result"]["loss"] *= 1.5
    (data.jobs.root / kept / "finished.json").write_text(json.dumps(finished))
    assert audited(data, kept, gradients, 0.5).faults == [
        "the seal is not of these inputs, this chain and this result"
    ]


def test_on_another_processor_other_bits_prove_nothing(data: DataDirectory, kept: str) -> None:
    gradients = gradients_of(data, kept)
    lie(data, kept, {(0, 0)})
    finished, asked = data.jobs.finished(kept), Audit(job_id=kept, fraction=1.0, seed=0)
    assert finished is not None
    found = Findings([])
    list(examined(data.jobs, asked, finished, gradients, found))
    elsewhere = provenance(1).model_copy(update={"cpu": "another"})
    assert report(asked, finished, found, elsewhere).verdict == "undetermined"
    assert report(asked, finished, found, provenance(3)).verdict == "failed"


def test_shards_add_up_to_the_gradient(data: DataDirectory, kept: str) -> None:
    gradients, objective = gradients_of(data, kept), gradients_of(data, kept).objective
    x = data.jobs.kept(kept, 2).arrays[KEPT_X]  # type: ignore[union-attr]
    whole = objective.expand(x)
    parts = [gradients.at(x, [block])[0] for block in range(gradients.count)]
    assert np.array_equal(objective.design.gathered(parts) + objective.penalty.gradient(x), whole.gradient)
    single = np.asarray(data.arrays.open(str(data.jobs.accepted(kept).spec.A)).parts["data"])
    b = np.asarray(data.arrays.open(str(data.jobs.accepted(kept).spec.b)).parts["data"])
    u = np.exp(single @ x)
    exact = single.T @ (u * (u - b))
    assert np.linalg.norm(whole.gradient - exact) <= 1e-12 * np.linalg.norm(
        np.abs(single).T @ (u * np.abs(u - b))
    )


@pytest.mark.parametrize("fraction", [0.05, 0.5, 1.0])
def test_shards_are_drawn_with_the_fraction_asked_for(fraction: float) -> None:
    asked = Audit(job_id="", fraction=fraction, seed=7)
    drawn = [is_drawn(asked, k, block) for k in range(100) for block in range(40)]
    assert abs(np.mean(drawn) - fraction) <= 4.0 * (fraction * (1.0 - fraction) / len(drawn)) ** 0.5


def test_a_least_squares_solve_of_many_ways_is_audited(
    data: DataDirectory, submit: Submit, finish: Finish
) -> None:
    for extra in ({}, {"guarantee": {"epsilon": 0.5}}):
        problem: dict[str, Any] = {"kind": "least_squares", **extra}
        job_id = finish(submit(ROWS, COLUMNS, audit=True, spec={"problem": problem}))
        assert all(record.link and record.link.gradients for record in data.jobs.trace(job_id))
        assert audited(data, job_id, gradients_of(data, job_id), 1.0).verdict == "held"


def test_without_audit_nothing_is_kept(data: DataDirectory, submit: Submit, finish: Finish) -> None:
    job_id = finish(submit())
    assert not (data.jobs.root / job_id / "attempts" / "1" / "iterates").exists()
