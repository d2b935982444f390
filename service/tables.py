"""Numbers as text: a trace as CSV, a result array as CSV, JSON or Matrix Market, a piece at a time."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.trace import TraceRecord

ROWS_AT_ONCE = 4096
FIELDS = (
    "iteration",
    "seconds",
    "loss",
    "gradient_norm",
    "newton_decrement",
    "step_size",
    "line_search_evaluations",
    "cg_iterations",
    "damping",
    "attempt",
    "peak_memory",
    "note",
)


@dataclass(frozen=True)
class NamedArray:
    """A result array (n,) or (n, d), its name, and a name for each row where the columns of A have names."""

    name: str
    values: NDArray[np.float64]
    row_names: Sequence[str] | None = None


def trace_csv(records: Sequence[TraceRecord]) -> str:
    """Return a trace as a table: one line an iteration, one column a phase."""
    phases = sorted({phase for record in records for phase in record.phases})
    rows = [[*_fields(record), *(record.phases.get(phase) for phase in phases)] for record in records]
    header = [*FIELDS, "sketch_kind", "sketch_rows", *(f"{phase}_seconds" for phase in phases)]
    return _csv([header, *rows])


def _fields(record: TraceRecord) -> list[Any]:
    sketch = record.sketch
    drawn = [sketch.kind, sketch.rows] if sketch else [None, None]
    return [*(getattr(record, name) for name in FIELDS), *drawn]


def array_csv(array: NamedArray) -> Iterator[str]:
    """Yield a CSV table with a header; its first column says the row: its name, or its number from 0."""
    matrix = array.values.reshape(len(array.values), -1)
    columns = [array.name] if array.values.ndim == 1 else [f"{array.name}{j}" for j in range(matrix.shape[1])]
    yield _csv([["name" if array.row_names else "row", *columns]])
    for start, rows in _pieces(matrix):
        names = array.row_names or range(start, start + len(rows))
        offset = start if array.row_names else 0
        yield _csv([names[offset + i], *row] for i, row in enumerate(rows))


def array_json(array: NamedArray) -> Iterator[str]:
    """Yield a JSON object: name, shape, names, values (nested lists); what is not finite is null."""
    head = {"name": array.name, "shape": array.values.shape, "names": array.row_names}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "values": ['
    for start, rows in _pieces(array.values):
        yield (", " if start else "") + json.dumps(_finite(rows))[1:-1]
    yield "]}"


def array_matrix_market(array: NamedArray) -> Iterator[str]:
    """Yield the array in Matrix Market's dense format: columns one after another, 17 digits where needed."""
    matrix = array.values.reshape(len(array.values), -1)
    yield f"%%MatrixMarket matrix array real general\n{matrix.shape[0]} {matrix.shape[1]}\n"
    for column in matrix.T:
        for _, values in _pieces(column):
            yield "".join(f"{value!r}\n" for value in values)


def _pieces(values: NDArray[np.float64]) -> Iterator[tuple[int, list[Any]]]:
    for start in range(0, len(values), ROWS_AT_ONCE):
        yield start, values[start : start + ROWS_AT_ONCE].tolist()


def _finite(values: list[Any]) -> list[Any]:
    if values and isinstance(values[0], list):
        return [_finite(row) for row in values]
    return [value if isfinite(value) else None for value in values]


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
