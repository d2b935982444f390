"""What is minimised: F(x) = f(A x) + ½ (x − c)ᵀ diag(P) (x − c), and its expansion at a point.

A loss is a function of the linear predictor z = A x and of nothing else. ``Separable`` is a loss given by
its pointwise form once; value, expansion and the fused sweep over A are all made from it. ``Grouped`` is a
loss whose rows are coupled within groups, given by its kernels a group.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from newtond.engine.block import RowTerms
from newtond.engine.curvature import Coupling, Curvature, DiagonalCurvature, GroupedCurvature
from newtond.engine.design import DesignMatrix
from newtond.engine.group_kernels import GroupKernels
from newtond.engine.groups import Groups
from newtond.engine.kernels import PointwiseKernels
from newtond.engine.rowblocks.partition import frozen
from newtond.engine.state import Measured, Share, Vector


@dataclass(frozen=True)
class Expansion:
    """f(z + δ) ≈ value + gradientᵀδ + ½ δᵀBδ, all of z; B and its positive model are the curvature."""

    value: float
    gradient: Vector
    curvature: Curvature


@dataclass(frozen=True)
class PointwiseExpansion(Expansion):
    """The expansion of a separable loss."""

    curvature: DiagonalCurvature

    @property
    def weights(self) -> Vector:
        return self.curvature.weights

    @property
    def model(self) -> Vector:
        return self.curvature.model


class Loss(Protocol):
    """A function of the predictor z (n)."""

    @property
    def reach(self) -> float:
        """The largest change of any zᵢ in one step for which the quadratic model is trusted."""

    @property
    def fused(self) -> "tuple[PointwiseKernels, RowTerms] | None":
        """What one sweep over A evaluates it from, where it is separable."""

    @property
    def coupled(self) -> int:
        """How many groups of rows it couples: a correction of rank two each to AᵀDA; 0 where separable."""

    def value(self, z: Vector) -> float: ...

    def along(self, z: Vector, direction: Vector, step: float) -> float: ...

    def expand(self, z: Vector) -> Expansion: ...


class Separable:
    """f(z) = Σ vᵢ φ(zᵢ; bᵢ) + ½ Σ wᵢ² (zᵢ − z̄ᵢ)²; v, w² and z̄ may hold one entry for all."""

    def __init__(
        self,
        kernels: PointwiseKernels,
        target: Vector,
        *,
        scale: Vector,
        omega: Vector,
        offset: Vector,
        reach: float = np.inf,
    ) -> None:
        self.kernels, self.reach = kernels, reach
        self.terms = (frozen(target), frozen(scale), frozen(omega), frozen(offset))

    @property
    def fused(self) -> tuple[PointwiseKernels, RowTerms]:
        return self.kernels, self.terms

    @property
    def coupled(self) -> int:
        return 0

    def value(self, z: Vector) -> float:
        """Return f(z)."""
        return self.along(z, z, 0.0)

    def along(self, z: Vector, direction: Vector, step: float) -> float:
        """Return f(z + step · direction)."""
        return self.kernels.along(z, direction, step, *self.terms)

    @property
    def of_data(self) -> "Separable":
        """The loss without its regulariser."""
        target, scale, _, _ = self.terms
        nothing = np.zeros(1)
        return Separable(self.kernels, target, scale=scale, omega=nothing, offset=nothing, reach=self.reach)

    def expand(self, z: Vector) -> PointwiseExpansion:
        """Return value, gradient and curvature at z."""
        gradient, weights, model = (np.empty_like(z) for _ in range(3))
        value = self.kernels.expand(z, *self.terms, gradient, weights, model)
        return PointwiseExpansion(value, gradient, DiagonalCurvature(weights, model))


Parallel = Callable[[Callable[[int], Any], int], list[Any]]
"""Return work(0) … work(size − 1), on however many threads: ``DesignMatrix.map``."""


class Grouped:
    """f(z) = Σ over groups of ½ Σ vᵢ rᵢ(z)² + ½ Σ wᵢ² (zᵢ − z̄ᵢ)²; v, w² and z̄ may hold one entry for all."""

    fused = None

    def __init__(
        self,
        kernels: GroupKernels,
        groups: Groups,
        target: Vector,
        *,
        scale: Vector,
        omega: Vector,
        offset: Vector,
        reach: float,
        parallel: Parallel,
    ) -> None:
        self.kernels, self.groups, self.reach, self.parallel = kernels, groups, reach, parallel
        self.target, self.omega, self.offset = frozen(target), omega, offset
        self.scale = frozen(np.ascontiguousarray(np.broadcast_to(scale, len(target))))

    @property
    def coupled(self) -> int:
        return self.groups.count

    @property
    def of_data(self) -> "Grouped":
        """The loss without its regulariser, and without what its kernels add to the data's."""
        return Grouped(
            self.kernels.of_data or self.kernels,
            self.groups,
            self.target,
            scale=self.scale,
            omega=np.zeros(1),
            offset=np.zeros(1),
            reach=self.reach,
            parallel=self.parallel,
        )

    def value(self, z: Vector) -> float:
        """Return f(z)."""
        return self.along(z, z, 0.0)

    def along(self, z: Vector, direction: Vector, step: float) -> float:
        """Return f(z + step · direction)."""
        parts = self._each(
            lambda edges: self.kernels.along(z, direction, step, self.target, self.scale, edges)
        )
        if not self.omega.any():
            return sum(parts)
        away = z + step * direction - self.offset
        return sum(parts) + 0.5 * float(np.sum(self.omega * away * away))

    def expand(self, z: Vector) -> Expansion:
        """Return value, gradient and curvature at z."""
        gradient, d, m, k, left, a, h, q = filled = [np.empty_like(z) for _ in range(8)]
        parts = self._each(lambda edges: self.kernels.expand(z, self.target, self.scale, edges, *filled))
        value = sum(parts)
        if self.omega.any():
            away = z - self.offset
            value += 0.5 * float(np.sum(self.omega * away * away))
            gradient += self.omega * away
            h += self.omega
        bends, coupling = self.kernels.bends or bool(self.omega.any()), Coupling(self.groups, k, left, a)
        return Expansion(value, gradient, GroupedCurvature(coupling, d, m, h, q, self.omega, bends))

    def fit(self, z: Vector) -> tuple[Vector, Vector]:
        """Return what is predicted at z and what is left over, r (n)."""
        fitted, residual = np.empty_like(z), np.empty_like(z)
        self._each(lambda edges: self.kernels.fit(z, self.target, edges, fitted, residual))
        return fitted, residual

    def _each(self, work: Callable[[Any], Any]) -> list[Any]:
        """Return work(edges) of every chunk of groups, in their order."""
        edges, chunks = self.groups.edges, self.groups.chunks
        return self.parallel(lambda k: work(edges[chunks[k][0] : chunks[k][1] + 1]), len(chunks))


