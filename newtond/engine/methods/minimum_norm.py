"""The null space of a rank-deficient design, and the minimiser of least norm among those it makes equal.

One-hot tables are always rank deficient. A pivoted Cholesky factorisation of the scaled AᵀA proposes null
vectors; they count as null only where ‖A v‖ ≤ 1e-11 ‖A‖, measured on A itself, since the Gram alone cannot
tell a singular value of 1e-8 from zero.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lstsq, solve_triangular
from scipy.linalg.lapack import dpstrf

from newtond.engine.design import Arrow, Design, DesignMatrix
from newtond.engine.hessians.conjugate_gradients import conjugate_gradients
from newtond.engine.hessians.dense import ROUNDING
from newtond.engine.state import Matrix, Vector

LARGEST = 6000
NULL = 1e-11
PUT_BACK, MOST_PUT_BACK = 1e-3, 100


@dataclass(frozen=True, slots=True)
class NullSpace:
    """Null vectors as columns (width, nullity); ``known`` False where d is too large to factorise."""

    basis: Matrix
    known: bool

    @property
    def nullity(self) -> int:
        return int(self.basis.shape[1])

    def least_norm(self, design: Design, used: Vector, x: Vector) -> Vector:
        """Return the x + N t whose entries (an intercept's not counted) have least norm.

        What rounding in N moves A x by, in the rows where ``used`` (n) is 1, is put back by conjugate gradients
        on their normal equations, from 0, which never leave the row space. The other rows are free to move.
        """
        if self.nullity == 0:
            return x
        body = slice(0, design.columns)
        shift = lstsq(self.basis[body], x[body])[0]
        least: Vector = x - self.basis @ shift
        moved = used * (design.matvec(x) - design.matvec(least))
        back = conjugate_gradients(
            lambda p: design.normal(p, used), design.rmatvec(moved), lambda r: r, PUT_BACK, MOST_PUT_BACK
        )
        return least + back.vector


def null_space(design: Design, used: Vector) -> NullSpace:
    """Return the null space of the rows of A where ``used`` (n) is 1 rather than 0. Cost: a Gram and d³/3.

    Mutually exclusive columns are eliminated first, so that the cost is that of what is left (`hessians.arrow`).
    """
    arrow = _arrow(design, used)
    if len(arrow.tail) > LARGEST:
        return NullSpace(np.empty((design.width, 0)), False)
    blocks, norms, scale = _scaled(design, used, arrow)

    def image(vectors: Matrix) -> Matrix:
        columns = [design.matvec(scale * column) * used for column in vectors.T]
        return np.column_stack(columns)

    proposed = _proposed(arrow, *blocks, lambda v: _back(design, scale, image(v)))
    if proposed.shape[1] == 0:
        return NullSpace(proposed, True)
    images = image(proposed)
    squares, mixing = np.linalg.eigh(images.T @ images)
    null = mixing[:, np.sqrt(np.maximum(squares, 0.0)) <= NULL * np.sqrt(np.count_nonzero(norms) or 1)]
    basis = np.linalg.qr(scale[:, None] * (proposed @ null))[0]
    return NullSpace(basis, True)


def _arrow(design: Design, used: Vector) -> Arrow:
    """Return the columns to eliminate first, each with data in a used row, and the others."""
    head = np.empty(0, np.int64)
    if isinstance(design, DesignMatrix) and design.arrow is not None:
        head = design.arrow.head
        head = head[design.squares(used)[head] > 0.0]
    return Arrow(head, np.setdiff1d(np.arange(design.width), head))


def _scaled(design: Design, used: Vector, arrow: Arrow) -> tuple[tuple[Matrix, Matrix], Vector, Vector]:
    """Return border and tail of the Gram of columns of unit norm, their norms, and the scale that makes them so."""
    if len(arrow.head):
        assert isinstance(design, DesignMatrix)
        head, border, tail = design.arrow_gram(used, arrow)
    else:
        head, border, tail = np.empty(0), np.empty((0, design.width)), design.gram(used)
    norms, lost = np.empty(design.width), np.sqrt(design.column_squares)
    norms[arrow.head], norms[arrow.tail] = np.sqrt(head), np.sqrt(np.diag(tail))
    scale = 1.0 / np.where(norms > 0.0, norms, np.where(lost > 0.0, lost, 1.0))
    border *= scale[arrow.head, None]
    border *= scale[arrow.tail]
    tail *= scale[arrow.tail, None]
    tail *= scale[arrow.tail]
    return (border, tail), norms, scale


def _back(design: Design, scale: Vector, images: Matrix) -> Matrix:
    columns = [scale * design.rmatvec(np.ascontiguousarray(column)) for column in images.T]
    return np.column_stack(columns)


def _proposed(arrow: Arrow, border: Matrix, tail: Matrix, normal: Callable[[Matrix], Matrix]) -> Matrix:
    """Return orthonormal vectors (d, k) that span what a pivoted Cholesky factorisation leaves of the Gram.

    The head's pivots come first, the others are chosen. ``normal`` applies the Gram through A; one step of
    refinement by it makes exact null vectors exact to rounding, whatever the condition of the rest.
    """
    width = len(arrow.head) + len(arrow.tail)
    schur = tail - border.T @ border if len(arrow.head) else tail
    factor, pivots, rank, _ = dpstrf(schur.T, lower=1, tol=64.0 * width * ROUNDING, overwrite_a=1)
    if rank == len(arrow.tail):
        return np.empty((width, 0))
    order = pivots - 1
    leading, first, rest = factor[:rank, :rank], order[:rank], order[rank:]
    vectors = np.zeros((width, len(rest)))
    vectors[arrow.tail[first]] = -solve_triangular(leading, factor[rank:, :rank].T, lower=True, trans="T")
    vectors[arrow.tail[rest], np.arange(len(rest))] = 1.0
    vectors[arrow.head] = -border @ vectors[arrow.tail]
    wrong = normal(vectors)
    of_tail = wrong[arrow.tail[first]] - border[:, first].T @ wrong[arrow.head]
    change = solve_triangular(leading, of_tail, lower=True)
    change = solve_triangular(leading, change, lower=True, trans="T")
    vectors[arrow.tail[first]] -= change
    vectors[arrow.head] -= wrong[arrow.head] - border[:, first] @ change
    return np.linalg.qr(vectors)[0]
