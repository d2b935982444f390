"""Arrow IPC files (.arrow, Feather 2): columns of numbers, read by a parser of our own.

A table with the columns ``row``, ``col`` and ``value`` is a sparse matrix, entry k at (row[k], col[k]) counted
from 0; its shape is the schema's metadata ``shape`` ("[n, d]") or the options rows and columns. Any other table
is dense: one column is a vector (n,), more are a matrix (n, d). Integers and floats of any width are read;
never nulls, text, nested, dictionary-encoded or compressed columns. The file is read from front to end, and the
footer must list the batches that were read: no byte is taken for two things.

Layout: https://arrow.apache.org/docs/format/Columnar.html, Message.fbs, Schema.fbs and File.fbs.
"""

import re
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray, InvalidSpec, UnsupportedFormat
from service.formats.arrow_layout import BATCH, BLOCK, BUFFER, MAGIC, NODE, SCHEMA
from service.formats.arrow_stream import (
    ADVICE,
    COORDINATES,
    METADATA_LIMIT,
    Schema,
    Stream,
    check_kind,
    check_no_body,
    first_message,
    header_of,
    next_message,
    quoted,
    schema_of,
    sound_file,
)
from service.formats.coordinates import Compressed, Entries, check_indices, compress
from service.formats.flatbuffer import Table, root
from service.formats.inflate import Gzip
from service.formats.limits import FormatLimits
from service.formats.npy import as_doubles
from service.formats.options import Options
from service.formats.text import shown

_PAIR = re.compile(rb"\[?\s*([0-9]{1,25})\s*,\s*([0-9]{1,25})\s*\]?")


@dataclass
class _Columns:
    """The columns read so far, a list of pieces each."""

    schema: Schema
    pieces: dict[str, list[NDArray[Any]]]
    rows: int = 0
    blocks: list[tuple[int, int, int]] = field(default_factory=list)

    def joined(self, name: str) -> NDArray[Any]:
        pieces = self.pieces.pop(name)
        return np.concatenate(pieces) if pieces else np.empty(0)


def read(
    path: Path, encoding: str | None, options: Options, limits: FormatLimits
) -> Compressed | NDArray[np.float64]:
    """Read the one array of an Arrow file; raises InvalidArray with its place, UnsupportedFormat, TooLarge."""
    size = path.stat().st_size
    longest = limits.inflated_bytes if encoding == "gzip" else size
    with (
        sound_file(),
        closing(Gzip(path, limits) if encoding == "gzip" else path.open("rb")) as file,
    ):
        columns = _read_file(Stream(file, longest), options, limits)
    return _sparse(columns, options, limits) if columns.schema.sparse else _dense(columns, options)


def _read_file(stream: Stream, options: Options, limits: FormatLimits) -> _Columns:
    if stream.take(8) != MAGIC + b"\0\0":
        raise InvalidArray("This is not an Arrow file: it does not start with `ARROW1` (a stream is none).")
    start, message = first_message(stream)
    check_kind(message, SCHEMA)
    schema = schema_of(header_of(message))
    columns = _Columns(schema, {name: [] for name in schema.names})
    _check_options(schema, options)
    check_no_body(message)
    while (found := next_message(stream, stream.at)) is not None:
        start, message = found
        check_kind(message, BATCH)
        length, metadata = message.number(3, "<q"), stream.at - start
        _read_batch(header_of(message), stream, length, columns, limits)
        columns.blocks.append((start, metadata, length))
    _check_footer(stream, columns)
    return columns


def _check_options(schema: Schema, options: Options) -> None:
    if not schema.sparse and (options.rows or options.columns):
        raise InvalidSpec(
            "rows and columns are for an Arrow file of row, col and value.", source={"parameter": "rows"}
        )


def _read_batch(batch: Table, stream: Stream, length: int, columns: _Columns, limits: FormatLimits) -> None:
    names, count = columns.schema.names, batch.number(0, "<q")
    if batch.table(3) is not None:
        raise UnsupportedFormat(f"Compressed Arrow files are not read; {ADVICE}.")
    nodes, buffers = batch.structs(1, NODE), batch.structs(2, BUFFER)
    if len(nodes) != len(names) or len(buffers) != 2 * len(names) or count < 0:
        raise InvalidArray("A batch of the Arrow file does not have the columns of its schema.")
    _check_size(columns, columns.rows + count, length, limits)
    body = stream.take(length)
    for k, (name, dtype) in enumerate(zip(names, columns.schema.types, strict=True)):
        _check_node(nodes[k], count, name)
        _check_valid(_slice(body, buffers[2 * k], 0), count, name, columns.rows)
        part = _slice(body, buffers[2 * k + 1], count * dtype.itemsize)
        values = np.frombuffer(part, dtype=dtype, count=count)
        columns.pieces[name].append(_converted(values, name, columns))
    columns.rows += count