@dataclass(frozen=True, slots=True)
class Penalty:
    """½ Σ ridgeⱼ (xⱼ − centreⱼ)², ridge and centre of the width of x."""

    ridge: Vector
    centre: Vector

    def value(self, x: Vector) -> float:
        away = x - self.centre
        return 0.5 * float(away @ (self.ridge * away))

    def gradient(self, x: Vector) -> Vector:
        return self.ridge * (x - self.centre)


class AtPoint:
    """What is asked of F at a point, however much of it is known."""

    __slots__ = ()
    x: Vector
    value: float
    gradient: Vector
    shares: Sequence[Share]

    @property
    def measured(self) -> Measured:
        return Measured(self.x, self.shares)

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.value) and np.isfinite(self.gradient).all())


@dataclass(frozen=True, slots=True)
class Slope(AtPoint):
    """F at x, its exact gradient (width) and its shares; ``positive`` where no row has negative curvature."""

    x: Vector
    value: float
    gradient: Vector
    positive: bool
    shares: Sequence[Share]


@dataclass(frozen=True, slots=True)
class Evaluation(AtPoint):
    """F at x: value, exact gradient (width), predictor z and curvature (n), and the gradient's shares.

    ``squares`` is diag(Aᵀ diag(weights) A) (width), or None where it did not come with the pass.
    """

    x: Vector
    value: float
    gradient: Vector
    predictor: Vector
    curvature: Curvature
    shares: Sequence[Share]
    squares: Vector | None = None

    @property
    def slope(self) -> Slope:
        """The same without what has an entry a row."""
        return Slope(self.x, self.value, self.gradient, self.curvature.positive, self.shares)


@dataclass(frozen=True, slots=True)
class Objective:
    """F(x) = f(A x) + penalty(x)."""

    design: DesignMatrix
    loss: Loss
    penalty: Penalty

    def expand(self, x: Vector, squared: bool = False) -> Evaluation:
        """Return F at x with its exact gradient and its curvature: one pass over A, or two of a grouped loss.

        ``squared``: with the diagonal of AᵀDA, too, where the loss is separable.
        """
        value, shares, predictor, curvature, squares = self._loss(x, squared)
        gradient = self.design.gathered(shares) + self.penalty.gradient(x)
        return Evaluation(x, value + self.penalty.value(x), gradient, predictor, curvature, shares, squares)

    def slope(self, x: Vector) -> Slope:
        """Return F at x and its exact gradient: one pass over A, which writes nothing of length n."""
        if self.loss.fused is None:
            return self.expand(x).slope
        value, shares, least = self.design.slope(*self.loss.fused, x)
        gradient = self.design.gathered(shares) + self.penalty.gradient(x)
        return Slope(x, value + self.penalty.value(x), gradient, least >= 0.0, shares)

    def _loss(self, x: Vector, squared: bool) -> tuple[float, list[Share], Vector, Curvature, Vector | None]:
        if self.loss.fused is not None:
            found = self.design.sweep(*self.loss.fused, x, None, squared)
            curvature = DiagonalCurvature(found.weights, found.model)
            return found.value, found.shares, found.predictor, curvature, found.squares
        predictor = self.design.matvec(x)
        here = self.loss.expand(predictor)
        return here.value, self.design.shares(here.gradient), predictor, here.curvature, None

    def shares(self, x: Vector, blocks: Sequence[int]) -> list[Share]:
        """Return the shares of these row blocks in the gradient of the loss at x, with the bits of ``expand``."""
        if self.loss.fused is not None:
            return self.design.sweep(*self.loss.fused, x, blocks).shares
        return self.design.shares(self.loss.expand(self.design.matvec(x)).gradient, blocks)

    def along(self, here: Evaluation, direction: Vector, reach: Vector, step: float) -> float:
        """Return F(x + step · direction), ``reach`` = A direction, without touching A."""
        return self.loss.along(here.predictor, reach, step) + self.penalty.value(here.x + step * direction)


@dataclass(frozen=True, slots=True)
class RowGradients:
    """The gradient of a loss, row block by row block, at any x."""

    objective: Objective

    @property
    def count(self) -> int:
        """How many row blocks there are; it depends on the shape of A alone."""
        return len(self.objective.design.blocks)

    def rows(self, block: int) -> tuple[int, int]:
        """Return the first row of a block and how many rows it has."""
        found = self.objective.design.blocks[block]
        return found.first, found.rows

    def at(self, x: Vector, blocks: Sequence[int] | None = None) -> list[Share]:
        """Return the shares of these row blocks (or all) at x: one pass over their rows, two of coupled rows."""
        return self.objective.shares(x, range(self.count) if blocks is None else blocks)
