"""One line of progress: what an iteration measured and what it cost."""

from math import isfinite
from typing import Annotated

from pydantic import BeforeValidator, Field

from newtond.contract.chain import Link
from newtond.contract.model import Model
from newtond.contract.solve import SketchKind


def _finite(value: float | None) -> float | None:
    return value if value is None or isfinite(value) else None


Measured = Annotated[float | None, BeforeValidator(_finite)]
"""A number that was measured; null where it is not finite, which JSON cannot say."""


class SketchUse(Model):
    """The sketch that an iteration drew; its randomness is the key (seed, iteration)."""

    kind: SketchKind
    rows: int
    seed: int | None = None
    iteration: int | None = None


class Iteration(Model):
    """What the engine says of one iteration, at the iterate it starts from.

    Numerical fields repeat bit for bit; ``phases`` (seconds a phase) do not.
    """

    iteration: Annotated[int, Field(ge=0)]
    loss: Measured = None
    gradient_norm: Measured = None
    newton_decrement: Measured = None
    step_size: Measured = None
    line_search_evaluations: int = 0
    sketch: SketchUse | None = None
    cg_iterations: int | None = None
    damping: Measured = None
    note: str | None = None
    phases: dict[str, float] = {}


class TraceRecord(Iteration):
    """One line of ``trace.ndjson``: an iteration, its link to the line before, and where and when it ran."""

    link: Link | None = None

    seconds: float
    attempt: int
    peak_memory: int


class TracePage(Model):
    """A page of a trace; ``after`` is the last iteration seen, to ask for what follows."""

    records: list[TraceRecord]
    after: int | None = None
    finished: bool
