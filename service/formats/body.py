"""A text file, block by block, and where a scanner is in it."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray
from service.formats import scanner
from service.formats.faults import refuse_overflow
from service.formats.inflate import Gzip
from service.formats.limits import FormatLimits
from service.formats.scanner import AT, DEFERRED, LINE
from service.formats.text import Bytes, blocks

_DEFERRED = 1024
_LONGEST_LINE = 4096


class Body:
    """The text of a file in blocks of whole lines; ``state`` is the scanner's, of ``size`` words."""

    def __init__(
        self, path: Path, encoding: str | None, limits: FormatLimits, size: int = scanner.STATE
    ) -> None:
        self._source = Gzip(path, limits) if encoding == "gzip" else path.open("rb")
        self._blocks = blocks(self._source)
        self.text: Bytes = next(self._blocks, np.empty(0, dtype=np.uint8))
        self.state = np.zeros(size, dtype=np.int64)
        self.state[LINE] = 1

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def line(self) -> tuple[int, bytes] | None:
        """Return the next line of a header and its number; None at the end. Raises InvalidArray."""
        if self.state[AT] == len(self.text) and not self.advance():
            return None
        start, number = int(self.state[AT]), int(self.state[LINE])
        length = self.text[start : start + _LONGEST_LINE].tobytes().find(b"\n")
        if length < 0:
            length = self.text[start:].tobytes().find(b"\n")
        self.state[AT], self.state[LINE] = start + length + 1, number + 1
        line = self.text[start : start + min(length, _LONGEST_LINE)].tobytes()
        if length > _LONGEST_LINE and not line.startswith(b"%"):
            raise InvalidArray(
                f"Line {number}: a line of the header has at most {_LONGEST_LINE} bytes.",
                source={"line": number},
            )
        return number, line.removesuffix(b"\r")

    def advance(self) -> bool:
        """Go on to the next block, if there is one."""
        self.text = next(self._blocks, self.text[:0])
        self.state[AT] = 0
        return len(self.text) > 0


def no_deferred() -> NDArray[np.int64]:
    """Return room for the numbers that a scanner leaves to Python."""
    return np.empty((_DEFERRED, scanner.DEFERRED_COLUMNS), dtype=np.int64)


def round_deferred(body: Body, deferred: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """Have Python round the numbers that the scanner left to it; raises InvalidArray for an overflow."""
    for entry, start, stop, line in deferred[: body.state[DEFERRED]].tolist():
        number = float(body.text[start:stop].tobytes())
        if math.isinf(number):
            refuse_overflow(body.text, start, line)
        values[entry] = number
    body.state[DEFERRED] = 0
