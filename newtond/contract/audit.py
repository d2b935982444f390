"""An audit: row-block gradients of a finished solve, drawn by a seed and computed again."""

from typing import Annotated, Literal

from pydantic import Field

from newtond.contract.chain import Digest, sha256
from newtond.contract.model import Model

Verdict = Literal["held", "failed", "undetermined"]
SHOWN = 1000


class AuditRequest(Model):
    """What ``POST /jobs/{id}/audits`` takes: every row block of every iterate is drawn with this probability."""

    fraction: Annotated[float, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0, lt=2**63, description="choose it after the solve has finished")]


class Audit(AuditRequest):
    """An audit to be done: the request, and the job it is of."""

    job_id: str


class Shard(Model):
    """One row block of one iterate, and which rows of A it holds (of A by groups, where there are groups)."""

    iteration: int
    block: int
    first_row: int
    rows: int


class AuditReport(Model):
    """What an audit found: ``held`` of the ``drawn`` row-block gradients came out with the same bits.

    ``undetermined``: something else was computed, but on another processor or with other versions, where
    other bits prove nothing. ``faults`` are of the chain, its seal and the kept iterates, all of which are read.
    """

    job_id: str
    seal: Digest
    fraction: float
    seed: int
    iterates: int
    shards: Annotated[int, Field(description="row blocks times iterates")]
    drawn: int
    held: int
    failed: Annotated[list[Shard], Field(description=f"the first {SHOWN}")]
    faults: list[str]
    same_platform: bool
    verdict: Verdict


def is_drawn(request: AuditRequest, iteration: int, block: int) -> bool:
    """Say whether this shard is drawn: the first 53 bits of SHA-256("seed/iteration/block") are below fraction."""
    bits = int(sha256(f"{request.seed}/{iteration}/{block}".encode())[:16], 16) >> 11
    return bits < request.fraction * 2**53
