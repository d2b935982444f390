"""Value and gradient (or residual and Jacobian) of the other families, in plain NumPy, as a user would write them.

Groups of rows have equal sizes here, so that a sum over groups is a reshape. Where a group's loss is ½Σ(f − b)²
with f = u/⟨u, 1⟩, the gradient in z is u′/⟨u, 1⟩ ∘ (c − ⟨c, f⟩), c = f − b; of the rescaled loss r = u − ⟨u, 1⟩b it
is u′ ∘ (r − ⟨b, r⟩).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Rows = Callable[[Vector], tuple[Vector, Vector]]
"""u and u′ of the predictors."""


def exponential(z: Vector) -> tuple[Vector, Vector]:
    grown = np.exp(z)
    return grown, grown


def residual_connection(z: Vector) -> tuple[Vector, Vector]:
    grown = np.exp(z)
    return grown + z, grown + 1.0


def cosine(z: Vector) -> tuple[Vector, Vector]:
    return np.cosh(z), np.sinh(z)


def fourth_power(z: Vector) -> tuple[Vector, Vector]:
    return z**4, 4.0 * z**3


@dataclass(frozen=True)
class Shares:
    """½ Σ (u/⟨u, 1⟩ − b)² over groups of ``size`` rows, z = A x, + ½ ridge ‖x‖²; ``pinned`` adds ½ log²(α₁/n₁)/n₁."""

    A: Any
    b: Vector
    size: int
    rows: Rows
    ridge: float = 0.0
    pinned: bool = False

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        with np.errstate(over="ignore", invalid="ignore"):
            u, slope = self.rows((self.A @ x).reshape(-1, self.size))
            total = u.sum(axis=1, keepdims=True)
            f = u / total
            c = f - self.b.reshape(f.shape)
            inner = slope / total * (c - np.sum(c * f, axis=1, keepdims=True))
            value = 0.5 * float(np.sum(c * c))
            if self.pinned:
                level, weight = float(np.log(total[0, 0] / self.size)), 1.0 / self.size
                value += 0.5 * weight * level**2
                inner[0] += weight * level * slope[0] / total[0, 0]
            return _ridged(value, self.A.T @ inner.ravel(), x, self.ridge)


@dataclass(frozen=True)
class Rescaled:
    """½ Σ (u − ⟨u, 1⟩b)² over groups of ``size`` rows."""

    A: Any
    b: Vector
    size: int
    rows: Rows
    ridge: float = 0.0

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        with np.errstate(over="ignore", invalid="ignore"):
            u, slope = self.rows((self.A @ x).reshape(-1, self.size))
            b = self.b.reshape(u.shape)
            r = u - u.sum(axis=1, keepdims=True) * b
            inner = slope * (r - np.sum(b * r, axis=1, keepdims=True))
            return _ridged(0.5 * float(np.sum(r * r)), self.A.T @ inner.ravel(), x, self.ridge)


@dataclass(frozen=True)
class TwoLayers:
    """½‖h − b‖² + ½ ridge ‖x‖², h = softplus(A₂ softmax(A₁ x))."""

    first: Any
    second: Any
    b: Vector
    ridge: float

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        z = self.first @ x
        p = np.exp(z - z.max())
        p /= p.sum()
        t = self.second @ p
        r = np.logaddexp(0.0, t) - self.b
        back = self.second.T @ (r / (1.0 + np.exp(-t)))
        return _ridged(0.5 * float(r @ r), self.first.T @ (p * (back - p @ back)), x, self.ridge)


@dataclass(frozen=True)
class Attention:
    """½‖P A₁ Y − B‖² + ½ ridge (‖X‖² + ‖Y‖²), P = softmax of each row of A₁ X A₁ᵀ; the unknown is X, then Y."""

    A: Any
    B: Any
    ridge: float

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        A, d = self.A, self.A.shape[1]
        X, Y = x[: d * d].reshape(d, d), x[d * d :].reshape(d, -1)
        scores = A @ X @ A.T
        P = np.exp(scores - scores.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        values = A @ Y
        R = P @ values - self.B
        E = R @ values.T
        G = P * (E - np.sum(P * E, axis=1, keepdims=True))
        gradient = np.concatenate([(A.T @ G @ A).ravel(), ((P @ A).T @ R).ravel()])
        return _ridged(0.5 * float(np.sum(R * R)), gradient, x, self.ridge)


@dataclass(frozen=True)
class Quadratic:
    """½ xᵀMx − bᵀx, whose gradient is M x − b; M is given by its product."""

    product: Callable[[Vector], Vector]
    b: Vector

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        moved = self.product(x)
        return 0.5 * float(x @ moved) - float(self.b @ x), moved - self.b


def _ridged(value: float, gradient: Vector, x: Vector, ridge: float) -> tuple[float, Vector]:
    total = value + 0.5 * ridge * float(x @ x)
    if not np.isfinite(total):
        return 1e300, np.zeros_like(x)
    return total, gradient + ridge * x
