"""The Hessian in z of a loss, B, and a positive semidefinite model of it: products, Grams and roots of AᵀBA.

A separable loss has B = diag(weights). A loss of groups of rows has, on each group,

    B = Kᵀ diag(d) K + diag(h) − q aᵀ − a qᵀ,   K = diag(k) − l aᵀ,   model Kᵀ diag(m) K + diag(ω), m ≥ 0     (1)

so B is a diagonal and a symmetric part of rank two a group, and never formed. What methods see of either is
``Curvature``: they know of no group. ``exact`` asks for B, else for the model.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from newtond.engine import kernels
from newtond.engine.block import DenseBlock
from newtond.engine.design import PANEL, Design, DesignMatrix
from newtond.engine.group_kernels import couple, gather_coupled, spread_coupled
from newtond.engine.groups import Groups
from newtond.engine.state import Matrix, Vector

NOISE = 64.0 * float(np.finfo(np.float64).eps)
"""A diagonal entry this small against the sum of its absolute terms is taken for a null column's rounding."""


@dataclass(frozen=True, slots=True)
class ScoreGram:
    """Σ sₖsₖᵀ (width, width; upper triangle) of scores sₖ = Aᵀ∂f/∂z, a sum over what is independent, k.

    None where there are too few k; ``remark`` says what k is, where that needs saying.
    """

    matrix: Matrix | None
    remark: str = ""


class Curvature(Protocol):
    """B and its model at one point."""

    @property
    def positive(self) -> bool:
        """Whether B is seen to be positive semidefinite without a factorisation."""

    def product(self, design: DesignMatrix, p: Vector, exact: bool) -> Vector:
        """Return AᵀBA p (width)."""

    def gram(self, design: DesignMatrix, exact: bool) -> Matrix:
        """Return AᵀBA (width, width), its upper triangle filled."""

    def repeats(self, other: "Curvature", exact: bool) -> bool:
        """Whether AᵀBA is the other's bit for bit, as of a quadratic at every x."""

    def squares(self, design: DesignMatrix) -> Vector:
        """Return the diagonal of Aᵀ model A (width), positive wherever a column has data."""

    def roots(self, design: DesignMatrix) -> list[tuple[Design, Vector]]:
        """Return (K, r) with Aᵀ model A = Σ Kᵀ diag(r²) K: what is sketched."""

    def uncoupled(self, design: DesignMatrix) -> Vector | None:
        """Return ``squares`` before what is constant on a group cancels; None where nothing can."""

    def scores(self, design: DesignMatrix, gradient: Vector, squares: Vector) -> ScoreGram:
        """Return the Gram of the scores; ``gradient`` in z and ``squares`` vᵢrᵢ² are those of the data (n)."""


@dataclass(frozen=True, slots=True)
class DiagonalCurvature:
    """diag(weights), and a model diag(model) ≥ 0.

    ``weights`` may be negative, so no square root of it is ever sketched; the root is of ``model``.
    """

    weights: Vector
    model: Vector

    @property
    def positive(self) -> bool:
        return bool((self.weights >= 0.0).all())

    def product(self, design: DesignMatrix, p: Vector, exact: bool) -> Vector:
        return design.normal(p, self.weights if exact else self.model)

    def gram(self, design: DesignMatrix, exact: bool) -> Matrix:
        return design.gram(self.weights if exact else self.model)

    def repeats(self, other: Curvature, exact: bool) -> bool:
        if not isinstance(other, DiagonalCurvature):
            return False
        mine, theirs = (self.weights, other.weights) if exact else (self.model, other.model)
        return mine is theirs or np.array_equal(mine, theirs)

    def squares(self, design: DesignMatrix) -> Vector:
        return design.squares(self.model)

    def roots(self, design: DesignMatrix) -> list[tuple[Design, Vector]]:
        return [(design, np.sqrt(self.model))]

    def uncoupled(self, design: DesignMatrix) -> Vector | None:
        return None

    def scores(self, design: DesignMatrix, gradient: Vector, squares: Vector) -> ScoreGram:
        return ScoreGram(design.gram(gradient**2))


@dataclass(frozen=True)
class Coupling:
    """K = diag(k) − l aᵀ on each group; k, l and a hold an entry a row."""

    groups: Groups
    k: Vector
    left: Vector
    a: Vector

    def forward(self, y: Vector) -> Vector:
        """Return K y (n)."""
        out = np.empty_like(y)
        spread_coupled(y, self.groups.edges, self.k, self.left, self.a, out)
        return out

    def backward(self, y: Vector) -> Vector:
        """Return Kᵀ y (n)."""
        out = np.empty_like(y)
        gather_coupled(y, self.groups.edges, self.k, self.left, self.a, out)
        return out


