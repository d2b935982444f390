"""A result array as an Arrow IPC file, written a batch at a time: columns of float64, no compression.

Layout: https://arrow.apache.org/docs/format/Columnar.html, Message.fbs, Schema.fbs and File.fbs.
"""

import json
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.formats.arrow_layout import (
    BATCH,
    BLOCK,
    BUFFER,
    DOUBLE,
    END,
    FLOATING,
    MAGIC,
    MARK,
    NODE,
    SCHEMA,
    VERSION,
)
from service.formats.flatbuffer import Fields, Scalar, Structs, encode
from service.tables import NamedArray

NUMBERS_AT_ONCE = 1 << 16


def array_arrow(array: NamedArray) -> Iterator[bytes]:
    """Yield the file of an array (n,), one column, or (n, d), d columns; its metadata has shape and names."""
    matrix = array.values.reshape(len(array.values), -1)
    schema, blocks = _schema(array), []
    piece = MAGIC + b"\0\0" + _framed(_message(SCHEMA, schema, 0))
    yield piece
    at, rows_at_once = len(piece), max(NUMBERS_AT_ONCE // matrix.shape[1], 1)
    for start in range(0, len(matrix), rows_at_once):
        rows = matrix[start : start + rows_at_once]
        piece = _framed(_message(BATCH, _batch(*rows.shape), rows.size * 8))
        blocks.append((at, len(piece), rows.size * 8))
        yield piece + _columns(rows)
        at += len(piece) + rows.size * 8
    footer = encode({0: Scalar("<h", VERSION), 1: schema, 2: Structs(BLOCK, []), 3: Structs(BLOCK, blocks)})
    yield END + footer + struct.pack("<i", len(footer)) + MAGIC


def _schema(array: NamedArray) -> Fields:
    values = array.values
    names = [array.name] if values.ndim == 1 else [f"{array.name}{j}" for j in range(values.shape[1])]
    said = {"shape": json.dumps(values.shape)}
    if array.row_names:
        said["names"] = json.dumps(list(array.row_names), ensure_ascii=False)
    return {
        0: Scalar("<h", 0),
        1: [_field(name) for name in names],
        2: [{0: key.encode(), 1: value.encode()} for key, value in said.items()],
    }


def _field(name: str) -> Fields:
    return {
        0: name.encode(),
        1: Scalar("<B", 0),
        2: Scalar("<B", FLOATING),
        3: {0: Scalar("<h", DOUBLE)},
        5: [],
    }


def _batch(rows: int, columns: int) -> Fields:
    buffers = [each for j in range(columns) for each in ((8 * rows * j, 0), (8 * rows * j, 8 * rows))]
    nodes = Structs(NODE, [(rows, 0)] * columns)
    return {0: Scalar("<q", rows), 1: nodes, 2: Structs(BUFFER, buffers)}


def _message(kind: int, header: Fields, body: int) -> bytes:
    return encode({0: Scalar("<h", VERSION), 1: Scalar("<B", kind), 2: header, 3: Scalar("<q", body)})


def _framed(metadata: bytes) -> bytes:
    return MARK + struct.pack("<i", len(metadata)) + metadata


def _columns(rows: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(rows.T, dtype="<f8").tobytes()
