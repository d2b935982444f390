"""One attempt at a job: a folder with one writer, holding its trace and its newest two checkpoints.

Under ``solver.audit`` it also holds every iterate, a file each, written once: x and the digests of the row
blocks' gradients there, in the form of a checkpoint.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import StorageFull
from newtond.contract.trace import TraceRecord
from newtond.store.checkpoint import Checkpoint, encode, read
from newtond.store.files import replace, room, sync_directory, write_once

TRACE, CHECKPOINT, PREVIOUS = "trace.ndjson", "checkpoint", "checkpoint.previous"
STARTED, ENDED = "started", "ended"
ITERATES = "iterates"
KEPT_X, KEPT_LEAVES = "x", "leaves"


class Attempt:
    """The writer's side of one attempt; only the process that created the folder opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = int(folder.name)
        with room():
            self._trace = os.open(
                folder / TRACE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
            )

    def append(self, record: TraceRecord) -> bytes:
        """Append one line in one write: a reader sees it whole, or torn at the end. Raises StorageFull."""
        line = record.model_dump_json(exclude_none=True).encode() + b"\n"
        with room():
            written = os.write(self._trace, line)
        if written < len(line):
            raise StorageFull("the data directory has no room for a line of the trace")
        return line

    def keep(self, iteration: int, x: NDArray[Any], leaves: NDArray[np.uint8]) -> None:
        """Keep x and the row blocks' digests there, (blocks, 32), for good; raises StorageFull."""
        folder = self.folder / ITERATES
        with room():
            folder.mkdir(exist_ok=True)
        arrays = {KEPT_X: x, KEPT_LEAVES: leaves}
        write_once(folder / str(iteration), b"".join(encode(Checkpoint(iteration, arrays, {}))))

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint and keep the one before; the trace up to it is made durable first."""
        os.fsync(self._trace)
        newest = self.folder / CHECKPOINT
        if newest.exists():
            newest.rename(self.folder / PREVIOUS)
        replace(newest, *encode(checkpoint))

    def close(self) -> None:
        """Make the trace durable and close it."""
        os.fsync(self._trace)
        os.close(self._trace)


def end_attempt(folder: Path) -> None:
    """Mark the attempt in ``folder`` as ended by will: by a link, for that takes no room on a full disk."""
    with room(), suppress(FileExistsError):
        os.link(folder / STARTED, folder / ENDED)
    sync_directory(folder)


def create_attempt(attempts: Path) -> int:
    """Create the next attempt's folder and return its number, from 1; two callers never get the same one."""
    with room():
        attempts.mkdir(exist_ok=True)
    number = max(numbers(attempts), default=0) + 1
    while not _create_folder(attempts / str(number)):
        number += 1
    sync_directory(attempts)
    return number


def _create_folder(folder: Path) -> bool:
    with room():
        try:
            folder.mkdir()
        except FileExistsError:
            return False
        try:
            (folder / STARTED).write_text(_now())
        except OSError:
            # An attempt that never began must not count as one that died.
            shutil.rmtree(folder)
            raise
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def started_at(attempts: Path) -> str | None:
    """Return when the first attempt was made, None before."""
    try:
        return (attempts / "1" / STARTED).read_text() or None
    except FileNotFoundError:
        return None


def numbers(attempts: Path) -> list[int]:
    """Return the numbers of the attempts made so far, in order."""
    try:
        return sorted(int(folder.name) for folder in attempts.iterdir() if folder.name.isdecimal())
    except FileNotFoundError:
        return []


def deaths(attempts: Path) -> int:
    """Return how many attempts ended without saying so."""
    return sum(not (attempts / str(k) / ENDED).exists() for k in numbers(attempts))


def newest_checkpoint(attempts: Path) -> Checkpoint | None:
    """Return the valid checkpoint of the highest iteration; a damaged one gives way to the one before it."""
    found = [checkpoint for k in numbers(attempts) if (checkpoint := _checkpoint(attempts / str(k)))]
    return max(
        found, key=lambda checkpoint: (checkpoint.iteration, checkpoint.termination is not None), default=None
    )


def _checkpoint(folder: Path) -> Checkpoint | None:
    return read(folder / CHECKPOINT) or read(folder / PREVIOUS)


def kept(attempts: Path, iteration: int) -> Checkpoint | None:
    """Return the iterate that the latest attempt kept of this iteration; None if it is missing or damaged."""
    files = (attempts / str(k) / ITERATES / str(iteration) for k in reversed(numbers(attempts)))
    return next((read(file) for file in files if file.exists()), None)


def merged_trace(attempts: Path, after: int | None) -> list[TraceRecord]:
    """Return the trace past iteration ``after``, one record an iteration, the latest attempt's."""
    return [TraceRecord.model_validate_json(line) for line in merged_lines(attempts, after)]


def merged_lines(attempts: Path, after: int | None) -> list[bytes]:
    """Return the lines of ``merged_trace`` as they were written."""
    lines: dict[int, bytes] = {}
    for k in numbers(attempts):
        lines.update(_lines(attempts / str(k) / TRACE, -1 if after is None else after))
    return [lines[iteration] for iteration in sorted(lines)]


def _lines(path: Path, after: int) -> Iterator[tuple[int, bytes]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        iteration = int(line[len(b'{"iteration":') : line.index(b",")])
        if iteration > after:
            yield iteration, line
