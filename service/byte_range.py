"""One range of bytes of a file (RFC 9110, 14): downloads go on where they stopped."""

import re
from typing import NamedTuple

from newtond.contract.errors import RangeNotSatisfiable

SINGLE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")


class ByteRange(NamedTuple):
    """Bytes ``start`` to ``stop`` (exclusive) of ``size``."""

    start: int
    stop: int
    size: int

    @property
    def content_range(self) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def requested_range(header: str | None, size: int) -> ByteRange | None:
    """Return the range that ``header`` asks for, None for the whole (also for several ranges).

    Raises RangeNotSatisfiable where it begins past the end.
    """
    match = SINGLE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last or size), size - 1) + 1
    if last and first and int(last) < int(first):
        return None
    if start >= stop:
        raise RangeNotSatisfiable(f"There are {size} bytes.", source={"size": size})
    return ByteRange(start, stop, size)
