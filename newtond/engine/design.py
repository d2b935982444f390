"""The design matrix as methods see it: products, sweeps and Grams over row blocks, reduced in block order.

Block results are summed in the order of the blocks and shared results are split by output rows, so the same
matrix gives the same bits for any number of threads.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import count
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import scipy.linalg  # noqa: F401  its BLAS must be loaded before the limit below
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from newtond.engine import kernels
from newtond.engine.block import RowBlock, RowTerms, SparseBlock
from newtond.engine.groups import Groups
from newtond.engine.kernels import PointwiseKernels
from newtond.engine.rowblocks.partition import partition
from newtond.engine.state import Csr, Matrix, Prepared, Share, Vector

T = TypeVar("T")
PANEL = 256
SLICE = 16_384
FEWEST_COLUMNS, MOST_COLUMNS, DENSEST = 256, 32_768, 32
NOTHING = np.empty(0, np.int64)
GLANCE = 1024
CHUNKS = 16

threadpool_limits(1)


class Arrow(NamedTuple):
    """Columns of which no row holds two, and the others (an intercept among them), both ascending."""

    head: NDArray[np.int64]
    tail: NDArray[np.int64]


class Sweep(NamedTuple):
    """What one pass over A leaves: an entry a row of the last three vectors, ``squares`` only where asked for."""

    value: float
    shares: list[Share]
    predictor: Vector
    weights: Vector
    model: Vector
    squares: Vector | None


class Design(Protocol):
    """What sketches and null spaces ask of a matrix of ``rows`` rows, A itself or what a loss makes of it."""

    rows: int
    columns: int
    width: int
    sparse: bool

    @property
    def column_squares(self) -> Vector: ...

    def matvec(self, x: Vector) -> Vector: ...

    def rmatvec(self, g: Vector) -> Vector: ...

    def normal(self, p: Vector, weights: Vector) -> Vector: ...

    def gram(self, weights: Vector) -> Matrix: ...

    def sparse_sign(self, root: Vector, rows: int, nonzeros: int, key: int) -> Matrix: ...

    def take(self, rows: NDArray[np.int64]) -> Matrix: ...


class DesignMatrix:
    """A (n, d), with an implicit last column of ones where ``intercept``; an x has ``width`` entries."""

    def __init__(self, matrix: Csr | Matrix, *, intercept: bool = False, threads: int = 1) -> None:
        self.blocks = partition(matrix)
        self.rows, self.columns = matrix.shape
        self.intercept = intercept
        self.width = self.columns + intercept
        self.sparse = isinstance(matrix, Csr)
        self.nnz = len(matrix.data) if isinstance(matrix, Csr) else matrix.size
        self.threads = threads
        if isinstance(matrix, Csr) and matrix.prepared is not None:
            self.prepared = matrix.prepared
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def map(self, work: Callable[[int], T], size: int) -> list[T]:
        """Return work(0) … work(size − 1), each computed by one of the threads."""
        if self._pool is None or size == 1:
            return [work(k) for k in range(size)]
        results: list[T] = [None] * size  # type: ignore[list-item]
        counter = count()

        def drain() -> None:
            while (k := next(counter)) < size:
                results[k] = work(k)

        for future in [self._pool.submit(drain) for _ in range(min(self.threads, size))]:
            future.result()
        return results

    def map_rows(self, work: Callable[[slice], T]) -> list[T]:
        """Return work(rows) of slices that cover all rows and whose vectors stay in the cache, in their order."""
        starts = range(0, self.rows, SLICE)
        return self.map(lambda k: work(slice(k * SLICE, min((k + 1) * SLICE, self.rows))), len(starts))

    def _split(self, x: Vector) -> tuple[Vector, float]:
        if self.intercept:
            return np.ascontiguousarray(x[:-1]), float(x[-1])
        return x, 0.0

    def _join(self, parts: list[Vector], ones: float) -> Vector:
        total = np.zeros(self.width)
        body = total[: self.columns]
        for part in parts:
            body += part
        if self.intercept:
            total[-1] = ones
        return total

    def matvec(self, x: Vector) -> Vector:
        """Return A x (n)."""
        head, shift = self._split(x)
        out = np.empty(self.rows)

        def one(k: int) -> None:
            block = self.blocks[k]
            block.matvec(head, shift, out[block.first : block.first + block.rows])

        self.map(one, len(self.blocks))
        return out

    def rmatvec(self, g: Vector) -> Vector:
        """Return Aᵀ g (width)."""
        return self.gathered(self.shares(g))

    def shares(self, g: Vector, blocks: Sequence[int] | None = None) -> list[Share]:
        """Return what each row block adds to Aᵀ g, or each of those numbered."""
        chosen = range(len(self.blocks)) if blocks is None else blocks

        def one(k: int) -> Share:
            block = self.blocks[chosen[k]]
            part = g[block.first : block.first + block.rows]
            return block.rmatvec(part), float(part.sum())

        return self.map(one, len(chosen))

    def gathered(self, shares: Sequence[Share]) -> Vector:
        """Return the sum of every row block's share (width)."""
        return self._join([part for part, _ in shares], sum(ones for _, ones in shares))

    def normal(self, p: Vector, weights: Vector) -> Vector:
        """Return Aᵀ diag(weights) A p (width) in one pass."""
        head, shift = self._split(p)

        def one(k: int) -> tuple[Vector, float]:
            block = self.blocks[k]
            return block.normal(head, shift, weights[block.first : block.first + block.rows])

        parts = self.map(one, len(self.blocks))
        return self._join([part for part, _ in parts], sum(ones for _, ones in parts))

    def sweep(
        self,
        loss: PointwiseKernels,
        terms: RowTerms,
        x: Vector,
        blocks: Sequence[int] | None = None,
        squared: bool = False,
    ) -> Sweep:
        """Return value, shares of the gradient, predictor, weights and model (n), in one pass.

        With diag(Aᵀ diag(weights) A) where ``squared``: block by block, while a block is in the cache. Of the
        row blocks numbered alone where ``blocks`` are given; the others' rows are then not filled.
        """
        chosen = range(len(self.blocks)) if blocks is None else blocks
        head, shift = self._split(x)
        predictor, weights, model = (np.empty(self.rows) for _ in range(3))

        def one(k: int) -> tuple[float, Share, Share | None]:
            block = self.blocks[chosen[k]]
            rows = slice(block.first, block.first + block.rows)
            mine = tuple(term[rows] if term.size > 1 else term for term in terms)
            filled = predictor[rows], weights[rows], model[rows]
            value, part, slope = block.sweep(loss, head, shift, mine, *filled)  # type: ignore[arg-type]
            return value, (part, slope), self._squares(block, weights) if squared else None

        parts = self.map(one, len(chosen))
        squares = [part for *_, part in parts if part is not None]
        return Sweep(
            sum(value for value, _, _ in parts),
            [share for _, share, _ in parts],
            predictor,
            weights,
            model,
            self.gathered(squares) if squared else None,
        )

    def slope(self, loss: PointwiseKernels, terms: RowTerms, x: Vector) -> tuple[float, list[Share], float]:
        """Return value, shares of the gradient and the least second derivative of a row, in one pass."""
        head, shift = self._split(x)

        def one(k: int) -> tuple[float, Vector, float, float]:
            block = self.blocks[k]
            rows = slice(block.first, block.first + block.rows)
            mine = tuple(term[rows] if term.size > 1 else term for term in terms)
            return block.slope(loss, head, shift, mine)  # type: ignore[arg-type]

        parts = self.map(one, len(self.blocks))
        shares = [(part, total) for _, part, total, _ in parts]
        return sum(value for value, _, _, _ in parts), shares, min(least for *_, least in parts)

    def squares(self, weights: Vector) -> Vector:
        """Return diag(Aᵀ diag(weights) A) (width)."""
        return self.gathered(self.map(lambda k: self._squares(self.blocks[k], weights), len(self.blocks)))

    @staticmethod
    def _squares(block: RowBlock, weights: Vector) -> Share:
        part = weights[block.first : block.first + block.rows]
        return block.squares(part), float(part.sum())

    @cached_property
    def column_squares(self) -> Vector:
        """The squared norms of the columns (width)."""
        return self.squares(np.ones(self.rows))

    @cached_property
    def prepared(self) -> Prepared:
        """What is counted of A once; a pass over its indices, or two."""
        if not self.sparse:
            return Prepared(self.rows * np.arange(self.columns, 0, -1, dtype=np.float64), NOTHING)
        parts = self.map(self._pairs, len(self.blocks))
        products = np.asarray(np.sum(parts, axis=0, dtype=np.float64))
        return Prepared(products, self._exclusive(float(products.sum())))

    @property
    def gram_products(self) -> Vector:
        """How many products each row of a Gram's upper triangle takes (columns)."""
        return self.prepared.products

    def _pairs(self, k: int) -> NDArray[np.int64]:
        block = self.blocks[k]
        out = np.zeros(self.columns, np.int64)
        if isinstance(block, SparseBlock):
            kernels.csr_pairs(block.indptr, block.indices, out)
        return out

    def _panels(self) -> list[int]:
        if not self.sparse:  # a BLAS product's bits depend on the shapes it is given
            return [*range(0, self.columns, PANEL), self.columns]
        share = np.concatenate([[0.0], np.cumsum(self.gram_products)])
        edges = np.searchsorted(share, np.linspace(0.0, share[-1], self.threads + 1)[1:-1])
        return [0, *sorted(int(edge) for edge in edges), self.columns]

    def gram(self, weights: Vector) -> Matrix:
        """Return Aᵀ diag(weights) A (width, width), its upper triangle filled."""
        out = np.zeros((self.width, self.width))
        body = out[: self.columns, : self.columns]
        if self.sparse or self.columns > PANEL:
            self._gram_by_panels(weights, body)
        else:
            self._gram_by_rows(weights, body)
        if self.intercept:
            out[:, -1] = self.rmatvec(weights)
        return out

    def _gram_by_panels(self, weights: Vector, out: Matrix) -> None:
        edges = self._panels()

        def one(k: int) -> None:
            for block in self.blocks:
                rows = weights[block.first : block.first + block.rows]
                block.gram(rows, edges[k], edges[k + 1], out)

        self.map(one, len(edges) - 1)

    def _exclusive(self, products: float) -> NDArray[np.int64]:
        """Return columns of which no row holds two, if most are; those that meet the fewest others come first."""
        if not FEWEST_COLUMNS <= self.columns <= MOST_COLUMNS or products > DENSEST * self.nnz:
            return NOTHING
        conflicts = np.zeros((self.columns, -(-self.columns // 64)), np.uint64)
        first, *others = [block for block in self.blocks if isinstance(block, SparseBlock)]
        for rows in (first.indptr[: GLANCE + 1], first.indptr):
            kernels.csr_conflicts(rows, first.indices, conflicts)
            if _too_few(_independent(conflicts)):
                return NOTHING
        for block in others:
            kernels.csr_conflicts(block.indptr, block.indices, conflicts)
        chosen = _independent(conflicts)
        return NOTHING if _too_few(chosen) else np.flatnonzero(chosen)

    @property
    def arrow(self) -> Arrow | None:
        """Mutually exclusive columns, if so many that eliminating them is worth it, and the others."""
        head = self.prepared.exclusive
        return Arrow(head, np.setdiff1d(np.arange(self.width), head)) if len(head) else None

    def arrow_gram(self, weights: Vector, arrow: Arrow) -> tuple[Vector, Matrix, Matrix]:
        """Return the blocks of Aᵀ diag(weights) A: head's diagonal, (head, tail), (tail, tail) upper triangle."""
        place = np.empty(self.width, np.int64)
        place[arrow.head] = np.arange(len(arrow.head))
        place[arrow.tail] = -1 - np.arange(len(arrow.tail))
        head, border = np.zeros(len(arrow.head)), np.zeros((len(arrow.head), len(arrow.tail)))
        tail = np.zeros((len(arrow.tail), len(arrow.tail)))
        heads = np.linspace(0, len(arrow.head), self.threads + 1).astype(np.int64)
        tails = np.linspace(0, len(arrow.tail), self.threads + 1).astype(np.int64)

        def one(k: int) -> None:
            for block in self.blocks:
                assert isinstance(block, SparseBlock)
                part = weights[block.first : block.first + block.rows]
                given = block.indptr, block.indices, block.data, part, place
                span = heads[k], heads[k + 1], tails[k], tails[k + 1]
                kernels.csr_arrow(*given, *span, head, border, tail)

        self.map(one, self.threads)
        if self.intercept:
            sums = self.rmatvec(weights)
            border[:, -1], tail[:, -1] = sums[arrow.head], sums[arrow.tail]
        return head, border, tail

    def _gram_by_rows(self, weights: Vector, out: Matrix) -> None:
        chunks = min(len(self.blocks), CHUNKS)

        def one(k: int) -> Matrix:
            part = np.zeros_like(out)
            for block in self.blocks[len(self.blocks) * k // chunks : len(self.blocks) * (k + 1) // chunks]:
                block.gram(weights[block.first : block.first + block.rows], 0, self.columns, part)
            return part

        for part in self.map(one, chunks):
            out += part

    def sparse_sign(self, root: Vector, rows: int, nonzeros: int, key: int) -> Matrix:
        """Return S diag(root) A; S has ``nonzeros`` entries ±1/√nonzeros a column, one a segment of rows."""
        segments = min(nonzeros, rows)
        height = -(-rows // segments)
        out = np.zeros((height * segments, self.width))
        scale = 1.0 / np.sqrt(segments)

        def one(segment: int) -> None:
            for block in self.blocks:
                part = root[block.first : block.first + block.rows]
                block.sketch(part, key, segment, segments, scale, self.intercept, out)

        self.map(one, segments)
        return out

    def group_sums(self, weights: Matrix, groups: Groups, low: int, high: int) -> Matrix:
        """Return Σ weightsₛᵢ aᵢ over the rows of each of the groups low … high − 1, (s, high − low, width).

        ``weights`` are (s, n); one pass over these rows, whatever s is.
        """
        if groups.count == 1:
            return np.stack([self.rmatvec(each) for each in weights])[:, None]
        out = np.zeros((len(weights), high - low, self.width))
        first, last = groups.edges[low], groups.edges[high]
        blocks = [block for block in self.blocks if block.first < last and block.first + block.rows > first]
        cuts = np.searchsorted(groups.edges[low : high + 1], np.linspace(first, last, self.threads + 1))
        cuts[-1] = high - low

        def one(k: int) -> None:
            for block in blocks:
                block.project(weights, groups.of_row, low, (int(cuts[k]), int(cuts[k + 1])), out)

        self.map(one, self.threads)
        if self.intercept:
            out[:, :, -1] = [groups.sums(each)[low:high] for each in weights]
        return out

    def take(self, rows: NDArray[np.int64]) -> Matrix:
        """Return the rows of the given numbers, in that order, as a dense array (len(rows), width)."""
        out = np.ones((len(rows), self.width))
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        for block in self.blocks:
            low, high = np.searchsorted(ascending, [block.first, block.first + block.rows])
            if low < high:
                out[order[low:high], : self.columns] = block.take(ascending[low:high] - block.first)
        return out


def _too_few(chosen: NDArray[np.bool_]) -> bool:
    return bool(2 * np.count_nonzero(chosen) < len(chosen))


def _independent(conflicts: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return columns that never meet, those that meet the fewest others first (columns)."""
    chosen = np.zeros(len(conflicts), np.bool_)
    degree = np.bitwise_count(conflicts).sum(axis=1)
    kernels.independent(conflicts, np.argsort(degree, kind="stable"), chosen)
    return chosen
