"""A block of rows: all that a method ever asks of the design matrix, sparse or dense.

``shift`` is the coefficient of an implicit last column of ones (0 where there is none). Every product that
is summed over blocks is returned by the block and summed by `design` in a fixed order.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from newtond.engine import kernels
from newtond.engine.kernels import PointwiseKernels
from newtond.engine.state import Csr, Matrix, Vector

SQUARED = 1 << 14
"""How many entries of a dense block are squared at once: what stays in the nearest cache."""

RowTerms = tuple[Vector, Vector, Vector, Vector]
"""Target b, scale v, omega w² and offset z̄ of a block's rows; the last three may hold one entry for all."""


class RowBlock(Protocol):
    """Rows first … first + rows of the design, (rows, d)."""

    first: int
    rows: int
    columns: int

    def matvec(self, x: Vector, shift: float, out: Vector) -> None:
        """out = A x + shift."""

    def rmatvec(self, g: Vector) -> Vector:
        """Return Aᵀ g."""

    def normal(self, p: Vector, shift: float, weights: Vector) -> tuple[Vector, float]:
        """Return Aᵀ diag(weights)(A p + shift) and the sum of weights (A p + shift)."""

    def sweep(
        self,
        loss: PointwiseKernels,
        x: Vector,
        shift: float,
        terms: RowTerms,
        predictor: Vector,
        weights: Vector,
        model: Vector,
    ) -> tuple[float, Vector, float]:
        """In one pass fill predictor, weights and model; return the value, Aᵀ∇f and the sum of ∇f."""

    def slope(
        self, loss: PointwiseKernels, x: Vector, shift: float, terms: RowTerms
    ) -> tuple[float, Vector, float, float]:
        """Return, in one pass, the value, Aᵀ∇f, the sum of ∇f and the least second derivative of a row."""

    def squares(self, weights: Vector) -> Vector:
        """Return diag(Aᵀ diag(weights) A)."""

    def gram(self, weights: Vector, low: int, high: int, out: Matrix) -> None:
        """out[low:high] += the upper triangle of Aᵀ diag(weights) A in those rows."""

    def sketch(
        self, root: Vector, key: int, segment: int, segments: int, scale: float, ones: bool, out: Matrix
    ) -> None:
        """out += one segment of a sparse-sign sketch of diag(root)[A, 1]."""

    def project(
        self, weights: Matrix, of_row: NDArray[np.int64], low: int, span: tuple[int, int], out: Matrix
    ) -> None:
        """out[s, g] += weights[s, i] times row i of the design, g = of_row[i] − low in the span of groups."""

    def take(self, rows: NDArray[np.int64]) -> Matrix:
        """Return the rows of the given numbers, counted in the block, as a dense array (len(rows), d)."""


