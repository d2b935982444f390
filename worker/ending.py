"""How a job ends, as ``finished.json`` says it."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from newtond.contract.audit import AuditReport
from newtond.contract.chain import seal, sha256
from newtond.contract.errors import NewtondError
from newtond.contract.http import problem_detail
from newtond.contract.job import Accepted, Finished
from newtond.contract.prediction import PredictionReport
from newtond.contract.result import Plan, Result
from newtond.store.jobs import JobStore
from worker.checkpoint import Progress

if TYPE_CHECKING:
    from worker.job import Assignment


def now() -> str:
    """Return the time as the API says it: RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def failed(jobs: JobStore, accepted: Accepted, error: NewtondError) -> Finished:
    """Return the end of a job that has no answer."""
    return _finished(jobs, accepted, status="failed", error=problem_detail(error, accepted.request_id))


def cancelled(jobs: JobStore, accepted: Accepted) -> Finished:
    """Return the end of a job that was cancelled before it had an iterate."""
    return _finished(jobs, accepted, status="cancelled", termination="cancelled", converged=False)


def planned(jobs: JobStore, accepted: Accepted, plan: Plan) -> Finished:
    """Return the end of a dry run."""
    return _finished(jobs, accepted, status="succeeded", plan=plan, warnings=plan.warnings)


def audited(jobs: JobStore, accepted: Accepted, report: AuditReport) -> Finished:
    """Return the end of an audit, whatever it found."""
    return _finished(jobs, accepted, status="succeeded", audit=report)


def predicted(jobs: JobStore, accepted: Accepted, report: PredictionReport) -> Finished:
    """Return the end of a prediction."""
    return _finished(jobs, accepted, status="succeeded", prediction=report)


def solved(
    assignment: "Assignment", result: Result, progress: Progress, resumed_from: int | None
) -> Finished:
    """Return the end of a solve, converged or not, cancelled or not, its chain sealed."""
    inputs = sha256(assignment.data.jobs.inputs(assignment.job_id))
    return _finished(
        assignment.data.jobs,
        assignment.accepted,
        status="cancelled" if result.termination == "cancelled" else "succeeded",
        termination=result.termination,
        converged=result.converged,
        result=result,
        seal=seal(inputs, progress.chain or inputs, json.loads(result.model_dump_json())),
        resumed_from_iteration=resumed_from,
        iteration=result.iterations,
        phases=progress.phases,
        warnings=result.warnings,
    )


def _finished(jobs: JobStore, accepted: Accepted, **fields: Any) -> Finished:
    return Finished(
        job_id=accepted.job_id,
        attempt=jobs.attempts(accepted.job_id),
        started_at=jobs.started_at(accepted.job_id),
        finished_at=now(),
        **fields,
    )
