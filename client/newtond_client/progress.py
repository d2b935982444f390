"""Progress of a solve on a terminal: a bar by tqdm where it is installed, else one line that is written anew."""

import math
import sys
from typing import IO, Any, Protocol

from newtond_client.models import DEFAULTS, Job, TraceRecord
from newtond_client.optional import installed, needed

LOOKS_BACK = 5


class Progress(Protocol):
    """Where progress is shown."""

    def status(self, job: Job) -> None: ...
    def iteration(self, record: TraceRecord) -> None: ...
    def close(self) -> None: ...


def shown(progress: bool | None, tolerance: float | None) -> Progress | None:
    """Return where to show progress: nowhere if False or, unless True, where nobody watches."""
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return None
    forecast = Forecast(tolerance or DEFAULTS["tolerance"])
    return Bar(forecast) if installed("tqdm") else Line(forecast, sys.stderr)


class Forecast:
    """How far a solve has come and how long it may take: λ/√(2F) falls to the tolerance, on a log scale."""

    def __init__(self, tolerance: float) -> None:
        self.goal = math.log(tolerance)
        self.points: list[tuple[float, float]] = []

    def add(self, record: TraceRecord) -> None:
        """Take an iteration into account; one without a decrement says nothing of the end."""
        decrement, loss = record.get("newton_decrement"), record.get("loss")
        if decrement and loss and decrement > 0 and loss > 0:
            self.points.append((record["seconds"], math.log(decrement / math.sqrt(2 * loss))))

    def fraction(self) -> float | None:
        """Return the share of the way that lies behind, of the highest point to the goal."""
        if not self.points:
            return None
        first = max(level for _, level in self.points)
        last = self.points[-1][1]
        return 1.0 if first <= self.goal else min(max((first - last) / (first - self.goal), 0.0), 1.0)

    def seconds_left(self) -> float | None:
        """Return the time at the pace of the last iterations; None while they do not come nearer."""
        recent = self.points[-LOOKS_BACK:]
        if len(recent) < 2:
            return None
        (began, first), (now, last) = recent[0], recent[-1]
        if last >= first or now <= began:
            return None
        return max(last - self.goal, 0.0) * (now - began) / (first - last)


def figures(record: TraceRecord, forecast: Forecast) -> str:
    """Return an iteration in words."""
    left = forecast.seconds_left()
    eta = f"  ETA {duration(left)}" if left else ""
    loss, gradient = measured(record.get("loss")), measured(record.get("gradient_norm"))
    return f"iteration {record['iteration']}  loss {loss}  |gradient| {gradient}{eta}"


def measured(value: object) -> str:
    """Return a figure, or a dash where an iteration did not measure it."""
    return f"{value:.6g}" if isinstance(value, int | float) else "-"


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def waiting(job: Job) -> str:
    """Return a job's status in words."""
    place = job.get("queue_position")
    return f"{job['id']} {job['status']}" + ("" if place is None else f", place {place + 1} in the queue")


class Line:
    """One line, written anew."""

    def __init__(self, forecast: Forecast, sink: IO[str]) -> None:
        self.forecast, self.sink, self.width = forecast, sink, 0

    def status(self, job: Job) -> None:
        self._write(waiting(job))

    def iteration(self, record: TraceRecord) -> None:
        self.forecast.add(record)
        fraction = self.forecast.fraction()
        share = "" if fraction is None else f"{fraction:4.0%}  "
        self._write(share + figures(record, self.forecast))

    def _write(self, text: str) -> None:
        self.sink.write("\r" + text.ljust(self.width))
        self.sink.flush()
        self.width = len(text)

    def close(self) -> None:
        if self.width:
            self.sink.write("\n")
            self.sink.flush()


class Bar:
    """A bar by tqdm, on which the tolerance is the end."""

    def __init__(self, forecast: Forecast) -> None:
        self.forecast = forecast
        layout = "{percentage:3.0f}%|{bar:20}| {desc}"
        self.bar: Any = needed("tqdm", "to show a bar").tqdm(total=1.0, bar_format=layout, file=sys.stderr)

    def status(self, job: Job) -> None:
        self.bar.set_description_str(waiting(job))

    def iteration(self, record: TraceRecord) -> None:
        self.forecast.add(record)
        self.bar.n = self.forecast.fraction() or 0.0
        self.bar.set_description_str(figures(record, self.forecast))

    def close(self) -> None:
        self.bar.close()
