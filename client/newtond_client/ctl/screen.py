"""What ``newtonctl`` shows: tables, a sparkline, a job as it goes."""

import json
import math
import shutil
import sys
import unicodedata
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from newtond_client.models import BatchSummary, Job, Plan, TraceRecord
from newtond_client.progress import Forecast, duration, measured, waiting

BARS = "▁▂▃▄▅▆▇█"
HEAD = ("iteration", "loss", "|gradient|", "decrement", "step", "CG", "seconds")
WIDTHS = (9, 16, 12, 12, 12, 5, 8)
KEPT = 12
CLEAR_BELOW, HOME = "\x1b[J", "\x1b[{}F"


def say_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows under a head, columns aligned."""
    lines = [list(map(str, head)), *([str(cell) for cell in row] for row in rows)]
    widths = [max(_width(line[k]) for line in lines) for k in range(len(head))]
    return "\n".join(
        "  ".join(_padded(cell, w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _width(text: str) -> int:
    """Return the columns that a text takes: a combining mark takes none."""
    return sum(not unicodedata.combining(letter) for letter in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def job_row(job: Job) -> tuple[Any, ...]:
    """Return a job as a row of the list."""
    state = job["status"] + (f" ({job['termination']})" if job.get("termination") else "")
    return (
        job["id"],
        job["kind"],
        state,
        _count(job.get("iteration")),
        measured(job.get("loss")),
        " ".join(job.get("tags", [])),
    )


def batch_row(batch: BatchSummary) -> tuple[Any, ...]:
    """Return a batch as a row of the list."""
    members = ", ".join(f"{count} {status}" for status, count in sorted(batch["counts"].items()))
    return batch["id"], batch["kind"], batch["varies"], members, " ".join(batch["tags"])


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Return the logarithms of values as bars, the last ``width`` of them; a blank where there is none."""
    logs = [math.log10(value) if value is not None and value > 0 else None for value in values][-width:]
    known = [value for value in logs if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(" " if value is None else BARS[round((value - low) / step)] for value in logs)


def cells(record: TraceRecord) -> tuple[str, ...]:
    """Return an iteration as a row of the trace."""
    loss = record.get("loss")
    names = ("gradient_norm", "newton_decrement", "step_size")
    figures = (measured(record.get(name)) for name in names)
    return (
        str(record["iteration"]),
        "-" if loss is None else f"{loss:.9e}",
        *figures,
        _count(record.get("cg_iterations")),
        f"{record['seconds']:.2f}",
    )


def _line(row: Sequence[str]) -> str:
    return " ".join(f"{cell:>{width}}" for cell, width in zip(row, WIDTHS, strict=True))


class Live:
    """A job as it goes: the last iterations and the gradient as a sparkline, drawn anew in place on a terminal."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.forecast = Forecast(1e-10)
        self.records: deque[TraceRecord] = deque(maxlen=KEPT)
        self.gradients: list[float | None] = []
        self.height = 0
        self.in_place = sys.stdout.isatty()
        if not self.in_place:
            print(_line(HEAD), flush=True)

    def add(self, record: TraceRecord) -> None:
        """Show one more iteration."""
        self.forecast.add(record)
        self.records.append(record)
        self.gradients.append(record.get("gradient_norm"))
        if self.in_place:
            self._draw()
        else:
            print(_line(cells(record)), flush=True)

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns
        lines = [waiting(self.job), *table(HEAD, map(cells, self.records)).splitlines(), self._foot(width)]
        up = HOME.format(self.height) if self.height else ""
        print(up + CLEAR_BELOW + "\n".join(line[: width - 1] for line in lines), flush=True)
        self.height = len(lines)

    def _foot(self, width: int) -> str:
        left, fraction = self.forecast.seconds_left(), self.forecast.fraction()
        share = "" if fraction is None else f"  {fraction:.0%}"
        eta = f"  ETA {duration(left)}" if left else ""
        return f"|gradient| {sparkline(self.gradients, max(width - 40, 10))}{share}{eta}"

    def end(self, job: Job) -> None:
        """Show how it ended; where nothing was drawn in place, with the whole sparkline."""
        if self.gradients and not self.in_place:
            print(f"|gradient| {sparkline(self.gradients, 60)}")
        state = job["status"] + (f", {job['termination']}" if job.get("termination") else "")
        print(f"{job['id']}: {state}", flush=True)


def plan_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return what a plan says, a row a field that says something."""
    said = {name: value for name, value in plan.items() if value not in (None, [], {})}
    return [(name.replace("_", " "), _words(value)) for name, value in said.items()]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def catalogue_rows(problems: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return the kinds as rows: what each is called and what it takes."""
    return [(problem["kind"], problem["title"], " ".join(_asked(problem["inputs"]))) for problem in problems]


def _asked(inputs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name if role.get("required", True) else f"[{name}]" for name, role in inputs.items()]
