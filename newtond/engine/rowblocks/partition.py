"""Cut a matrix into row blocks; the cuts depend on its shape only, so that sums over blocks repeat bit for bit."""

import numpy as np

from newtond.engine.block import DenseBlock, RowBlock, SparseBlock
from newtond.engine.state import Csr, Matrix, Vector

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
        shared = Csr(
            frozen(matrix.indptr),
            frozen(matrix.indices).view(np.uint32),  # type: ignore[arg-type]
            frozen(matrix.data),
            matrix.shape,
        )
        return tuple(SparseBlock(shared, first, last) for first, last in _cuts(n, count))
    rows = max(16, DENSE_BYTES // (8 * d))
    array = frozen(matrix)
    return tuple(DenseBlock(array, first, last) for first, last in _cuts(n, -(-n // rows)))


def frozen(array: Vector) -> Vector:
    """Return a read-only view of plain array type: memory and memory map then meet the same compiled kernels."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _cuts(n: int, count: int) -> list[tuple[int, int]]:
    edges = [n * k // count for k in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))