class CoupledDesign:
    """K A, as a design matrix."""

    def __init__(self, base: DesignMatrix, coupling: Coupling) -> None:
        self.base, self.coupling, self.groups = base, coupling, coupling.groups
        self.rows, self.columns, self.width, self.sparse = base.rows, base.columns, base.width, base.sparse

    def matvec(self, x: Vector) -> Vector:
        """Return K A x (n)."""
        return self.coupling.forward(self.base.matvec(x))

    def rmatvec(self, g: Vector) -> Vector:
        """Return Aᵀ Kᵀ g (width)."""
        return self.base.rmatvec(self.coupling.backward(g))

    def normal(self, p: Vector, weights: Vector) -> Vector:
        """Return Aᵀ Kᵀ diag(weights) K A p (width)."""
        return self.rmatvec(weights * self.matvec(p))

    def gram(self, weights: Vector) -> Matrix:
        """Return Aᵀ Kᵀ diag(weights) K A (width, width), its upper triangle filled.

        Rows of a dense A are coupled before they are squared, which loses nothing to what is constant on a
        group; of a sparse A, where that would fill it, after. Columns of which only rounding is left are 0.
        """
        return self.gram_and_terms(weights)[0]

    def gram_and_terms(self, weights: Vector) -> tuple[Matrix, Vector]:
        """Return ``gram`` and the sums of the absolute terms of its diagonal, of k² |weights| alone (width)."""
        if self.sparse:
            nothing = np.zeros(1)
            out, whole = coupled_gram(self.base, self.coupling, weights, nothing, nothing)
        else:
            out, whole = self._dense_gram(weights), absolute_terms(self.base, self.coupling, weights)
        lost = np.abs(np.diag(out)) <= NOISE * whole
        out[lost] = 0.0
        out[:, lost] = 0.0
        return out, whole

    def _dense_gram(self, weights: Vector) -> Matrix:
        means = self._all_means
        out = np.zeros((self.width, self.width))
        edges = [*range(0, self.width, PANEL), self.width]

        def one(panel: int) -> None:
            low, high = edges[panel], edges[panel + 1]
            for block in self.base.blocks:
                assert isinstance(block, DenseBlock)
                X = self._coupled(block.array, np.arange(block.first, block.first + block.rows), means)
                w = weights[block.first : block.first + block.rows]
                out[low:high, low:] += (X[:, low:high] * w[:, None]).T @ X[:, low:]

        self.base.map(one, len(edges) - 1)
        return out

    def sparse_sign(self, root: Vector, rows: int, nonzeros: int, key: int) -> Matrix:
        """Return S diag(root) K A with the S of ``DesignMatrix.sparse_sign``."""
        out = self.base.sparse_sign(root * self.coupling.k, rows, nonzeros, key)
        segments = min(nonzeros, rows)
        height = len(out) // segments
        left = root * self.coupling.left
        for low, high in self.groups.panels(self.width):
            means = self._means(low, high)
            first, last = self.groups.edges[low], self.groups.edges[high]

            def one(
                segment: int, part: slice = slice(first, last), means: Matrix = means, low: int = low
            ) -> None:
                of_row, root = self.groups.of_row[part], left[part]
                scale, first = 1.0 / np.sqrt(segments), int(part.start)
                kernels.group_segment(
                    means, low, of_row, root, first, np.uint64(key), segment, segments, height, scale, out
                )

            self.base.map(one, segments)
        return out

    def take(self, rows: NDArray[np.int64]) -> Matrix:
        """Return the rows of the given numbers of K A, in that order (len(rows), width)."""
        out = self.base.take(rows)
        out *= self.coupling.k[rows, None]
        out -= self.coupling.left[rows, None] * self._all_means[self.groups.of_row[rows]]
        return out

    @property
    def column_squares(self) -> Vector:
        """The squared norms of the columns of A itself (width)."""
        return self.base.column_squares

    @cached_property
    def _all_means(self) -> Matrix:
        return self._means(0, self.groups.count)

    def _means(self, low: int, high: int) -> Matrix:
        return np.asarray(self.base.group_sums(self.coupling.a[None], self.groups, low, high)[0])

    def _coupled(self, array: Matrix, rows: NDArray[np.int64], means: Matrix) -> Matrix:
        X = np.empty((len(rows), self.width))
        X[:, : self.columns] = array
        X[:, self.columns :] = 1.0
        X *= self.coupling.k[rows, None]
        X -= self.coupling.left[rows, None] * means[self.groups.of_row[rows]]
        return X


