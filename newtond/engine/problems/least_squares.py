"""Linear least squares.

    F(x) = ½ Σ vᵢ (zᵢ − bᵢ)² + ½ Σ wᵢ² (zᵢ − z̄ᵢ)² + ½ λ‖x‖²,   z = A x                               (1)
    ∇F = Aᵀ(v∘(z − b) + w²∘(z − z̄)) + λ x,     ∇²F = Aᵀ diag(v + w²) A + λ I                           (2)

F is quadratic: one Newton step solves it, and further ones refine by the exact gradient.
Source: any text; the problem is the linear case of the papers' regressions.
"""

from functools import cache

import numpy as np

from newtond.contract.solve import SolveSpec
from newtond.engine.certificate import certify_linear
from newtond.engine.kernels import kernel, specialise
from newtond.engine.regression import Link, Regression, RegressionFamily
from newtond.engine.state import Vector


@kernel
def identity_row(z, b):
    """Value, first and second derivative and Gauss-Newton curvature of ½ (z − b)²."""
    residual = z - b
    return 0.5 * residual * residual, residual, 1.0, 1.0


def _one(b: Vector, low: Vector, high: Vector) -> Vector:
    return np.ones_like(b)


def _start(regression: Regression) -> Vector:
    return np.zeros(regression.design.width)


@cache
def _link() -> Link:
    return Link(
        name="identity",
        kernels=specialise(identity_row),
        function=lambda z: z,
        slope=np.ones_like,
        inverse=lambda b: b,
        bounds=(_one, _one),
        start=_start,
        start_words="x = 0; the objective is quadratic",
        certify=certify_linear,
        reach=np.inf,
    )


def link(spec: SolveSpec) -> Link:
    """Return the identity link."""
    return _link()


family = RegressionFamily(link)
plan, steps, solution, certify = family.plan, family.steps, family.solution, family.certify
