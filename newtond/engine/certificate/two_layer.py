"""The certificate of two-layer regression: gradient and Hessian by the chain rule on Jacobians, and the kinks.

With J₁ and J₂ the Jacobians of the two functions, that of h is J = J₂ A₂ J₁ A₁; the Hessian is JᵀJ + Σ rᵢ ∇²hᵢ,
the latter the second derivatives of both functions, pulled back. Softmax has the Jacobian diag(f) − ffᵀ and, for a
pull v, the second form S(v) = diag(g) − gfᵀ − fgᵀ, g = f∘(v − ⟨f, v⟩).
"""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits

from newtond.contract.result import Certificate, Curvature
from newtond.engine.certificate.inertia import inertia
from newtond.engine.state import Matrix, Vector

MOST_UNKNOWNS = 2000
MOST_FLOPS = 5e10
AT_KINK = 1e-8
"""Where the least loss is at a kink, a descent ends beside it: 1e-10 of the argument's size off was measured."""


@dataclass(frozen=True)
class TwoLayerPoint:
    """x (d) of ½‖h(x) − b‖² + ½ Σ ω(z − z̄)² + ½ λ‖x‖²; A₁ (n, d) and A₂ (m, n) as dense arrays."""

    A1: Matrix
    A2: Matrix
    b: Vector
    x: Vector
    softmax_first: bool
    activation: Literal["relu", "softplus", "identity"]
    beta: float
    omega: Vector
    offset: Vector
    ridge: float

    def phi(self, t: Vector) -> tuple[Vector, Vector, Vector]:
        """Return φ, φ' and φ'' at t."""
        if self.activation == "identity":
            return t, np.ones_like(t), np.zeros_like(t)
        if self.activation == "relu":
            return np.maximum(t, 0.0), np.where(t > 0.0, 1.0, 0.0), np.zeros_like(t)
        s = expit(self.beta * t)
        return np.logaddexp(0.0, self.beta * t) / self.beta, s, self.beta * s * (1.0 - s)

    @cached_property
    def z(self) -> Vector:
        return self.A1 @ self.x

    @cached_property
    def argument(self) -> Vector:
        """What φ is given."""
        return self.A2 @ _softmax(self.z) if self.softmax_first else self.z

    @cached_property
    def residual(self) -> Vector:
        values = self.phi(self.argument)[0]
        return (values if self.softmax_first else _softmax(self.A2 @ values)) - self.b

    @cached_property
    def value(self) -> float:
        shift = self.z - self.offset
        penalty = self.omega @ (shift * shift) + self.ridge * (self.x @ self.x)
        return 0.5 * float(self.residual @ self.residual + penalty)

    @cached_property
    def jacobian(self) -> Matrix:
        """∂h/∂x (m, d)."""
        slope = self.phi(self.argument)[1][:, None]
        if self.softmax_first:
            f = _softmax(self.z)
            return slope * (self.A2 @ (f[:, None] * self.A1 - np.outer(f, f @ self.A1)))
        f, inner = self.residual + self.b, self.A2 @ (slope * self.A1)
        return f[:, None] * inner - np.outer(f, f @ inner)

    @cached_property
    def gradient(self) -> Vector:
        own = self.A1.T @ (self.omega * (self.z - self.offset)) + self.ridge * self.x
        return np.asarray(self.jacobian.T @ self.residual + own)

    def hessian(self) -> Matrix:
        """Return ∇²F away from kinks, (d, d)."""
        _, slope, bend = self.phi(self.argument)
        H = self.jacobian.T @ self.jacobian + self.A1.T @ (self.omega[:, None] * self.A1)
        H[np.diag_indices_from(H)] += self.ridge
        if self.softmax_first:
            f = _softmax(self.z)
            inner = self.A2 @ (f[:, None] * self.A1 - np.outer(f, f @ self.A1))
            H += inner.T @ ((self.residual * bend)[:, None] * inner)
            return np.asarray(H + _second(f, self.A2.T @ (slope * self.residual), self.A1))
        f, inner = self.residual + self.b, self.A2 @ (slope[:, None] * self.A1)
        pull = self.A2.T @ (f * (self.residual - f @ self.residual))
        H += self.A1.T @ ((bend * pull)[:, None] * self.A1)
        return np.asarray(H + _second(f, self.residual, inner))

    def sizes(self) -> Vector:
        """Return what the terms of each diagonal entry of the Hessian come to in absolute value, (d,)."""
        _, slope, bend = (np.abs(each) for each in self.phi(self.argument))
        A1, A2, misfit = np.abs(self.A1), np.abs(self.A2), np.abs(self.residual)
        own = self.omega @ A1**2 + self.ridge
        if self.softmax_first:
            f = _softmax(self.z)
            inner = A2 @ _spread(f, A1)
            outer = (slope**2 + misfit * bend) @ inner**2
            return np.asarray(own + outer + _second_size(f, A2.T @ (slope * misfit), A1))
        f, inner = self.residual + self.b, A2 @ (slope[:, None] * A1)
        bent = (bend * (A2.T @ (f * (misfit + f @ misfit)))) @ A1**2
        return np.asarray(
            own + bent + np.sum(_spread(f, inner) ** 2, axis=0) + _second_size(f, misfit, inner)
        )

    @property
    def kinks(self) -> int:
        """How many arguments of relu are zero, or as near as a descent ends, of those that depend on x and reach h."""
        if self.activation != "relu":
            return 0
        if self.softmax_first:
            sizes, live = np.abs(self.A2) @ _softmax(self.z), self.A2.any(axis=1)
        else:
            sizes, live = np.abs(self.A1) @ np.abs(self.x), self.A1.any(axis=1) & self.A2.any(axis=0)
        return int(np.sum(live & (np.abs(self.argument) <= AT_KINK * sizes)))


