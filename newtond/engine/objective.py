"""What is minimised: F(x) = f(A x) + ½ (x − c)ᵀ diag(P) (x − c), and its expansion at a point.

A loss is a function of the linear predictor z = A x and of nothing else. ``Separable`` is a loss given by
its pointwise form once; value, expansion and the fused sweep over A are all made from it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from newtond.engine.design import DesignMatrix
from newtond.engine.kernels import PointwiseKernels
from newtond.engine.state import Vector


@dataclass(frozen=True, slots=True)
class Curvature:
    """The Hessian in z, diag(weights), and a positive semidefinite model of it, diag(model).

    ``weights`` may be negative, so no square root of it is ever sketched; the root is of ``model``.
    """

    weights: Vector
    model: Vector


@dataclass(frozen=True, slots=True)
class Expansion:
    """f(z + δ) ≈ value + gradientᵀδ + ½ δᵀ diag(weights) δ, all of z; ``model`` ≥ 0 as in ``Curvature``."""

    value: float
    gradient: Vector
    weights: Vector
    model: Vector


class Loss(Protocol):
    """A function of the predictor z (n)."""

    reach: float
    """The largest change of any zᵢ in one step for which the quadratic model is trusted."""

    def value(self, z: Vector) -> float: ...

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
        self.terms = (target, scale, omega, offset)

    def value(self, z: Vector) -> float:
        """Return f(z)."""
        return self.along(z, z, 0.0)

    def along(self, z: Vector, direction: Vector, step: float) -> float:
        """Return f(z + step · direction)."""
        return self.kernels.along(z, direction, step, *self.terms)

    def expand(self, z: Vector) -> Expansion:
        """Return value, gradient and curvature at z."""
        gradient, weights, model = (np.empty_like(z) for _ in range(3))
        value = self.kernels.expand(z, *self.terms, gradient, weights, model)
        return Expansion(value, gradient, weights, model)


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


@dataclass(frozen=True, slots=True)
class Evaluation:
    """F at x by one pass over A: value, exact gradient (width), predictor z and curvature (n)."""

    x: Vector
    value: float
    gradient: Vector
    predictor: Vector
    curvature: Curvature

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.value) and np.isfinite(self.gradient).all())


@dataclass(frozen=True, slots=True)
class Objective:
    """F(x) = f(A x) + penalty(x)."""

    design: DesignMatrix
    loss: Separable
    penalty: Penalty

    def expand(self, x: Vector) -> Evaluation:
        """Return F at x with its exact gradient and its curvature."""
        value, gradient, predictor, weights, model = self.design.sweep(self.loss.kernels, self.loss.terms, x)
        return Evaluation(
            x,
            value + self.penalty.value(x),
            gradient + self.penalty.gradient(x),
            predictor,
            Curvature(weights, model),
        )

    def along(self, here: Evaluation, direction: Vector, reach: Vector, step: float) -> float:
        """Return F(x + step · direction), ``reach`` = A direction, without touching A."""
        return self.loss.along(here.predictor, reach, step) + self.penalty.value(here.x + step * direction)
