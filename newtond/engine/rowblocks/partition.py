"""Cut a matrix into row blocks by its shape only, so that sums over blocks repeat bit for bit."""

from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from newtond.engine.block import DenseBlock, RowBlock, SparseBlock
from newtond.engine.state import Csr, Matrix

Scalar = TypeVar("Scalar", bound=np.generic)
MOST_BLOCKS = 64
SPARSE_ROWS = 4096
DENSE_BYTES = 1 << 20
PARTIAL_ENTRIES = 1 << 23


def partition(matrix: Csr | Matrix) -> tuple[RowBlock, ...]:
    """Return the row blocks of a matrix (n, d); they share its arrays, in memory or memory-mapped.

    A sparse matrix has at most 64 blocks, fewer where 64 partial gradients of d entries would not stay small;
    a dense one has blocks of about a megabyte, which stay in the cache between the two products of a sweep.
    """
    n, d = matrix.shape
    if isinstance(matrix, Csr):
        count = max(1, min(MOST_BLOCKS, -(-n // SPARSE_ROWS), PARTIAL_ENTRIES // d))
        indices = frozen(matrix.indices).view(np.uint32)
        shared = Csr(frozen(matrix.indptr), indices, frozen(matrix.data), matrix.shape)
        return tuple(SparseBlock(shared, first, last) for first, last in _cuts(n, count))
    rows = max(16, DENSE_BYTES // (8 * d))
    array = frozen(matrix)
    return tuple(DenseBlock(array, first, last) for first, last in _cuts(n, -(-n // rows)))


def frozen(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return a read-only plain view: memory and memory map then meet the same compiled kernels."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _cuts(n: int, count: int) -> list[tuple[int, int]]:
    edges = [n * k // count for k in range(count + 1)]
    return list(pairwise(edges))
