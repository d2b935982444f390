"""The parsing child on mutated files of every format: the production code under its own limits.

A child of the service reads one file and ends. Here one child, as confined, answers many requests in turn by the
same function, which is what makes 10^5 of them affordable; a child that dies is a finding, told by the number of
the input, and the next child goes on after it. That an answer is one of arrays that are canonical is the store's
own check; that a refusal is short, printable and of a known class is checked here.
"""

import json
import os
import signal
import socket
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from fuzzing import corpus
from newtond.contract.errors import InvalidArray, NewtondError, TooLarge, UnsupportedFormat
from service.formats import answer, child, readers
from service.formats.limits import FormatLimits

A_CHILD = 500
LIMITS = replace(FormatLimits(), memory_bytes=1_000_000_000, cpu_seconds=120, entries=1_000_000)
Files = list[tuple[str, bytes]]
EXPECTED = (InvalidArray, UnsupportedFormat, TooLarge)
LONGEST = 400


@dataclass
class Report:
    """What came of a run: how often each format was read or refused, and the inputs that killed a child."""

    seed: int
    inputs: int
    seconds: float
    children: int
    outcomes: Counter[tuple[str, str]]
    findings: list[str]


def campaign(inputs: int, seed: int, directory: Path) -> Report:
    """Answer so many inputs; their files and arrays go under ``directory``."""
    readers.warm(directory)
    report, start = Report(seed, inputs, 0.0, 0, Counter(), []), time.perf_counter()
    number = 0
    while number < inputs:
        number = _run_child(number, min(number + A_CHILD, inputs), report, directory)
    report.seconds = time.perf_counter() - start
    return report


def _run_child(first: int, stop: int, report: Report, directory: Path) -> int:
    """Have one child answer inputs from ``first``; return the number of the next one that is unanswered."""
    files = corpus.seeds()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _answer_all(range(first, stop), files, report.seed, directory, theirs)
    theirs.close()
    with ours, ours.makefile("rb") as lines:
        answered = first
        for line in lines:
            _count(answered, files, line, report)
            answered += 1
    _, status = os.waitpid(pid, 0)
    report.children += 1
    if answered == stop:
        return stop
    how = os.waitstatus_to_exitcode(status)
    report.findings.append(
        f"input {answered}: {_words(how)}: {corpus.mutated(files, report.seed, answered)!r}"
    )
    return answered + 1


def _answer_all(numbers: range, files: Files, seed: int, directory: Path, reply: socket.socket) -> NoReturn:
    upload = directory / "upload"
    child.confine(LIMITS, os.getppid())
    for number in numbers:
        format, content = corpus.mutated(files, seed, number)
        upload.write_bytes(content)
        reply.sendall(child.answer_to(_request(format, upload, directory), LIMITS))
    os._exit(0)


def _request(format: str, upload: Path, directory: Path) -> dict[str, Any]:
    return {
        "upload": str(upload),
        "format": format,
        "encoding": None,
        "options": {},
        "store": str(directory / "arrays"),
        "room": None,
        "limits": asdict(LIMITS),
    }


def _count(number: int, files: Files, line: bytes, report: Report) -> None:
    try:
        answer.read(line)
        outcome = "read"
    except EXPECTED as refusal:
        outcome = refusal.slug
        if len(refusal.detail) > LONGEST or not refusal.detail.isprintable():
            report.findings.append(f"input {number}: {refusal.detail!r}")
    except NewtondError as error:
        outcome = error.slug
        report.findings.append(f"input {number}: {json.loads(line)}")
    report.outcomes[corpus.mutated(files, report.seed, number)[0], outcome] += 1


def _words(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit {status}"
