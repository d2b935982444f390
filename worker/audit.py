"""An audit: the chain of a finished solve read again, and a share of its row-block gradients computed again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from newtond import engine
from newtond.contract.audit import SHOWN, Audit, AuditReport, Shard, Verdict, is_drawn
from newtond.contract.chain import Link, breaks, sealed_lines, sha256
from newtond.contract.errors import InvalidSpec
from newtond.contract.job import Finished
from newtond.contract.result import Provenance
from newtond.contract.trace import TraceRecord
from newtond.engine import RowGradients
from newtond.store.attempts import KEPT_LEAVES, KEPT_X
from newtond.store.checkpoint import Checkpoint
from newtond.store.jobs import JobStore
from worker.chain import LEAF, array_id, leaves
from worker.inputs import load
from worker.result import provenance

if TYPE_CHECKING:
    from worker.job import Assignment


@dataclass
class Findings:
    """What has been found so far."""

    faults: list[str]
    iterates: int = 0
    shards: int = 0
    drawn: int = 0
    failed: list[Shard] = field(default_factory=list)


def audit(assignment: "Assignment") -> AuditReport | None:
    """Return the report of the audit that was asked for, None once a stop is; raises NotFound, InvalidSpec."""
    ours, jobs = assignment.accepted, assignment.data.jobs
    assert ours.audit is not None
    finished = jobs.finished(ours.audit.job_id)
    if finished is None or finished.result is None or finished.seal is None:
        raise InvalidSpec("the job has no sealed result", source={"pointer": "/job_id"})
    gradients = engine.row_gradients(ours.spec, load(ours.spec, assignment.data.arrays), assignment.threads)
    found = Findings(breaks_of(jobs, ours.audit.job_id, finished))
    for _ in examined(jobs, ours.audit, finished, gradients, found):
        if jobs.cancel_requested(ours.job_id):
            return None
    return report(ours.audit, finished, found, provenance(assignment.threads))


def examined(
    jobs: JobStore, asked: Audit, finished: Finished, gradients: RowGradients, found: Findings
) -> Iterator[int]:
    """Yield the iterations as they are looked at, and put into ``found`` what is found."""
    assert finished.seal is not None
    for line in sealed_lines(jobs.lines(asked.job_id), finished.seal):
        record = TraceRecord.model_validate_json(line)
        _look_at(record, jobs, asked, gradients, found)
        yield record.iteration


def breaks_of(jobs: JobStore, job_id: str, finished: Finished) -> list[str]:
    """Return where the chain, its seal and what they are of do not agree."""
    assert finished.seal is not None
    lines = sealed_lines(jobs.lines(job_id), finished.seal)
    return breaks(lines, jobs.inputs(job_id), jobs.result(job_id), finished.seal)


def _look_at(
    record: TraceRecord, jobs: JobStore, asked: Audit, gradients: RowGradients, found: Findings
) -> None:
    kept = jobs.kept(asked.job_id, record.iteration)
    if (fault := _fault(record.link, kept, gradients.count)) is not None:
        found.faults.append(f"iteration {record.iteration}: {fault}")
        return
    assert kept is not None
    found.iterates += 1
    found.shards += gradients.count
    drawn = [k for k in range(gradients.count) if is_drawn(asked, record.iteration, k)]
    found.drawn += len(drawn)
    for block in _differing(kept, gradients, drawn):
        found.failed.append(_shard(record.iteration, block, gradients))


def _fault(link: Link | None, kept: Checkpoint | None, count: int) -> str | None:
    """Return what is wrong with a kept iterate before anything is computed."""
    if kept is None:
        return "its iterate is missing or damaged"
    if link is None or array_id(kept.arrays[KEPT_X]) != link.point:
        return "the iterate kept is not the one that the line names"
    if sha256(kept.arrays[KEPT_LEAVES].tobytes()) != link.gradients:
        return "the row blocks' digests kept are not the ones that the line names"
    if kept.arrays[KEPT_LEAVES].shape != (count, LEAF):
        return f"it has {len(kept.arrays[KEPT_LEAVES])} row blocks, and A has {count}"
    return None


def _differing(kept: Checkpoint, gradients: RowGradients, drawn: list[int]) -> list[int]:
    if not drawn:
        return []
    with np.errstate(all="ignore"):  # at a far iterate exp may overflow, as it did then
        again = leaves(gradients.at(kept.arrays[KEPT_X], drawn))
    said = kept.arrays[KEPT_LEAVES]
    return [block for block, leaf in zip(drawn, again, strict=True) if (said[block] != leaf).any()]


def _shard(iteration: int, block: int, gradients: RowGradients) -> Shard:
    first, rows = gradients.rows(block)
    return Shard(iteration=iteration, block=block, first_row=first, rows=rows)


def report(asked: Audit, finished: Finished, found: Findings, here: Provenance) -> AuditReport:
    """Return what was found, and what it means on this processor and with these versions."""
    assert finished.seal is not None
    assert finished.result is not None
    apart = {"threads", "blas_threads"}
    same = here.model_dump(exclude=apart) == finished.result.provenance.model_dump(exclude=apart)
    return AuditReport(
        **asked.model_dump(),
        seal=finished.seal.digest,
        iterates=found.iterates,
        shards=found.shards,
        drawn=found.drawn,
        held=found.drawn - len(found.failed),
        failed=found.failed[:SHOWN],
        faults=found.faults,
        same_platform=same,
        verdict=_verdict(found, same),
    )


def _verdict(found: Findings, same_platform: bool) -> Verdict:
    if found.faults or (found.failed and same_platform):
        return "failed"
    return "undetermined" if found.failed else "held"
