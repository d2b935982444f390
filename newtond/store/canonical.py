"""What makes an array canonical, checked in full, and what is worth knowing of its columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray

NORMS_UP_TO = 10_000
"""The norms of more columns than this are not listed in an array's resource."""
_CHUNK = 1 << 16
"""Entries in a piece: what is computed of one stays in the cache."""
_SQUARED_SAFELY = 2.0**480
"""The squares of doubles up to this, and of their inverses, are normal, and so is any sum of 2^60 of them."""


@dataclass(frozen=True)
class ColumnSummary:
    """How many columns are empty, and every column's Euclidean norm (None past NORMS_UP_TO columns)."""

    empty: int | None
    norms: list[float] | None


def check_dense(data: NDArray[np.float64]) -> None:
    """Raise InvalidArray unless ``data`` is (n,) or (n, d), not empty, and finite."""
    if data.ndim not in (1, 2):
        raise InvalidArray(f"An array has one or two dimensions, not {data.ndim}.")
    check_shape(data.shape)
    flat = data.reshape(-1)
    for start, stop in _ranges(flat.size):
        bad = np.flatnonzero(~np.isfinite(flat[start:stop]))
        if bad.size:
            entry = [int(i) for i in np.unravel_index(start + int(bad[0]), data.shape)]
            raise InvalidArray(f"The value at {entry} is not finite.", source={"entry": entry})


def check_csr(
    shape: tuple[int, int], indptr: NDArray[np.int64], indices: NDArray[Any], data: NDArray[np.float64]
) -> None:
    """Raise InvalidArray unless the three parts are the canonical CSR form of a matrix (n, d)."""
    check_shape(shape)
    if indptr.ndim != 1 or indices.ndim != 1 or data.ndim != 1:
        raise InvalidArray("indptr, indices and data are one-dimensional.")
    if len(indptr) != shape[0] + 1:
        raise InvalidArray(f"indptr has {len(indptr)} entries; {shape[0]} rows need {shape[0] + 1}.")
    check_indptr(indptr, len(data))
    if len(indices) != len(data):
        raise InvalidArray(f"There are {len(indices)} indices and {len(data)} values.")
    for start, stop in _ranges(len(data)):
        _check_entries(shape, indptr, indices, data, start, stop)


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise InvalidArray if a dimension is zero."""
    if min(shape) < 1:
        raise InvalidArray(f"The shape {list(shape)} has no entries.")


def check_indptr(indptr: NDArray[Any], entries: int) -> None:
    """Raise InvalidArray unless ``indptr`` rises from 0 to the number of entries."""
    if indptr[0] != 0 or indptr[-1] != entries:
        raise InvalidArray(f"indptr goes from {indptr[0]} to {indptr[-1]}, not from 0 to {entries}.")
    for start, stop in _ranges(len(indptr)):
        falls = np.flatnonzero(indptr[start + 1 : stop + 1] < indptr[start:stop][: len(indptr) - start - 1])
        if falls.size:
            row = start + int(falls[0])
            raise InvalidArray(f"indptr falls at row {row}.", source={"entry": row})


def _check_entries(
    shape: tuple[int, int],
    indptr: NDArray[np.int64],
    indices: NDArray[Any],
    data: NDArray[np.float64],
    start: int,
    stop: int,
) -> None:
    columns, values = indices[start:stop], data[start:stop]
    _refuse(start, (columns < 0) | (columns >= shape[1]), f"the column index is not below {shape[1]}")
    _refuse(start, ~np.isfinite(values), "the value is not finite")
    _refuse(start, values == 0, "an explicit zero is stored")
    previous = indices[max(start - 1, 0) : stop - 1]
    rises = columns[stop - start - len(previous) :] > previous
    first = stop - len(previous)
    heads = indptr[np.searchsorted(indptr, first) : np.searchsorted(indptr, stop)]
    rises[heads - first] = True
    _refuse(first, ~rises, "columns do not rise strictly within the row")


def _refuse(start: int, bad: NDArray[np.bool_], why: str) -> None:
    if bad.any():
        entry = start + int(np.argmax(bad))
        raise InvalidArray(f"Entry {entry}: {why}.", source={"entry": entry})


def summarise_columns(shape: tuple[int, ...], parts: Mapping[str, NDArray[Any]]) -> ColumnSummary:
    """Count the empty columns of a matrix (n, d) and take the others' norms, free of overflow; O(nnz + d)."""
    if shape[1] > NORMS_UP_TO:
        return ColumnSummary(_count_empty(shape, parts), None)
    squares = _plain_squares(shape, parts)
    if squares is not None:
        return ColumnSummary(int(np.count_nonzero(squares == 0)), np.sqrt(squares).tolist())
    return _summarise_scaled(shape, parts)


def _count_empty(shape: tuple[int, ...], parts: Mapping[str, NDArray[Any]]) -> int:
    filled = np.zeros(shape[1], dtype=bool)
    for columns, values in _entries(shape, parts):
        if columns is None:
            filled |= (values != 0).any(axis=0)
        else:
            filled[columns] = True
    return int(np.count_nonzero(~filled))


def _plain_squares(shape: tuple[int, ...], parts: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """Each column's sum of squares; None where a square might leave the range of normal doubles."""
    squares = np.zeros(shape[1])
    for columns, values in _entries(shape, parts):
        magnitudes = np.abs(values)
        if magnitudes.max() > _SQUARED_SAFELY or ((magnitudes < 1 / _SQUARED_SAFELY) & (values != 0)).any():
            return None
        squares += _totals(columns, values * values, shape[1])
    return squares


def _summarise_scaled(shape: tuple[int, ...], parts: Mapping[str, NDArray[Any]]) -> ColumnSummary:
    largest, squares = np.zeros(shape[1]), np.zeros(shape[1])
    for columns, values in _entries(shape, parts):
        if columns is None:
            np.maximum(largest, np.abs(values).max(axis=0), out=largest)
        else:
            np.maximum.at(largest, columns, np.abs(values))
    # a power of two: scaling by it is exact
    scale = np.ldexp(1.0, np.maximum(np.frexp(largest)[1] - 1, -1000))
    for columns, values in _entries(shape, parts):
        scaled = values / (scale if columns is None else scale[columns])
        squares += _totals(columns, scaled * scaled, shape[1])
    with np.errstate(over="ignore"):
        norms = np.sqrt(squares) * scale
    empty = int(np.count_nonzero(largest == 0))
    return ColumnSummary(empty, norms.tolist() if np.isfinite(norms).all() else None)


def _totals(columns: NDArray[Any] | None, values: NDArray[np.float64], width: int) -> NDArray[Any]:
    return values.sum(axis=0) if columns is None else np.bincount(columns, values, minlength=width)


def _entries(
    shape: tuple[int, ...], parts: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[NDArray[Any] | None, NDArray[np.float64]]]:
    """The entries with their columns, a piece at a time; of a dense matrix whole rows, which need none."""
    if "indices" in parts:
        for start, stop in _ranges(parts["data"].size):
            yield parts["indices"][start:stop], parts["data"][start:stop]
    else:
        rows = max(_CHUNK // shape[1], 1)
        for start in range(0, shape[0], rows):
            yield None, parts["data"][start : start + rows]


def _ranges(size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, _CHUNK):
        yield start, min(start + _CHUNK, size)