class SparseBlock:
    """A slice of a CSR matrix, which it shares.

    Kernels see unsigned positions, as column numbers: of signed ones numba asks at each use whether they count
    from the end.
    """

    __slots__ = ("columns", "data", "first", "indices", "indptr", "rows")

    def __init__(self, matrix: Csr, first: int, last: int) -> None:
        self.first, self.rows, self.columns = first, last - first, matrix.shape[1]
        self.indptr = matrix.indptr[first : last + 1].view(np.uint64)
        self.indices, self.data = matrix.indices, matrix.data

    def matvec(self, x: Vector, shift: float, out: Vector) -> None:
        kernels.csr_matvec(self.indptr, self.indices, self.data, x, shift, out)

    def rmatvec(self, g: Vector) -> Vector:
        out = np.zeros(self.columns)
        kernels.csr_rmatvec(self.indptr, self.indices, self.data, g, out)
        return out

    def normal(self, p: Vector, shift: float, weights: Vector) -> tuple[Vector, float]:
        out = np.zeros(self.columns)
        total = kernels.csr_normal(self.indptr, self.indices, self.data, p, shift, weights, out)
        return out, total

    def sweep(
        self,
        loss: PointwiseKernels,
        x: Vector,
        shift: float,
        terms: RowTerms,
        predictor: Vector,
        weights: Vector,
        model: Vector,
    ) -> tuple[float, Vector, float]:
        gradient = np.zeros(self.columns)
        value, slope = loss.csr_sweep(
            self.indptr, self.indices, self.data, x, shift, *terms, predictor, weights, model, gradient
        )
        return value, gradient, slope

    def slope(
        self, loss: PointwiseKernels, x: Vector, shift: float, terms: RowTerms
    ) -> tuple[float, Vector, float, float]:
        gradient = np.zeros(self.columns)
        value, total, least = loss.csr_slope(self.indptr, self.indices, self.data, x, shift, *terms, gradient)
        return value, gradient, total, least

    def squares(self, weights: Vector) -> Vector:
        out = np.zeros(self.columns)
        kernels.csr_squares(self.indptr, self.indices, self.data, weights, out)
        return out

    def gram(self, weights: Vector, low: int, high: int, out: Matrix) -> None:
        kernels.csr_gram(self.indptr, self.indices, self.data, weights, low, high, out)

    def sketch(
        self, root: Vector, key: int, segment: int, segments: int, scale: float, ones: bool, out: Matrix
    ) -> None:
        height = out.shape[0] // segments
        kernels.csr_segment(
            self.indptr,
            self.indices,
            self.data,
            root,
            self.first,
            np.uint64(key),
            segment,
            segments,
            height,
            scale,
            ones,
            out,
        )

    def project(
        self, weights: Matrix, of_row: NDArray[np.int64], low: int, span: tuple[int, int], out: Matrix
    ) -> None:
        given = self.first, weights, of_row, low, *span
        kernels.csr_project(self.indptr, self.indices, self.data, *given, out)

    def take(self, rows: NDArray[np.int64]) -> Matrix:
        out = np.zeros((len(rows), self.columns))
        kernels.csr_take(self.indptr, self.indices, self.data, rows, out)
        return out


class DenseBlock:
    """A slice of rows of a C-ordered array, which it shares; its products are BLAS calls."""

    __slots__ = ("array", "columns", "first", "rows")

    def __init__(self, array: Matrix, first: int, last: int) -> None:
        self.first, self.rows, self.columns = first, last - first, array.shape[1]
        self.array = array[first:last]

    def matvec(self, x: Vector, shift: float, out: Vector) -> None:
        np.dot(self.array, x, out=out)
        if shift:
            out += shift

    def rmatvec(self, g: Vector) -> Vector:
        return g @ self.array

    def normal(self, p: Vector, shift: float, weights: Vector) -> tuple[Vector, float]:
        z = self.array @ p
        z += shift
        z *= weights
        return z @ self.array, float(z.sum())

    def sweep(
        self,
        loss: PointwiseKernels,
        x: Vector,
        shift: float,
        terms: RowTerms,
        predictor: Vector,
        weights: Vector,
        model: Vector,
    ) -> tuple[float, Vector, float]:
        self.matvec(x, shift, predictor)
        slope = np.empty(self.rows)
        value = loss.expand(predictor, *terms, slope, weights, model)
        return value, slope @ self.array, float(slope.sum())

    def slope(
        self, loss: PointwiseKernels, x: Vector, shift: float, terms: RowTerms
    ) -> tuple[float, Vector, float, float]:
        predictor, slope = np.empty((2, self.rows))
        self.matvec(x, shift, predictor)
        value, least = loss.slope(predictor, *terms, slope)
        return value, slope @ self.array, float(slope.sum()), least

    def squares(self, weights: Vector) -> Vector:
        out, step = np.zeros(self.columns), max(1, SQUARED // self.columns)
        for first in range(0, self.rows, step):
            part = self.array[first : first + step]
            out += weights[first : first + step] @ (part * part)
        return out

    def gram(self, weights: Vector, low: int, high: int, out: Matrix) -> None:
        out[low:high, low:] += (self.array[:, low:high] * weights[:, None]).T @ self.array[:, low:]

    def sketch(
        self, root: Vector, key: int, segment: int, segments: int, scale: float, ones: bool, out: Matrix
    ) -> None:
        height = out.shape[0] // segments
        kernels.dense_segment(
            self.array, root, self.first, np.uint64(key), segment, segments, height, scale, ones, out
        )

    def project(
        self, weights: Matrix, of_row: NDArray[np.int64], low: int, span: tuple[int, int], out: Matrix
    ) -> None:
        kernels.dense_project(self.array, self.first, weights, of_row, low, *span, out)

    def take(self, rows: NDArray[np.int64]) -> Matrix:
        return self.array[rows]