def _check_size(columns: _Columns, rows: int, length: int, limits: FormatLimits) -> None:
    limits.check_memory(length)
    if columns.schema.sparse:
        limits.check_sparse((1, 1), rows)
    elif rows:
        limits.check_dense((rows, len(columns.schema.names)))


def _check_node(node: tuple[int, ...], count: int, name: str) -> None:
    if node[0] != count:
        raise InvalidArray("A column of the Arrow file is shorter or longer than its batch.")
    if node[1]:
        raise InvalidArray(f"The column {quoted(name)} has nulls: every value must be there.")


def _slice(body: bytearray, buffer: tuple[int, ...], needed: int) -> memoryview:
    offset, length = buffer
    if offset < 0 or length < needed or offset + length > len(body):
        raise InvalidArray("A column of the Arrow file leads out of its batch.")
    return memoryview(body)[offset : offset + length]


def _check_valid(bitmap: memoryview, count: int, name: str, before: int) -> None:
    """A bitmap may be left out; if it is there, no bit of it may say null, whatever the count says."""
    if not len(bitmap):
        return
    if len(bitmap) * 8 < count:
        raise InvalidArray("A column of the Arrow file leads out of its batch.")
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), count=count, bitorder="little")
    if not bits.all():
        entry = before + int(np.argmin(bits))
        raise InvalidArray(f"{quoted(name)}[{entry}] is null.", source={"entry": entry})


def _converted(values: NDArray[Any], name: str, columns: _Columns) -> NDArray[Any]:
    if columns.schema.sparse and name != "value":
        if values.dtype.kind == "f":
            raise InvalidArray(f"The column {name} is not of integers.", source={"part": name})
        return values
    return as_doubles(values, quoted(name), columns.rows)


def _check_footer(stream: Stream, columns: _Columns) -> None:
    tail = bytes(stream.rest(min(METADATA_LIMIT, stream.left + 1)))
    length = int.from_bytes(tail[-10:-6], "little")
    if tail[-6:] != MAGIC or length + 10 > len(tail) or any(tail[: -10 - length]):
        raise InvalidArray("The Arrow file does not end in a footer: it is truncated.")
    footer = root(tail[-10 - length : -10])
    schema = footer.table(1)
    if schema is None or schema_of(schema) != columns.schema or footer.structs(2, BLOCK):
        raise InvalidArray("The footer of the Arrow file contradicts its first message.")
    if footer.structs(3, BLOCK) != columns.blocks:
        raise InvalidArray("The footer of the Arrow file does not list the batches that it has.")


def _sparse(columns: _Columns, options: Options, limits: FormatLimits) -> Compressed:
    shape = _shape(columns.schema.shape, options)
    limits.check_sparse(shape, columns.rows)
    values = columns.joined("value").astype(np.float64, copy=False)
    rows, cols = (
        check_indices(columns.joined(name), name, limit, len(values))
        for name, limit in zip(COORDINATES, shape, strict=False)
    )
    return compress(Entries(shape, rows, cols, values), options.duplicates)


def _shape(said: bytes, options: Options) -> tuple[int, int]:
    match = _PAIR.fullmatch(said)
    if said and match is None:
        raise InvalidArray(f"The metadata shape {shown(said)} is not [n, d].")
    shape = (int(match[1]), int(match[2])) if match else (None, None)
    found = tuple(given or told for given, told in zip((options.rows, options.columns), shape, strict=True))
    if None in found:
        raise InvalidArray(
            "The shape is not said: put shape = [n, d] into the schema's metadata, or say rows and columns."
        )
    if match and found != shape:
        raise InvalidArray(f"The file says that the shape is {shape[0]} x {shape[1]}, not as asked.")
    if 0 in found:
        raise InvalidArray("The matrix has no entries: a dimension is 0.")
    return found  # type: ignore[return-value]


def _dense(columns: _Columns, options: Options) -> NDArray[np.float64]:
    if columns.rows == 0:
        raise InvalidArray("The array has no entries: the Arrow file has no rows.")
    names = columns.schema.names
    if len(names) == 1:
        return columns.joined(names[0])
    matrix = np.empty((columns.rows, len(names)))
    for j, name in enumerate(names):
        matrix[:, j] = columns.joined(name)
    return matrix
