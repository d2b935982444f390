"""Where the entries of a stored matrix lie: a grid of counts, from a bounded look at the memory map."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.array import ArrayPicture
from newtond.store.arrays import StoredArray

CELLS = 128
"""Most bands of rows, and of columns."""
BAND_ENTRIES = 32_768
"""Most entries that are looked at in one band of rows: four million in all."""
RUNS = 16


@dataclass(frozen=True)
class _Band:
    """The nonzeros of some rows in each band of columns, and of how many entries that was seen."""

    counts: NDArray[np.int64]
    seen: int
    exact: bool


def picture(array: StoredArray, nnz: int) -> ArrayPicture:
    """Count the nonzeros of ``array`` (a vector is one column) in at most 128 by 128 cells.

    A band of rows that holds more than ``BAND_ENTRIES`` is sampled evenly and its counts are scaled up.
    """
    height, width = array.shape if len(array.shape) == 2 else (array.shape[0], 1)
    rows, columns = _edges(height), _edges(width)
    count = _sparse_band if array.format == "csr" else _dense_band
    bands = [count(array, int(first), int(last), columns) for first, last in pairwise(rows)]
    return ArrayPicture(
        shape=(height, width),
        nnz=nnz,
        rows=rows.tolist(),
        columns=columns.tolist(),
        counts=[band.counts.tolist() for band in bands],
        seen=sum(band.seen for band in bands),
        exact=all(band.exact for band in bands),
    )


def _edges(size: int) -> NDArray[np.int64]:
    cells = min(size, CELLS)
    return np.arange(cells + 1, dtype=np.int64) * size // cells


def _sparse_band(array: StoredArray, first: int, last: int, columns: NDArray[np.int64]) -> _Band:
    indptr, indices = array.parts["indptr"], array.parts["indices"]
    start, stop = int(indptr[first]), int(indptr[last])
    cells, width = len(columns) - 1, int(columns[-1])
    counts, seen = np.zeros(cells, dtype=np.int64), 0
    for begin, end in _runs(start, stop):
        found = np.asarray(indices[begin:end], dtype=np.int64)
        counts += np.bincount(((found + 1) * cells - 1) // width, minlength=cells)
        seen += len(found)
    return _scaled(counts, seen, stop - start)


def _runs(start: int, stop: int) -> list[tuple[int, int]]:
    """The whole range if it is short, else evenly spaced runs of it."""
    if stop - start <= BAND_ENTRIES:
        return [(start, stop)]
    length = BAND_ENTRIES // RUNS
    starts = [start + (stop - start - length) * run // (RUNS - 1) for run in range(RUNS)]
    return [(begin, begin + length) for begin in starts]


def _dense_band(array: StoredArray, first: int, last: int, columns: NDArray[np.int64]) -> _Band:
    data = array.parts["data"].reshape(array.shape[0], -1)
    spread = [_spread(*cell, RUNS) for cell in pairwise(columns)]
    chosen = np.concatenate(spread)
    rows = _spread(first, last, max(BAND_ENTRIES // len(chosen), 1))
    starts = np.cumsum([0, *map(len, spread[:-1])])
    nonzero = (data[np.ix_(rows, chosen)] != 0).sum(axis=0, dtype=np.int64)
    counts = np.add.reduceat(nonzero, starts)
    sizes = np.diff(columns) * (last - first)
    looked = np.array([len(cell) for cell in spread]) * len(rows)
    seen = int(looked.sum())
    return _Band(np.rint(counts * (sizes / looked)).astype(np.int64), seen, seen == int(sizes.sum()))


def _spread(first: Any, last: Any, most: int) -> NDArray[np.int64]:
    """At most ``most`` evenly spaced numbers from ``first`` to before ``last``."""
    number = min(int(last - first), most)
    return first + np.arange(number, dtype=np.int64) * (last - first) // number


def _scaled(counts: NDArray[np.int64], seen: int, entries: int) -> _Band:
    if seen == entries:
        return _Band(counts, seen, True)
    return _Band(np.rint(counts * (entries / seen)).astype(np.int64), seen, False)