def _softmax(scores: Vector) -> Vector:
    u = np.exp(scores - np.max(scores))
    return np.asarray(u / np.sum(u))


def _second(f: Vector, pull: Vector, inner: Matrix) -> Matrix:
    """Return innerᵀ S(pull) inner, (d, d)."""
    g = f * (pull - f @ pull)
    cross = np.outer(inner.T @ g, inner.T @ f)
    return np.asarray(inner.T @ (g[:, None] * inner) - cross - cross.T)


def _spread(f: Vector, size: Matrix) -> Matrix:
    """Return what diag(f) − ffᵀ makes of a matrix of this size, in absolute value."""
    return f[:, None] * size + np.outer(f, f @ size)


def _second_size(f: Vector, pull: Vector, inner: Matrix) -> Vector:
    """Return the diagonal of innerᵀ S(pull) inner in absolute value, of absolute values, (d,)."""
    g = f * (pull + f @ pull)
    return np.asarray(g @ inner**2 + 2.0 * (g @ inner) * (f @ inner))


def certify_two_layer(point: TwoLayerPoint) -> Certificate:
    """Return what is proven of ``point``: nothing at a kink; a Hessian's inertia up to 2000 unknowns."""
    started = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        certificate = _certify(point)
    return certificate.model_copy(update={"seconds": time.perf_counter() - started})


def _certify(point: TwoLayerPoint) -> Certificate:
    size = float(np.linalg.norm(point.gradient))
    curvature, words, estimates = _verdict(point)
    return Certificate(
        loss=point.value if np.isfinite(point.value) else None,
        gradient_norm=size if np.isfinite(size) else None,
        relative_gradient_norm=_relative(point, size),
        curvature=curvature,
        scope="none" if curvature == "undetermined" else "local",
        estimates=estimates,
        statements=[*words, "Local: nothing is claimed of other minima, which the problem may have."],
    )


def _relative(point: TwoLayerPoint, size: float) -> float | None:
    """Return ‖g(x)‖ / ‖g(0)‖, None where 0 is a kink or stationary."""
    origin = replace(point, x=np.zeros_like(point.x))
    if origin.kinks:
        return None
    start = float(np.linalg.norm(origin.gradient))
    return size / start if start > 0.0 and np.isfinite(size / start) else None


def _verdict(point: TwoLayerPoint) -> tuple[Curvature, list[str], dict[str, float | None]]:
    (n, d), m = point.A1.shape, len(point.b)
    if not (np.isfinite(point.value) and np.isfinite(point.gradient).all()):
        return (
            "undetermined",
            ["The point, its loss or its gradient is not finite: nothing is proven of it."],
            {},
        )
    if point.kinks:
        said = (
            f"x is at a kink of relu in {point.kinks} places (to {AT_KINK:.0e}): F has no gradient there, and no "
            "derivative tells whether x is a minimum."
        )
        return "undetermined", [said], {}
    if d > MOST_UNKNOWNS or float(n) * m * d + (n + m) * float(d) ** 2 > MOST_FLOPS:
        return "undetermined", ["The Hessian is too large to be formed: its curvature is not determined."], {}
    found = inertia(point.hessian(), point.gradient, point.sizes())
    return *found.verdict(point.value, float(np.linalg.norm(point.b))), found.estimates
