"""Rows of a softmax matrix P = rowsoftmax(Q Kᵀ), made a block at a time and never kept.

A block's rows go into arrays of n rows, at places of its own: there is nothing to reduce, so the bits do not
depend on the number of threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import count, pairwise
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401  its BLAS must be loaded before the limit below
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from newtond.engine.kernels import exp, kernel
from newtond.engine.state import Matrix

BLOCK_BYTES = 1 << 21
LEAST_ROWS = 16

threadpool_limits(1)

Work = Callable[[slice, slice, Matrix], None]
"""Takes the rows of a block, the columns it can see, and P there (a buffer to be overwritten at will)."""


@kernel
def softmax_rows(scores: Matrix, seen: NDArray[np.int64]) -> None:
    """Replace row i by the softmax of its first seen[i] entries, and the others by 0."""
    for i in range(scores.shape[0]):
        row = scores[i, : seen[i]]
        largest = -np.inf
        for j in range(row.shape[0]):
            largest = max(largest, row[j])
        for j in range(row.shape[0]):
            row[j] = exp(row[j] - largest)
        total = 0.0
        for j in range(row.shape[0]):
            total += row[j]
        share = 1.0 / total
        for j in range(row.shape[0]):
            row[j] *= share
        scores[i, seen[i] :] = 0.0


class Scores:
    """P for keys K (s, r), any queries Q (n, r); ``causal`` lets row i see columns 0 … places[i] only.

    ``places`` (n), ascending, says which of all queries these are.
    """

    def __init__(self, keys: NDArray[Any], places: NDArray[np.int64], *, causal: bool, threads: int) -> None:
        self.keys, self.places, self.causal = keys, places, causal
        self.threads, rows = threads, len(places)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._seen = places + 1 if causal else np.full(rows, len(keys))
        height = max(LEAST_ROWS, BLOCK_BYTES // (8 * len(keys)))
        pieces = -(-rows // height)
        edges = [rows * k // pieces for k in range(pieces + 1)]
        self.blocks = [slice(first, last) for first, last in pairwise(edges)]

    def of_rows(self, rows: NDArray[np.int64]) -> "Scores":
        """Return P for some of the queries alone, their row numbers ascending."""
        return Scores(self.keys, self.places[rows], causal=self.causal, threads=self.threads)

    @cached_property
    def single(self) -> "Scores":
        """P of keys in single precision, for queries in it."""
        return Scores(self.keys.astype(np.float32), self.places, causal=self.causal, threads=self.threads)

    def each(self, queries: Matrix, work: Work, rows: slice | None = None) -> None:
        """Call ``work`` once a block of P (of the blocks within ``rows``), from any of the threads."""
        blocks = self.blocks if rows is None else self._within(rows)

        def one(block: slice) -> None:
            seen = slice(0, int(self._seen[block][-1]))
            work(block, seen, self._probabilities(queries, block, seen))

        self._drain(one, blocks)

    def _within(self, rows: slice) -> list[slice]:
        return [block for block in self.blocks if rows.start <= block.start < rows.stop]

    def _probabilities(self, queries: Matrix, block: slice, seen: slice) -> Matrix:
        scores = queries[block] @ self.keys[seen].T
        softmax_rows(scores, self._seen[block])
        return scores

    def product(self, queries: Matrix, values: Matrix | None) -> Matrix:
        """Return P values (n, m); P itself (n, s) where there are none."""
        out = np.zeros((len(self.places), len(self.keys) if values is None else values.shape[1]))

        def one(block: slice, seen: slice, P: Matrix) -> None:
            if values is None:
                out[block, seen] = P
            else:
                out[block] = P @ values[seen]

        self.each(queries, one)
        return out

    def sample(self, queries: Matrix, rows: NDArray[np.int64]) -> Matrix:
        """Return the given rows of P, (len(rows), s)."""
        scores = queries[rows] @ self.keys.T
        softmax_rows(scores, self._seen[rows])
        return scores

    def groups(self, most_rows: int) -> list[slice]:
        """Return runs of whole blocks of at most ``most_rows`` rows (or one block), in order."""
        groups: list[slice] = []
        for block in self.blocks:
            if groups and block.stop - groups[-1].start <= most_rows:
                groups[-1] = slice(groups[-1].start, block.stop)
            else:
                groups.append(block)
        return groups

    def _drain(self, one: Callable[[slice], None], blocks: list[slice]) -> None:
        if self._pool is None or len(blocks) == 1:
            for block in blocks:
                one(block)
            return
        counter = count()

        def drain() -> None:
            while (k := next(counter)) < len(blocks):
                one(blocks[k])

        for future in [self._pool.submit(drain) for _ in range(min(self.threads, len(blocks)))]:
            future.result()
