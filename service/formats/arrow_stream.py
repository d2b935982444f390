"""An Arrow IPC file from front to end: its messages, and what its schema says; nothing here makes arrays.

Layout: https://arrow.apache.org/docs/format/Columnar.html, Message.fbs and Schema.fbs.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from newtond.contract.errors import InvalidArray, UnsupportedFormat
from service.formats.arrow_layout import DICTIONARY, DOUBLE, FLOATING, INTEGER, MARK, SINGLE, VERSION
from service.formats.flatbuffer import MalformedBuffer, Table, root
from service.formats.text import Source, shown

ADVICE = "write columns of plain numbers, pyarrow.ipc.new_file(…) without compression"
COORDINATES = ("row", "col", "value")
METADATA_LIMIT = 1 << 24
_COLUMN_LIMIT, _NAME_LIMIT = 100_000, 1024
_HALF = 0


@dataclass(frozen=True)
class Schema:
    """Names and types of the columns, and the shape as the metadata has it."""

    names: tuple[str, ...]
    types: tuple[np.dtype[Any], ...]
    shape: bytes

    @property
    def sparse(self) -> bool:
        """Whether the columns are the coordinates of a sparse matrix."""
        return set(self.names) == set(COORDINATES) and len(self.names) == len(COORDINATES)


@contextmanager
def sound_file() -> Iterator[None]:
    """Turn an offset that leads out of the metadata into InvalidArray."""
    try:
        yield
    except (MalformedBuffer, struct.error) as error:
        raise InvalidArray("The Arrow file is damaged: its metadata leads out of itself.") from error


class Stream:
    """The file from front to end, and how far it has been read."""

    def __init__(self, source: Source, longest: int) -> None:
        self._source = source
        self._longest = longest
        self.at = 0

    @property
    def left(self) -> int:
        """How many bytes may still come."""
        return self._longest - self.at

    def take(self, length: int) -> bytearray:
        """Return the next bytes; raises InvalidArray unless there are so many."""
        if not 0 <= length <= self.left:
            raise InvalidArray("The Arrow file promises more bytes than it has: it is damaged or truncated.")
        buffer = self.rest(length)
        if len(buffer) < length:
            raise InvalidArray("The Arrow file ends too early: it is truncated.")
        return buffer

    def rest(self, most: int) -> bytearray:
        """Return the next bytes, fewer at the end."""
        buffer, filled = bytearray(most), 0
        with memoryview(buffer) as view:
            while filled < most and (read := self._source.readinto(view[filled:]) or 0):
                filled += read
        self.at += filled
        return buffer if filled == most else buffer[:filled]


def first_message(stream: Stream) -> tuple[int, Table]:
    """Return the schema's message and where it starts; some writers align it by more than 8 zeros."""
    word = stream.take(8)
    while not any(word) and stream.at <= 128:
        word = stream.take(8)
    found = next_message(stream, stream.at - 8, word)
    if found is None:
        raise InvalidArray("The Arrow file has no schema.")
    return found


def next_message(stream: Stream, start: int, word: bytearray | None = None) -> tuple[int, Table] | None:
    """Return the next message and where it starts, None at the mark of the end; raises InvalidArray."""
    word = word or stream.take(8)
    length = int.from_bytes(word[4:], "little")
    if word[:4] != MARK:
        raise InvalidArray(
            f"Byte {start} of the Arrow file: a message should start here.", source={"byte": start}
        )
    if length == 0:
        return None
    if length > METADATA_LIMIT or length % 8:
        raise InvalidArray("The metadata of an Arrow message is not a length that is read here.")
    message = root(bytes(stream.take(length)))
    if message.number(0, "<h") not in (VERSION - 1, VERSION):
        raise UnsupportedFormat("This version of Arrow's metadata is not read; write version 5.")
    return start, message


def check_kind(message: Table, wanted: int) -> None:
    """Raise InvalidArray or UnsupportedFormat unless the header of a message is of this kind."""
    kind = message.number(1, "<B")
    if kind == DICTIONARY:
        raise UnsupportedFormat(f"Dictionaries are not read; {ADVICE}.")
    if kind != wanted:
        raise InvalidArray("The Arrow file is not a schema and then batches of its rows.")


def header_of(message: Table) -> Table:
    """Return the header of a message; raises InvalidArray."""
    header = message.table(2)
    if header is None:
        raise InvalidArray("An Arrow message is empty.")
    return header


def check_no_body(message: Table) -> None:
    """Raise InvalidArray if a schema claims a body."""
    if message.number(3, "<q"):
        raise InvalidArray("The schema of an Arrow file has no body.")


def schema_of(table: Table) -> Schema:
    """Return what a schema says; raises InvalidArray, UnsupportedFormat."""
    if table.number(0, "<h"):
        raise UnsupportedFormat("Big-endian Arrow files are not read.")
    names, types = [], []
    for each in table.tables(1, _COLUMN_LIMIT):
        names.append(_name(each))
        types.append(_type(each, names[-1]))
    if not names:
        raise InvalidArray("The Arrow file has no columns.")
    if len(set(names)) < len(names):
        raise InvalidArray("Two columns of the Arrow file have one name.")
    said = [pair.text(1, 64) for pair in table.tables(2, _COLUMN_LIMIT) if pair.text(0, 6) == b"shape"]
    if len(said) > 1:
        raise InvalidArray("The schema's metadata says shape twice.")
    return Schema(tuple(names), tuple(types), said[0] if said else b"")


def _name(column: Table) -> str:
    name = column.text(0, _NAME_LIMIT + 1)
    if len(name) > _NAME_LIMIT:
        raise UnsupportedFormat(f"The name of a column has at most {_NAME_LIMIT} bytes.")
    return name.decode("utf-8", "replace")


_FLOATS: dict[int, np.dtype[Any]] = {_HALF: np.dtype("<f2"), SINGLE: np.dtype("<f4"), DOUBLE: np.dtype("<f8")}


def _type(column: Table, name: str) -> np.dtype[Any]:
    kind, what = column.number(2, "<B"), column.table(3)
    plain = column.table(4) is None and not any(True for _ in column.tables(5, 1))
    dtype = _number_type(kind, what) if plain and what is not None else None
    if dtype is None:
        raise UnsupportedFormat(f"The column {quoted(name)} is not of plain numbers; {ADVICE}.")
    return dtype


def _number_type(kind: int, what: Table) -> np.dtype[Any] | None:
    if kind == FLOATING:
        return _FLOATS.get(what.number(0, "<h"))
    width = what.number(0, "<i")
    if kind == INTEGER and width in (8, 16, 32, 64):
        return np.dtype(f"<{'i' if what.number(1, '<B') else 'u'}{width // 8}")
    return None


def quoted(name: str) -> str:
    """Write the name of a column as an error may show it."""
    return shown(name.encode())
