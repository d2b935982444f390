"""The page of what drills and load runs saw: each writes its own part, the prose around it is for people."""

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from drills.faults import FAULTS
from drills.round import RESUMED_IN, Findings

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"


@dataclass(frozen=True)
class Drill:
    """One run of the command: what was asked for and what each round found."""

    seed: int
    jobs: int
    workers: int
    seconds: float
    start_seconds: float
    left_out: dict[str, str]
    rounds: Sequence[Findings]


def section(drill: Drill) -> str:
    """Return the part that a drill writes."""
    return "\n".join([*_summary(drill), "", *_recoveries(drill)]) + "\n"


def _summary(drill: Drill) -> Iterator[str]:
    rounds, jobs = len(drill.rounds), sum(found.jobs for found in drill.rounds)
    attempts = sum(found.attempts for found in drill.rounds)
    faults = sum(len(found.recoveries) for found in drill.rounds)
    violations = [words for found in drill.rounds for words in found.violations]
    yield f"Seed {drill.seed}, {rounds} rounds of {drill.jobs} jobs, {drill.workers} workers: {drill.seconds:.0f} s."
    yield f"{machine()}."
    yield ""
    yield f"{jobs} jobs were accepted and made {attempts} attempts under {faults} faults; what was written of them"
    yield f"was read {sum(found.reads for found in drill.rounds):,} times meanwhile. Violations: {len(violations)}."
    yield from (f"\n- {words}" for words in violations)
    late = [words for found in drill.rounds for words in found.late]
    yield f"\nRecovered later than {RESUMED_IN:g} s: {len(late)} of {faults}. An undisturbed start took"
    yield f"{drill.start_seconds:.1f} s on this machine as busy as it was."
    yield from (f"\n- {words}" for words in late)
    if rounds and (missed := drill.rounds[-1].missed):
        yield f"\nNot thrown again at the end, for all was finished: {', '.join(missed)}."
    yield from (f"\nLeft out: {name} ({why})." for name, why in drill.left_out.items())


def machine() -> str:
    """Return processor, cores and how busy they were, for figures that depend on them."""
    load = os.getloadavg()[1]
    return f"{processor()}, {os.cpu_count()} cores, load average {load:.1f} at the end"


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _recoveries(drill: Drill) -> Iterator[str]:
    times: dict[str, list[float]] = {name: [] for name in FAULTS}
    for name, seconds in (pair for found in drill.rounds for pair in found.recoveries):
        times[name].append(seconds)
    yield f"| fault | times | recovered in: median | 90 % | longest (bound: {RESUMED_IN:g} s) |"
    yield "|---|---|---|---|---|"
    for name, seconds in (*times.items(), ("all", [*chain(*times.values())])):
        if seconds:
            median, ninth, longest = np.quantile(seconds, (0.5, 0.9, 1.0))
            yield f"| {name} | {len(seconds)} | {median:.1f} s | {ninth:.1f} s | {longest:.1f} s |"


def write_section(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the marks ``<!-- name: begin -->`` and ``<!-- name: end -->`` of the page."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    content = page.read_text()
    before, after = content.index(begin) + len(begin), content.index(end)
    page.write_text(content[:before] + text + content[after:])
