"""The job: one resource, one status word."""

from typing import Any, Literal

from newtond.contract.array import ArrayId
from newtond.contract.audit import Audit, AuditReport
from newtond.contract.chain import Seal
from newtond.contract.ids import BatchId, JobId
from newtond.contract.model import Model
from newtond.contract.prediction import Prediction, PredictionReport
from newtond.contract.problem import ProblemSpec
from newtond.contract.result import Plan, Result, ResultArray, Termination
from newtond.contract.solve import SolveSpec

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Task = Literal["solve", "plan", "audit", "predict"]
FINISHED: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled"})


class ProblemDetail(Model):
    """An error as data (RFC 9457): ``type`` is stable, ``source`` says where in the input."""

    type: str
    title: str
    status: int
    detail: str
    source: dict[str, Any] | None = None
    request_id: str | None = None


class Accepted(Model):
    """What ``accepted.json`` keeps of a request: enough to run it again from nothing but the data directory.

    A job ``after`` another does not start before that has ended, and goes on from where it did; ``then`` is the job
    after this one.
    """

    format: Literal[1] = 1
    job_id: JobId
    tenant: str = "default"
    task: Task
    spec: SolveSpec
    audit: Audit | None = None
    prediction: Prediction | None = None
    batch: BatchId | None = None
    after: JobId | None = None
    then: JobId | None = None
    shapes: dict[str, tuple[int, ...]]
    idempotency_key: str | None = None
    fingerprint: str
    request_id: str | None = None
    created_at: str

    def arrays(self) -> dict[str, ArrayId]:
        """Return what the job reads: every array of the spec by its name, or what a prediction is made from."""
        if self.prediction is not None:
            return self.prediction.arrays()
        return {name: array for name, array in self.spec.arrays().items() if isinstance(array, str)}


class Job(Model):
    """The resource of ``GET /jobs/{id}``."""

    id: JobId
    task: Task
    status: Status
    termination: Termination | None = None
    converged: bool | None = None
    kind: str
    problem: ProblemSpec | None = None
    tags: list[str] = []
    batch: BatchId | None = None
    attempt: int = 0
    resumed_from_iteration: int | None = None
    iteration: int | None = None
    loss: float | None = None
    gradient_norm: float | None = None
    queue_position: int | None = None
    cancel_requested: bool = False
    created_at: str
    started_at: str | None = None
    heartbeat_at: str | None = None
    finished_at: str | None = None
    phases: dict[str, float] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    inputs: dict[str, ArrayId] = {}
    warnings: list[str] = []
    error: ProblemDetail | None = None
    plan: Plan | None = None
    seal: Seal | None = None
    audit: AuditReport | None = None
    prediction: PredictionReport | None = None
    links: dict[str, str] = {}


class Finished(Model):
    """What ``finished.json`` says: written once, whoever races."""

    format: Literal[1] = 1
    job_id: JobId
    status: Literal["succeeded", "failed", "cancelled"]
    termination: Termination | None = None
    converged: bool | None = None
    result: Result | None = None
    plan: Plan | None = None
    seal: Seal | None = None
    audit: AuditReport | None = None
    prediction: PredictionReport | None = None
    error: ProblemDetail | None = None
    attempt: int
    resumed_from_iteration: int | None = None
    iteration: int | None = None
    started_at: str | None = None
    finished_at: str
    phases: dict[str, float] = {}
    warnings: list[str] = []

    def arrays(self) -> dict[str, ResultArray]:
        """Return the arrays that the job made, by name."""
        made = self.result or self.prediction
        return {} if made is None else made.arrays


class JobList(Model):
    """A page of jobs, newest first; ``after`` is the cursor of the next page."""

    jobs: list[Job]
    after: str | None = None
