"""The design matrix as the certificate reads it: plain NumPy and SciPy, a chunk of rows at a time.

Every product states how many terms its longest sum has (``terms``), which is what the rounding bounds need.
"""

import math
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from newtond.engine.state import Csr, Matrix, Vector

CHUNK_ENTRIES = 1 << 22
MIN_CHUNK_ROWS = 1 << 15
FINE_CHUNK_ROWS = 1 << 8
FEWEST_SPARSE, SPARSE_RATIO = 512, 8
DENSIFY_RATIO = 64
"""A sparse chunk is multiplied densely where that costs at most this many times the flops: BLAS is fast."""

Chunk = tuple[slice, "sp.csr_array | Matrix"]


class Rows:
    """Ã = [A, 1] or A, (n, p); the column of ones is never stored."""

    def __init__(self, A: Csr | NDArray[np.float64], intercept: bool) -> None:
        self._a = A
        self.intercept = intercept
        self.n, self.d = int(A.shape[0]), int(A.shape[1])
        self.p = self.d + intercept
        per_row = np.diff(A.indptr) if isinstance(A, Csr) else np.full(1, self.d)
        self.widest: int = int(per_row.max(initial=0)) + intercept
        self._squares: float = float(np.mean(np.square(per_row, dtype=np.float64))) if per_row.size else 0.0
        self._dense = not isinstance(A, Csr) or self.d**2 <= DENSIFY_RATIO * self._squares
        fitting = CHUNK_ENTRIES // max(self.d if self._dense else self.widest, 1)
        self._step: int = max(1, min(max(MIN_CHUNK_ROWS, math.isqrt(self.n)), fitting))

        self._fine = min(self._step, max(FINE_CHUNK_ROWS, math.isqrt(self.n)))

    @property
    def terms(self) -> int:
        """The longest chain of additions in a Gram: within a chunk, then over the chunks."""
        return min(self._step, self.n) + -(-self.n // self._step)

    @property
    def fine_terms(self) -> int:
        """As ``terms``, of ``transpose``: about 2√n."""
        return min(self._fine, self.n) + -(-self.n // self._fine)

    @property
    def gram_flops(self) -> float:
        """What one ``gram`` costs, in multiplications of a dense product."""
        dense = float(self.d) ** 2
        return self.n * (min(DENSIFY_RATIO * self._squares, dense) if isinstance(self._a, Csr) else dense)

    def chunks(self, step: int | None = None) -> Iterator[Chunk]:
        """Yield (rows, the rows of A), in order."""
        step = step or self._step
        for low in range(0, self.n, step):
            yield (rows := slice(low, min(low + step, self.n))), self.take(rows)

    def take(self, rows: slice) -> sp.csr_array | Matrix:
        """Return these rows of A."""
        if not isinstance(self._a, Csr):
            return np.asarray(self._a[rows])
        first, last = self._a.indptr[rows.start], self._a.indptr[rows.stop]
        parts = (
            self._a.data[first:last],
            self._a.indices[first:last],
            self._a.indptr[rows.start : rows.stop + 1] - first,
        )
        return sp.csr_array(parts, shape=(rows.stop - rows.start, self.d), copy=False)

    def predictor(self, y: Vector) -> Vector:
        """Return Ã y, (n,), or (n, k) for k columns."""
        z = np.empty((self.n, *y.shape[1:]))
        for rows, block in self.chunks():
            z[rows] = block @ y[: self.d]
        return z + y[self.d] if self.intercept else z

    def absolute_predictor(self, y: Vector) -> Vector:
        """Return |Ã| y, (n,)."""
        z = np.empty(self.n)
        for rows, block in self.chunks():
            z[rows] = _absolute(block) @ y[: self.d]
        return z + y[self.d] if self.intercept else z

    def transpose(self, g: Vector) -> Vector:
        """Return Ãᵀ g, (p,), in small chunks: its rounding enters every bound."""
        total = np.zeros(self.p)
        for low in range(0, self.n, self._fine):
            rows = slice(low, min(low + self._fine, self.n))
            total[: self.d] += self._share(rows, g[rows])
            if self.intercept:
                total[self.d] += np.sum(g[rows])
        return total

    def _share(self, rows: slice, g: Vector) -> Vector:
        """Return what these rows add to Aᵀ g, (d,); a sparse matrix made of few rows costs more than its product."""
        if not isinstance(self._a, Csr):
            return np.asarray(self._a[rows].T @ g)
        indptr = self._a.indptr[rows.start : rows.stop + 1]
        entries = slice(indptr[0], indptr[-1])
        terms = self._a.data[entries] * np.repeat(g, np.diff(indptr))
        return np.asarray(np.bincount(self._a.indices[entries], terms, minlength=self.d), np.float64)

    def absolute_transpose(self, g: Vector) -> Vector:
        """Return |Ã|ᵀ g, (p,)."""
        total = np.zeros(self.p)
        for rows, block in self.chunks():
            total[: self.d] += _absolute(block).T @ g[rows]
            if self.intercept:
                total[self.d] += np.sum(g[rows])
        return total

    def norms(self, metric: Vector) -> Vector:
        """Return ‖diag(metric)⁻¹ ãᵢ‖, (n,)."""
        inverse = np.square(1.0 / metric)
        squares = np.full(self.n, inverse[self.d] if self.intercept else 0.0)
        for rows, block in self.chunks():
            squares[rows] += _entry_squares(block) @ inverse[: self.d]
        return np.asarray(np.sqrt(squares))

    def column_squares(self, weights: Vector) -> Vector:
        """Return Σᵢ wᵢ ãᵢⱼ², (p,)."""
        total = np.zeros(self.p)
        for rows, block in self.chunks():
            total[: self.d] += _entry_squares(block).T @ weights[rows]
            if self.intercept:
                total[self.d] += np.sum(weights[rows])
        return total

    def gram(self, weights: Vector) -> Matrix:
        """Return Ãᵀ diag(w) Ã, (p, p)."""
        total = np.zeros((self.p, self.p), order="F")
        for rows, block in self.chunks():
            w = weights[rows]
            self._add_gram(total, block, w)
            if self.intercept:
                border = block.T @ w
                total[: self.d, self.d] += border
                total[self.d, : self.d] += border
                total[self.d, self.d] += np.sum(w)
        return total

    def thrifty_gram(self, weights: Vector) -> "Matrix | sp.csr_array":
        """Return ``gram``, as a sparse matrix where few pairs of many columns meet in a row."""
        if self._dense or self.p < FEWEST_SPARSE:
            return self.gram(weights)
        body = sp.csr_array((self.d, self.d))
        for rows, block in self.chunks():
            body = body + block.T @ _weighted(sp.csr_array(block), weights[rows])
            if body.nnz > self.p**2 / SPARSE_RATIO:
                return self.gram(weights)
        if not self.intercept:
            return body
        border = np.zeros(self.p)
        for rows, block in self.chunks():
            border[: self.d] += block.T @ weights[rows]
            border[self.d] += np.sum(weights[rows])
        column = sp.csr_array(border[: self.d, None])
        return sp.csr_array(sp.vstack([sp.hstack([body, column]), sp.csr_array(border[None])]))

    def _add_gram(self, total: Matrix, block: sp.csr_array | Matrix, w: Vector) -> None:
        if isinstance(block, np.ndarray):
            total[: self.d, : self.d] += block.T @ (w[:, None] * block)
        elif self._dense:
            self._add_gram(total, block.toarray(), w)
        else:
            product = (block.T @ _weighted(block, w)).tocoo()
            total[product.coords[0], product.coords[1]] += product.data

    def image_norms(self, N: Matrix) -> tuple[Vector, Vector]:
        """Return the largest entry and the sum of squares of each column of Ã N, for N (p, k)."""
        largest, squares = np.zeros(N.shape[1]), np.zeros(N.shape[1])
        for _, block in self.chunks():
            image = block @ N[: self.d] + (N[self.d] if self.intercept else 0.0)
            largest = np.maximum(largest, np.max(np.abs(image), axis=0, initial=0.0))
            squares += np.sum(np.square(image), axis=0)
        return largest, squares

    def integral(self, columns: NDArray[np.intp]) -> bool:
        """Return whether all entries of these columns are integers below 2³¹, so that sums are exact."""
        return all(_integral(block[:, columns]) for _, block in self.chunks())


def _weighted(block: sp.csr_array, w: Vector) -> sp.csr_array:
    """Return diag(w) times the block."""
    data = block.data * np.repeat(w, np.diff(block.indptr))
    return sp.csr_array((data, block.indices, block.indptr), block.shape)


def _absolute(block: sp.csr_array | Matrix) -> sp.csr_array | Matrix:
    return np.abs(block) if isinstance(block, np.ndarray) else sp.csr_array(abs(block))


def _entry_squares(block: sp.csr_array | Matrix) -> sp.csr_array | Matrix:
    return np.square(block) if isinstance(block, np.ndarray) else block.power(2)


def _integral(block: sp.csr_array | Matrix) -> bool:
    entries = block.data if isinstance(block, sp.csr_array) else block
    return bool(np.all(entries == np.rint(entries)) and np.all(np.abs(entries) < 2.0**31))
