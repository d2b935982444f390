"""The Gaussian kernel matrix G of the rows of A, Gᵢⱼ = exp(−½‖aᵢ − aⱼ‖²): products and columns of it.

G is formed tile by tile and never kept, so a product takes n² (d + an exponential) and memory for n-vectors.
Distances of dense points are sums of squared differences, exact to a few ulp however far from 0 the points
lie; those of sparse points come from inner products, with an absolute error of about 1e-16 (‖aᵢ‖² + ‖aⱼ‖²).
Every output row is one thread's, so the number of threads does not enter the bits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from newtond.engine.kernels import exp, inner, kernel
from newtond.engine.state import Csr, Matrix, Vector

TILE = 256
ROWS = 64
MOST_DENSE_ENTRIES = 1 << 26

sum_kernel = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
"""As ``kernel``, for sums of products alone: their order is the compiler's, the same in every run."""


@sum_kernel
def _dot(tile, values, start, size):
    total = 0.0
    for t in range(size):
        total += tile[t] * values[start + t]
    return total


@inner
def _row_tile(point, columns, start, size, tile):
    """tile[t] = exp(−½‖point − columns[:, start + t]‖²)."""
    for t in range(size):
        tile[t] = 0.0
    k = 0
    while k + 4 <= point.size:
        p, q, r, s = point[k], point[k + 1], point[k + 2], point[k + 3]
        for t in range(size):
            one, two = columns[k, start + t] - p, columns[k + 1, start + t] - q
            three, four = columns[k + 2, start + t] - r, columns[k + 3, start + t] - s
            tile[t] += (one * one + two * two) + (three * three + four * four)
        k += 4
    while k < point.size:
        p = point[k]
        for t in range(size):
            one = columns[k, start + t] - p
            tile[t] += one * one
        k += 1
    for t in range(size):
        tile[t] = exp(-0.5 * tile[t])


@kernel
def dense_product(points, columns, values, out):
    """out[i] = Σⱼ exp(−½‖points[i] − columns[:, j]‖²) values[j]."""
    tile = np.empty(TILE)
    out[:] = 0.0
    for start in range(0, values.size, TILE):
        size = min(TILE, values.size - start)
        for i in range(out.size):
            _row_tile(points[i], columns, start, size, tile)
            out[i] += _dot(tile, values, start, size)


@kernel
def dense_rows(points, columns, out):
    """out[i, j] = exp(−½‖points[i] − columns[:, j]‖²)."""
    for start in range(0, columns.shape[1], TILE):
        size = min(TILE, columns.shape[1] - start)
        for i in range(points.shape[0]):
            _row_tile(points[i], columns, start, size, out[i, start:])


@inner
def csr_row(indptr, indices, data, half, i, work, out):
    """out[j] = exp(⟨aᵢ, aⱼ⟩ − half[i] − half[j]), half = ½‖a‖²; ``work`` (d) is 0 before and after."""
    for k in range(indptr[i], indptr[i + 1]):
        work[indices[k]] = data[k]
    for j in range(out.size):
        total = 0.0
        for k in range(indptr[j], indptr[j + 1]):
            total += data[k] * work[indices[k]]
        out[j] = exp(min(total - half[i] - half[j], 0.0))
    out[i] = 1.0
    for k in range(indptr[i], indptr[i + 1]):
        work[indices[k]] = 0.0


@kernel
def csr_product(indptr, indices, data, half, first, values, out):
    """out[i] = row first + i of G · values."""
    work, row = np.zeros(int(indices.max()) + 1 if indices.size else 1), np.empty(values.size)
    for i in range(out.size):
        csr_row(indptr, indices, data, half, first + i, work, row)
        out[i] = _dot(row, values, 0, values.size)


