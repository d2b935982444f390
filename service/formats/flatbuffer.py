"""FlatBuffers, the little of them that Arrow's metadata needs: tables read with every offset checked, and written.

A table is a vtable of 16-bit offsets and the fields they point to; what a field is, only the caller knows.
Layout: https://flatbuffers.dev/internals/.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_OFFSET, _VTABLE, _SHORT = "<I", "<i", "<H"
_SLOT = 8


class MalformedBuffer(ValueError):
    """An offset or a length leads out of the buffer."""


@dataclass(frozen=True)
class Table:
    """The table at ``at`` of a buffer; its fields are asked for by number."""

    buffer: bytes
    at: int

    def number(self, field: int, format: str, default: int = 0) -> int:
        """Return a scalar field of a struct format such as ``<q``, or what it is when it is left out."""
        at = self._place(field)
        return default if at is None else _unpack(self.buffer, format, at)

    def table(self, field: int) -> "Table | None":
        """Return a field that is a table, None if it is left out."""
        at = self._target(field)
        return None if at is None else Table(self.buffer, at)

    def tables(self, field: int, most: int) -> Iterator["Table"]:
        """Yield the tables of a field that is a vector of them; several may be one and the same."""
        start, count = self._vector(field, 4)
        if count > most:
            raise MalformedBuffer("a vector has more tables than are read")
        for at in range(start, start + 4 * count, 4):
            yield Table(self.buffer, at + _unpack(self.buffer, _OFFSET, at))

    def structs(self, field: int, format: str) -> list[tuple[int, ...]]:
        """Return the structs of a field that is a vector of them."""
        start, count = self._vector(field, struct.calcsize(format))
        stop = start + count * struct.calcsize(format)
        return list(struct.iter_unpack(format, self.buffer[start:stop]))

    def text(self, field: int, most: int) -> bytes:
        """Return the start of a field that is a string, at most so many bytes, empty if it is left out."""
        start, count = self._vector(field, 1)
        return self.buffer[start : start + min(count, most)]

    def _place(self, field: int) -> int | None:
        vtable = self.at - _unpack(self.buffer, _VTABLE, self.at)
        slot = 4 + 2 * field
        if slot + 2 > _unpack(self.buffer, _SHORT, vtable):
            return None
        offset = _unpack(self.buffer, _SHORT, vtable + slot)
        return self.at + offset if offset else None

    def _target(self, field: int) -> int | None:
        at = self._place(field)
        return None if at is None else at + _unpack(self.buffer, _OFFSET, at)

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Where the elements start and how many there are."""
        at = self._target(field)
        if at is None:
            return 0, 0
        count = _unpack(self.buffer, _OFFSET, at)
        if at + 4 + count * size > len(self.buffer):
            raise MalformedBuffer("a vector is longer than its buffer")
        return at + 4, count


def root(buffer: bytes) -> Table:
    """Return the table that a buffer holds; every later access raises MalformedBuffer rather than leave it."""
    return Table(buffer, _unpack(buffer, _OFFSET, 0))


def _unpack(buffer: bytes, format: str, at: int) -> int:
    if at < 0 or at + struct.calcsize(format) > len(buffer):
        raise MalformedBuffer("an offset leads out of its buffer")
    number: int = struct.unpack_from(format, buffer, at)[0]
    return number


@dataclass(frozen=True)
class Scalar:
    """A number to write, and its struct format."""

    format: str
    value: int


@dataclass(frozen=True)
class Structs:
    """A vector of structs to write, all of 8-byte alignment."""

    format: str
    values: Sequence[tuple[int, ...]]


Fields = Mapping[int, Any]
"""A table to write: scalars, strings, structs, tables and lists of tables by the number of their field."""


def encode(fields: Fields) -> bytes:
    """Return the buffer of a table and all that hangs on it, as long as a multiple of 8."""
    buffer = bytearray(_SLOT)
    struct.pack_into(_OFFSET, buffer, 0, _write_table(buffer, fields))
    _align(buffer)
    return bytes(buffer)


def _write_table(buffer: bytearray, fields: Fields) -> int:
    """Append a vtable and a table of slots of 8 bytes, then what the slots point to."""
    count = 1 + max(fields, default=-1)
    offsets = [_SLOT * (1 + place) if place in fields else 0 for place in range(count)]
    _align(buffer, ahead=4 + 2 * count)
    buffer += struct.pack(f"<HH{count}H", 4 + 2 * count, _SLOT * (1 + count), *offsets)
    at = len(buffer)
    buffer += struct.pack(_VTABLE, 4 + 2 * count) + bytes(_SLOT * (1 + count) - 4)
    for place, value in fields.items():
        _write_field(buffer, at + offsets[place], value)
    return at


def _write_field(buffer: bytearray, slot: int, value: Any) -> None:
    if isinstance(value, Scalar):
        struct.pack_into(value.format, buffer, slot, value.value)
    else:
        struct.pack_into(_OFFSET, buffer, slot, _write_value(buffer, value) - slot)


def _write_value(buffer: bytearray, value: Any) -> int:
    if isinstance(value, Mapping):
        return _write_table(buffer, value)
    _align(buffer, ahead=4)
    at = len(buffer)
    buffer += struct.pack(_OFFSET, len(value.values if isinstance(value, Structs) else value))
    if isinstance(value, bytes):
        buffer += value + b"\0"
    elif isinstance(value, Structs):
        for each in value.values:
            buffer += struct.pack(value.format, *each)
    else:
        _write_tables(buffer, value)
    return at


def _write_tables(buffer: bytearray, tables: Sequence[Fields]) -> None:
    slots = range(len(buffer), len(buffer) + 4 * len(tables), 4)
    buffer += bytes(4 * len(tables))
    for slot, fields in zip(slots, tables, strict=True):
        struct.pack_into(_OFFSET, buffer, slot, _write_table(buffer, fields) - slot)


def _align(buffer: bytearray, ahead: int = 0) -> None:
    """Pad until what comes ``ahead`` bytes later stands at a multiple of 8."""
    buffer += bytes(-(len(buffer) + ahead) % _SLOT)
