"""gzip, inflated little by little under a cap: what it becomes is bounded before it is written anywhere."""

import zlib
from pathlib import Path

from newtond.contract.errors import InvalidArray, TooLarge
from service.formats.limits import FormatLimits

_GZIP = 31
_READ = 1 << 16
MAGIC = b"\x1f\x8b"


class Gzip:
    """The inflated bytes of a .gz file of one or more members.

    Raises InvalidArray where the stream is damaged, truncated or followed by something else, and TooLarge
    where it becomes more than the limits allow.
    """

    def __init__(self, path: Path, limits: FormatLimits) -> None:
        self._file = path.open("rb")
        self._left = limits.inflated_from(path.stat().st_size)
        self._inflater = zlib.decompressobj(_GZIP)
        self._pending = b""
        self._inside = True

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer with inflated bytes; return how many, 0 at the end."""
        filled = 0
        while filled < len(buffer) and (chunk := self._inflate(len(buffer) - filled)):
            buffer[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
        self._left -= filled
        if self._left < 0:
            raise TooLarge("The gzip stream inflates to more than is allowed for a file of its size.")
        return filled

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _inflate(self, length: int) -> bytes:
        """The next bytes, at most ``length`` of them; none at the end of the last member."""
        while True:
            self._pending = self._pending or self._file.read(_READ)
            if not self._inside:
                if not self._pending:
                    return b""
                self._next_member()
            more = bool(self._pending)
            if chunk := self._decompress(length):
                return chunk
            if self._inside and not more:
                raise InvalidArray("The gzip stream ends in the middle: the file is truncated.")

    def _decompress(self, length: int) -> bytes:
        try:
            chunk = self._inflater.decompress(self._pending, length)
        except zlib.error as error:
            raise InvalidArray("The gzip stream is damaged.") from error
        self._inside = not self._inflater.eof
        self._pending = self._inflater.unconsumed_tail if self._inside else self._inflater.unused_data
        return chunk

    def _next_member(self) -> None:
        if len(self._pending) < len(MAGIC):
            self._pending += self._file.read(_READ)
        if not self._pending.startswith(MAGIC):
            raise InvalidArray("The gzip stream is followed by bytes that are not gzip.")
        self._inflater, self._inside = zlib.decompressobj(_GZIP), True