class GaussianMatrix:
    """G (n, n) of the rows of ``points`` (n, d), sparse or dense; ``half`` (n) is ½‖aᵢ‖²."""

    def __init__(self, points: Csr | Matrix, threads: int = 1) -> None:
        self.size, self.dimension = points.shape
        if isinstance(points, Csr) and points.shape[0] * points.shape[1] <= MOST_DENSE_ENTRIES:
            points = _dense(points)
        self._points = points if isinstance(points, Csr) else np.ascontiguousarray(points, np.float64)
        self.half = halves(self._points)
        self._columns = None if isinstance(self._points, Csr) else np.ascontiguousarray(self._points.T)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    @property
    def entry_cost(self) -> float:
        """How many multiplications an entry of G costs besides its exponential."""
        if isinstance(self._points, Csr):
            return len(self._points.data) / self.size
        return float(self.dimension)

    def product(self, values: Vector) -> Vector:
        """Return G values (n)."""
        out = np.empty(self.size)

        def one(first: int) -> None:
            part = out[first : first + ROWS]
            if isinstance(self._points, Csr):
                csr_product(*_parts(self._points), self.half, first, values, part)
            else:
                dense_product(self._points[first : first + ROWS], self._columns, values, part)

        self._map(one, range(0, self.size, ROWS))
        return out

    def between(self, points: Csr | Matrix, values: Vector) -> Vector:
        """Return Σⱼ exp(−½‖pᵢ − aⱼ‖²) valuesⱼ at each of other points (p, d), a block of them dense at a time."""
        out = np.empty(points.shape[0])

        def one(first: int) -> None:
            block, part = _block(points, first), out[first : first + ROWS]
            if isinstance(self._points, Csr):
                part[:] = self._sparse_between(self._points, block) @ values
            else:
                dense_product(block, self._columns, values, part)

        self._map(one, range(0, len(out), ROWS))
        return out

    def _sparse_between(self, points: Csr, block: Matrix) -> Matrix:
        own = sp.csr_array((points.data, points.indices.astype(np.int64), points.indptr), shape=points.shape)
        inner = own @ block.T
        return np.exp(np.minimum(inner.T - self.half - halves(block)[:, None], 0.0))

    def columns(self, chosen: NDArray[np.int64]) -> Matrix:
        """Return the columns of G of the given numbers (n, len(chosen))."""
        points = self._points
        if isinstance(points, Csr):
            return self._sparse_rows(points, chosen).T
        out = np.empty((self.size, len(chosen)))
        others = np.ascontiguousarray(points[chosen].T)

        def one(first: int) -> None:
            dense_rows(points[first : first + ROWS], others, out[first : first + ROWS])

        self._map(one, range(0, self.size, ROWS))
        return out

    def _sparse_rows(self, points: Csr, chosen: NDArray[np.int64]) -> Matrix:
        out = np.empty((len(chosen), self.size))

        def one(k: int) -> None:
            csr_row(*_parts(points), self.half, chosen[k], np.zeros(self.dimension), out[k])

        self._map(one, range(len(chosen)))
        return out

    def _map(self, work: Callable[[int], None], tasks: range) -> None:
        if self._pool is None or len(tasks) == 1:
            for task in tasks:
                work(task)
            return
        counter = count()

        def drain() -> None:
            while (k := next(counter)) < len(tasks):
                work(tasks[k])

        for future in [self._pool.submit(drain) for _ in range(self._threads)]:
            future.result()


def _parts(points: Csr) -> tuple[NDArray[np.int64], NDArray[np.uint32], Vector]:
    return np.asarray(points.indptr), np.asarray(points.indices).view(np.uint32), np.asarray(points.data)


def _block(points: Csr | Matrix, first: int) -> Matrix:
    """Return the block of points from ``first`` on as a dense array."""
    last = min(first + ROWS, points.shape[0])
    if not isinstance(points, Csr):
        return np.ascontiguousarray(points[first:last], np.float64)
    start, stop = points.indptr[first], points.indptr[last]
    indptr = np.asarray(points.indptr[first : last + 1] - start)
    shape = (last - first, points.shape[1])
    return _dense(Csr(indptr, points.indices[start:stop], points.data[start:stop], shape))


def halves(points: Csr | Matrix) -> Vector:
    """Return ½‖aᵢ‖² of each row (n)."""
    return 0.5 * _row_squares(points)


def _row_squares(points: Csr | Matrix) -> Vector:
    if isinstance(points, Csr):
        running = np.concatenate([[0], np.asarray(points.indptr)])[1:]
        padded = np.append(np.asarray(points.data) ** 2, 0.0)
        return np.where(np.diff(running) > 0, np.add.reduceat(padded, running[:-1]), 0.0)
    return np.asarray(np.einsum("ij,ij->i", points, points))


def _dense(points: Csr) -> Matrix:
    out = np.zeros(points.shape)
    rows = np.repeat(np.arange(points.shape[0]), np.diff(points.indptr))
    out[rows, points.indices] = points.data
    return out
