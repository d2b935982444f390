"""A batch: one spec, solved for many targets or along a path of ridges, as ordinary jobs with one summary."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from newtond.contract.array import ArrayId, ArrayInput
from newtond.contract.ids import BatchId, JobId
from newtond.contract.job import Accepted, Status
from newtond.contract.model import Model
from newtond.contract.result import Curvature, Termination

Varies = Literal["targets", "columns", "ridges"]
VARIES: tuple[Varies, ...] = ("targets", "columns", "ridges")
MemberStatus = Status | Literal["deleted"]


class BatchRequest(Model):
    """What ``POST /batches`` takes: the body of a solve, and one of what its members have each of its own.

    Along ``ridges`` each member starts where the one before it ended, where its kind can; largest first is best.
    """

    solve: Annotated[
        dict[str, Any],
        Field(description="a body of `POST /solve` without `b`, or without `regulariser.ridge` for `ridges`"),
    ]
    targets: Annotated[list[ArrayId], Field(min_length=1, description="b of each member")] | None = None
    columns: Annotated[ArrayInput, Field(description="dense; each column is b of a member")] | None = None
    ridges: (
        Annotated[
            list[Annotated[float, Field(ge=0, allow_inf_nan=False)]],
            Field(min_length=1, description="the ridge of each member, in the order to be solved in"),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _varies_one_thing(self) -> Self:
        if len([name for name in VARIES if getattr(self, name) is not None]) != 1:
            raise ValueError("a batch varies one of targets, columns and ridges")
        return self

    @property
    def varies(self) -> Varies:
        """Which of the three is given."""
        return next(name for name in VARIES if getattr(self, name) is not None)


class AcceptedBatch(Model):
    """What is kept of a batch: its jobs as they are accepted, all of them durable before any of them is placed."""

    format: Literal[1] = 1
    id: BatchId
    varies: Varies
    ridges: list[float] | None = None
    jobs: list[Accepted]
    idempotency_key: str | None = None
    fingerprint: str
    created_at: str


class Member(Model):
    """One job of a batch: what it has of its own, and what came of it."""

    job_id: JobId
    b: ArrayId | None = None
    ridge: float | None = None
    status: MemberStatus
    termination: Termination | None = None
    converged: bool | None = None
    iterations: int | None = None
    loss: float | None = None
    gradient_norm: float | None = None
    curvature: Annotated[Curvature | None, Field(description="its certificate's verdict")] = None
    seconds: float | None = None
    error: Annotated[str | None, Field(description="its `type`, where it failed")] = None
    links: dict[str, str]


class BatchSummary(Model):
    """A batch as ``GET /batches`` lists it."""

    id: BatchId
    kind: str
    varies: Varies
    finished: bool
    counts: Annotated[dict[MemberStatus, int], Field(description="members by status; sums to `total`")]
    total: int
    tags: list[str]
    created_at: str
    links: dict[str, str]


class Batch(BatchSummary):
    """The resource of ``GET /batches/{id}``; members in the order asked for."""

    members: list[Member]


class BatchList(Model):
    """A page of batches, newest first; ``after`` is the cursor of the next page."""

    batches: list[BatchSummary]
    after: str | None = None
