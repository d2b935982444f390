"""What campaigns found, as a page: the figures are the run's own."""

from collections.abc import Iterator

from fuzzing import child, scanner
from service.formats import row_scanner
from service.formats import scanner as kernel

_FAULTS = {
    kernel.BAD_INDEX: "no index",
    kernel.ZERO_INDEX: "index 0",
    kernel.ROW_OUTSIDE: "row outside",
    kernel.COLUMN_OUTSIDE: "column outside",
    kernel.BAD_NUMBER: "no number",
    kernel.HUGE_INTEGER: "past 2^53",
    kernel.MISSING: "value missing",
    kernel.SURPLUS: "value too many",
    kernel.ENTRY_TOO_MANY: "entry too many",
    row_scanner.TWICE: "index twice",
    row_scanner.UNORDERED: "index falls",
    row_scanner.NO_QUERY: "no qid",
    row_scanner.LATE_QUERY: "qid late",
    row_scanner.BAD_QUERY: "bad qid",
}
_OUTCOMES = ("read", "invalid-array", "unsupported-format", "too-large")
_SCANNER = """# Fuzzing

Written by `make fuzz`, seed {seed}: any input can be made again from the seed and its number. A short version runs in
the tests. Numba's bounds checks are on throughout.

## The scanners

{inputs:,} mutated texts through the compiled scanners in one process, each scanned twice: {seconds:.0f} s, {rate:,.0f}
texts a second. Of each is checked that nothing is read or written out of bounds, that the scan ends, that every index
is inside and every double finite, and that the result is the same whether the scan runs through or stops at every
number that it leaves to Python. {compared:,} were also read by a reference of integers and fractions: the same
entries, bit for bit, or a refusal at the same line. Findings: none (the first one ends the run).

| scanner | texts | without a fault | refused, by fault |
|---|---|---|---|
"""
_CHILD = """
## The parsing child

{inputs:,} mutated files of every format through the child's own code under its own limits, {a_child} a child,
{children:,} children: {seconds:.0f} s, {each:.2f} ms a file. Each becomes arrays that the store's checks call
canonical, or is refused in words that are short and printable; a child that dies is a finding. Findings: {findings}.

| format | read | invalid | unsupported | too large |
|---|---|---|---|---|
"""


def of_scanner(report: scanner.Report) -> str:
    """Return the start of the page, of the compiled scanners."""
    return "".join(_scanner_lines(report))


def of_child(report: child.Report) -> str:
    """Return the rest of the page, of the parsing child."""
    return "".join(_child_lines(report))


def _scanner_lines(report: scanner.Report) -> Iterator[str]:
    rate = report.inputs / report.seconds
    yield _SCANNER.format(**vars(report), rate=rate)
    for target in scanner.TARGETS:
        counts = {fault: count for (name, fault), count in report.outcomes.items() if name == target}
        fine = counts.pop(kernel.NO_FAULT, 0)
        faults = sorted(counts.items(), key=lambda item: -item[1])
        words = ", ".join(f"{_FAULTS[fault]} {count:,}" for fault, count in faults)
        yield f"| {target} | {fine + sum(counts.values()):,} | {fine:,} | {words} |\n"


def _child_lines(report: child.Report) -> Iterator[str]:
    each = 1e3 * report.seconds / max(report.inputs, 1)
    findings = "none" if not report.findings else len(report.findings)
    yield _CHILD.format(**{**vars(report), "findings": findings}, each=each, a_child=child.A_CHILD)
    for format in sorted({format for format, _ in report.outcomes}):
        counts = " | ".join(f"{report.outcomes[format, outcome]:,}" for outcome in _OUTCOMES)
        yield f"| {format} | {counts} |\n"
    if report.findings:
        yield "\n" + "".join(f"- {finding}\n" for finding in report.findings)
