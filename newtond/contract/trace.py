"""One line of progress: what an iteration measured and what it cost."""

from typing import Annotated

from pydantic import Field

from newtond.contract.model import Model
from newtond.contract.solve import SketchKind


class SketchUse(Model):
    """The sketch that an iteration drew; its randomness is the key (seed, iteration)."""

    kind: SketchKind
    rows: int


class Iteration(Model):
    """What the engine says of one iteration, at the iterate it starts from.

    Numerical fields repeat bit for bit; ``phases`` (seconds a phase) do not.
    """

    iteration: Annotated[int, Field(ge=0)]
    loss: float
    gradient_norm: float
    newton_decrement: float | None = None
    step_size: float | None = None
    line_search_evaluations: int = 0
    sketch: SketchUse | None = None
    cg_iterations: int | None = None
    damping: float | None = None
    note: str | None = None
    phases: dict[str, float] = {}


class TraceRecord(Iteration):
    """One line of ``trace.ndjson``: an iteration and where and when it ran."""

    seconds: float
    attempt: int
    peak_memory: int


class TracePage(Model):
    """A page of a trace; ``after`` is the last iteration seen, to ask for what follows."""

    records: list[TraceRecord]
    after: int | None = None
    finished: bool