@dataclass(frozen=True)
class GroupedCurvature:
    """(1): ``bends`` False where h = ω and q = 0; ``ridge`` is ω, one entry or n."""

    coupling: Coupling
    d: Vector
    m: Vector
    h: Vector
    q: Vector
    ridge: Vector
    bends: bool

    @property
    def positive(self) -> bool:
        return bool((self.d >= 0.0).all()) and (not self.bends or self._h_alone)

    @cached_property
    def _h_alone(self) -> bool:
        return bool((self.h >= 0.0).all()) and not self.q.any()

    @property
    def _regularised(self) -> bool:
        return bool((self.ridge > 0.0).any())

    def apply(self, y: Vector, exact: bool = True) -> Vector:
        """Return B y (n)."""
        out = np.empty_like(y)
        K = self.coupling
        d, h, q = (self.d, self.h, self.q) if exact else (self.m, self._ridge_rows, np.zeros_like(y))
        couple(y, K.groups.edges, d, K.k, K.left, K.a, h, q, out)
        return out

    @cached_property
    def _ridge_rows(self) -> Vector:
        return np.ascontiguousarray(np.broadcast_to(self.ridge, len(self.d)))

    def product(self, design: DesignMatrix, p: Vector, exact: bool) -> Vector:
        return design.rmatvec(self.apply(design.matvec(p), exact))

    def repeats(self, other: Curvature, exact: bool) -> bool:
        return self is other

    def gram(self, design: DesignMatrix, exact: bool) -> Matrix:
        nothing, d = np.zeros(1), self.d if exact else self.m
        if exact and self.bends:
            matrix, whole = coupled_gram(design, self.coupling, d, self.h, self.q)
        elif self._regularised:
            matrix, whole = coupled_gram(design, self.coupling, d, self.ridge, nothing)
        else:
            matrix, whole = CoupledDesign(design, self.coupling).gram_and_terms(d)
        # what is null (a column constant on groups) gives a pivot of rounding, and its gradient is as small
        matrix[np.diag_indices_from(matrix)] += NOISE * whole
        return matrix

    def squares(self, design: DesignMatrix) -> Vector:
        K = self.coupling
        whole = absolute_terms(design, K, self.m)
        total = whole.copy()
        if self._regularised:
            total += design.squares(self._ridge_rows)
        pair, core = np.stack([K.a, K.k * K.left * self.m]), K.groups.sums(K.left**2 * self.m)
        for low, high in K.groups.panels(design.width):
            along_a, along_p = design.group_sums(pair, K.groups, low, high)
            total += np.einsum("ij,ij->j", core[low:high, None] * along_a - 2.0 * along_p, along_a)
        return np.where(total > NOISE * whole, total, whole)

    def roots(self, design: DesignMatrix) -> list[tuple[Design, Vector]]:
        coupled: list[tuple[Design, Vector]] = [(CoupledDesign(design, self.coupling), np.sqrt(self.m))]
        return [*coupled, (design, np.sqrt(self._ridge_rows))] if self._regularised else coupled

    def uncoupled(self, design: DesignMatrix) -> Vector | None:
        return absolute_terms(design, self.coupling, self.m)

    def scores(self, design: DesignMatrix, gradient: Vector, squares: Vector) -> ScoreGram:
        """Rows of a group share noise, so a score is that of a group; those of a single group are of its rows.

        (One group's own score is 0 at a minimum. Row i of the Jacobian of r is √(mᵢ/vᵢ) times row i of K.)
        """
        groups = self.coupling.groups
        if groups.count == 1:
            remark = "sandwich errors of one group take its rows as independent of each other"
            return ScoreGram(CoupledDesign(design, self.coupling).gram(self.m * squares), remark)
        total, telling = np.zeros((design.width, design.width)), 0
        for low, high in groups.panels(design.width):
            sums = design.group_sums(gradient[None], groups, low, high)[0]
            telling += int(np.count_nonzero(sums.any(axis=1)))
            total += sums.T @ sums
        if telling <= design.width:
            return ScoreGram(
                None, f"{telling} groups that depend on x are no more than {design.width} coefficients"
            )
        return ScoreGram(total)


def absolute_terms(design: DesignMatrix, coupling: Coupling, weights: Vector) -> Vector:
    """Return diag(Aᵀ diag(k² |weights|) A) (width), against which rounding is judged."""
    return design.squares(coupling.k**2 * np.abs(weights))


def coupled_gram(
    design: DesignMatrix, coupling: Coupling, d: Vector, h: Vector, q: Vector
) -> tuple[Matrix, Vector]:
    """Return Aᵀ(Kᵀ diag(d) K + diag(h) − q aᵀ − a qᵀ)A by one Gram and a correction of rank two a group.

    Also ``absolute_terms`` of d, which are the diagonal of that Gram where d ≥ 0 and h = 0. Costs the Gram of
    k²d + h, one pass for the group sums and 2 to 4 G width² products; upper triangle filled.
    """
    k, left, a, groups = coupling.k, coupling.left, coupling.a, coupling.groups
    out = design.gram(k * k * d + h)
    plain = not h.any() and bool((d >= 0.0).all())
    whole = np.diag(out).copy() if plain else absolute_terms(design, coupling, d)
    pair, core = np.stack([a, k * left * d + q]), groups.sums(left * left * d)
    edges = [*range(0, design.width, PANEL), design.width]
    for low, high in groups.panels(design.width):
        along_a, other = design.group_sums(pair, groups, low, high)
        other = 0.5 * core[low:high, None] * along_a - other

        def one(panel: int, P: Matrix = along_a, E: Matrix = other) -> None:
            here, after = slice(edges[panel], edges[panel + 1]), slice(edges[panel + 1], None)
            square = E[:, here].T @ P[:, here]
            out[here, here] += square + square.T
            out[here, after] += E[:, here].T @ P[:, after] + P[:, here].T @ E[:, after]

        design.map(one, len(edges) - 1)
    return out, whole
