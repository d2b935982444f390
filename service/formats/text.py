"""A byte stream cut into blocks at the ends of its lines, and what of it an error may show."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray

Bytes = NDArray[np.uint8]
NEWLINE = 10
BLOCK = 1 << 22
SHOWN = 24


class Source(Protocol):
    """Where bytes come from: a file, or a gzip stream that is inflated on the way."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer with what comes next; return how much, 0 at the end."""
        ...


def shown(token: bytes) -> str:
    """Return the start of a token as an error may show it: short, printable, in quotes it cannot close."""
    text = "".join(chr(byte) if 32 <= byte < 127 and byte != 96 else "?" for byte in token[:SHOWN])
    return f"`{text}…`" if len(token) > SHOWN else f"`{text}`"


def blocks(source: Source) -> Iterator[Bytes]:
    """Yield the stream in blocks of whole lines, each ending in a newline (the last is given one if need be).

    A block is overwritten by the next one. Raises InvalidArray for a line of ``BLOCK`` bytes or more.
    """
    buffer = bytearray(2 * BLOCK + 1)
    view, text, held = memoryview(buffer), np.frombuffer(buffer, dtype=np.uint8), 0
    while read := source.readinto(view[held : held + BLOCK]) or 0:
        cut = buffer.rfind(b"\n", held, held + read) + 1
        held += read
        if cut:
            yield text[:cut]
            view[: held - cut] = bytes(view[cut:held])
            held -= cut
        if held >= BLOCK:
            raise InvalidArray(f"A line is longer than {BLOCK} bytes.")
    if held:
        buffer[held] = NEWLINE
        yield text[: held + 1]
