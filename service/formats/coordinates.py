"""Entries in any order to the canonical CSR form: sorted, without duplicates, without zeros."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray
from service.formats.options import Duplicates

_SHORT = 24


@dataclass(frozen=True)
class Entries:
    """Entry k of a matrix (n, d) stands at (rows[k], columns[k]), int32 counted from 0."""

    shape: tuple[int, int]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Compressed:
    """A matrix in canonical CSR form."""

    shape: tuple[int, int]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.float64]


class DuplicateEntry(InvalidArray):
    """Two entries at one place: ``place`` is its row and column, ``entries`` the first two, all from 0."""

    def __init__(self, place: tuple[int, int], entries: tuple[int, int]) -> None:
        super().__init__(
            f"Entries {entries[0]} and {entries[1]} (counted from 0) both stand at row {place[0]}, "
            f"column {place[1]} (counted from 0); ask for duplicates=sum to add them up.",
            source={"entry": entries[1]},
        )
        self.place, self.entries = place, entries


def compress(entries: Entries, duplicates: Duplicates) -> Compressed:
    """Bring entries into canonical form; O(nnz log of the longest row). Raises DuplicateEntry, InvalidArray.

    Duplicates are added in the order of their appearance. The arrays of ``entries`` may be reused.
    """
    indptr = np.zeros(entries.shape[0] + 1, dtype=np.int64)
    if _count(entries.rows, indptr):
        columns, values = entries.columns, entries.values
    else:
        columns, values = np.empty_like(entries.columns), np.empty_like(entries.values)
        _scatter(entries.rows, entries.columns, entries.values, indptr, columns, values)
    return compress_rows(Compressed(entries.shape, indptr, columns, values), duplicates, entries)


def compress_rows(matrix: Compressed, duplicates: Duplicates, entries: Entries | None = None) -> Compressed:
    """The same of a CSR matrix whose rows are in any order, in place; it may come from ``entries``."""
    if _is_canonical(matrix.indptr, matrix.indices, matrix.data):
        return matrix
    row, column = _sort_rows(matrix.indptr, matrix.indices, matrix.data)
    if row >= 0 and duplicates == "error":
        raise _duplicate(entries, row, column) if entries else _duplicate_in(matrix, row, column)
    return _finish(matrix.shape, matrix.indptr, matrix.indices, matrix.data)


def check_indices(part: NDArray[Any], name: str, limit: int, entries: int) -> NDArray[np.int32]:
    """Return indices as int32; raises InvalidArray unless there are ``entries``, all from 0 to below ``limit``."""
    if len(part) != entries:
        raise InvalidArray(f"{name} has {len(part)} entries and data has {entries}.", source={"part": name})
    if entries and not (part.min() >= 0 and part.max() < limit):
        entry = int(np.argmax((part < 0) | (part >= limit)))
        raise InvalidArray(
            f"{name}[{entry}] is {int(part[entry])}: outside 0 to {limit - 1}.",
            source={"part": name, "entry": entry},
        )
    return part.astype(np.int32, copy=False)


def _finish(shape: tuple[int, int], indptr: Any, columns: Any, values: Any) -> Compressed:
    row = _merge(indptr, columns, values)
    if row >= 0:
        raise InvalidArray(f"The sum of duplicates in row {row} (counted from 0) overflows a double.")
    kept = int(indptr[-1])
    return Compressed(shape, indptr, columns[:kept], values[:kept])


def _duplicate(entries: Entries, row: int, column: int) -> DuplicateEntry:
    where = np.flatnonzero((entries.rows == row) & (entries.columns == column))
    return DuplicateEntry((row, column), (int(where[0]), int(where[1])))


def _duplicate_in(matrix: Compressed, row: int, column: int) -> DuplicateEntry:
    start, stop = matrix.indptr[row : row + 2].tolist()
    where = start + np.flatnonzero(matrix.indices[start:stop] == column)
    return DuplicateEntry((row, column), (int(where[0]), int(where[1])))


@njit(cache=True)
def _is_canonical(indptr: Any, columns: Any, values: Any) -> bool:
    """Say whether rows rise strictly and every value is finite and not zero: then nothing is left to do."""
    for row in range(len(indptr) - 1):
        if not _rises(columns, indptr[row], indptr[row + 1]):
            return False
    fine = True
    for k in range(len(values)):
        fine = fine and values[k] != 0.0 and np.abs(values[k]) < np.inf
    return fine


@njit(cache=True)
def _count(rows: Any, indptr: Any) -> bool:
    """Fill ``indptr``; say whether the rows are in order already."""
    ordered, previous = True, -1
    for k in range(len(rows)):
        row = rows[k]
        indptr[row + 1] += 1
        ordered = ordered and row >= previous
        previous = row
    for row in range(len(indptr) - 1):
        indptr[row + 1] += indptr[row]
    return ordered


@njit(cache=True)
def _scatter(rows: Any, columns: Any, values: Any, indptr: Any, to_columns: Any, to_values: Any) -> None:
    following = indptr[:-1].copy()
    for k in range(len(rows)):
        place = following[rows[k]]
        to_columns[place], to_values[place] = columns[k], values[k]
        following[rows[k]] = place + 1


@njit(cache=True)
def _sort_rows(indptr: Any, columns: Any, values: Any) -> tuple[int, int]:
    """Sort each row by column, equals in order; return row and column of the first duplicate, or -1."""
    at_row, at_column = -1, -1
    for row in range(len(indptr) - 1):
        start, stop = indptr[row], indptr[row + 1]
        if not _rises(columns, start, stop):
            _sort(columns[start:stop], values[start:stop])
            for k in range(start + 1, stop):
                if at_row < 0 and columns[k] == columns[k - 1]:
                    at_row, at_column = row, columns[k]
    return at_row, at_column


@njit(cache=True, inline="always")
def _rises(columns: Any, start: int, stop: int) -> bool:
    rises = True
    for k in range(start + 1, stop):
        rises = rises and columns[k] > columns[k - 1]
    return rises


@njit(cache=True)
def _sort(columns: Any, values: Any) -> None:
    if len(columns) > _SHORT:
        order = np.argsort(columns, kind="mergesort")
        columns[:] = columns[order]
        values[:] = values[order]
        return
    for k in range(1, len(columns)):
        column, value, place = columns[k], values[k], k
        while place > 0 and columns[place - 1] > column:
            columns[place], values[place] = columns[place - 1], values[place - 1]
            place -= 1
        columns[place], values[place] = column, value


@njit(cache=True)
def _merge(indptr: Any, columns: Any, values: Any) -> int:
    """Add duplicates and drop zeros in place; return the first row whose sum is not finite, or -1."""
    kept, start = 0, 0
    for row in range(len(indptr) - 1):
        stop, k = indptr[row + 1], start
        while k < stop:
            column, total = columns[k], values[k]
            k += 1
            while k < stop and columns[k] == column:
                total += values[k]
                k += 1
            if not np.isfinite(total):
                return row
            if total != 0.0:
                columns[kept], values[kept] = column, total
                kept += 1
        start, indptr[row + 1] = stop, kept
    return -1
