"""Two layers around one vector: h(x) = φ(A₂ softmax(A₁x)) or softmax(A₂ φ(A₁x)), and F = ½‖h(x) − b‖² + penalty.

With z = A₁x, ω = w², T (m, d) the tangent of what the second function is given and t its curvature weights:

    ∇F = A₁ᵀ(g + ω∘(z − z̄)) + λx                                                                          (1)
    ∇²F = Tᵀ diag(t) T + A₁ᵀ diag(ω) A₁ + λI + first                                                       (2)

    softmax first: f = softmax(z), y = A₂f, r = φ(y) − b, e = A₂ᵀ(φ'(y)∘r), g = f∘(e − ⟨f, e⟩),
        T = A₂ diag(f) (A₁ − 1fᵀA₁), t = φ'² + r∘φ'', first = (A₁ − 1fᵀA₁)ᵀ diag(g) (A₁ − 1fᵀA₁)           (3)
    softmax last: f = softmax(A₂φ(z)), r = f − b, q = f∘(r − ⟨f, r⟩), g = φ'(z)∘A₂ᵀq,
        T = (I − 1fᵀ) A₂ diag(φ'(z)) A₁, t = f² + q, first = A₁ᵀ diag(φ''(z)∘A₂ᵀq) A₁                        (4)

The Gauss-Newton part leaves out ``first`` and the second term of t. Cost of a step: m·n·d (less if sparse), m·d².
Sources: Li, Song, Wang, Yin, arXiv:2311.15390 (2023); Deng, Song, Xie, arXiv:2308.08358 (2023).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from newtond.engine.hessians import Direction
from newtond.engine.methods.damped import ROUNDING, dense_bend, dense_step, free_bend, free_step
from newtond.engine.methods.standard_errors import Moments
from newtond.engine.state import Matrix, Vector

DENSE_UNKNOWNS = 1000
AT_KINK = 1e-8
"""Of the size of relu's argument: where the least loss is at a kink, a descent ends beside it, 1e-10 off and less."""
SUMS_TO_ONE = 1e-9
Rows = Any
"""A matrix, dense or SciPy's CSR."""


@dataclass(frozen=True)
class Activation:
    """φ with its first and second derivative; relu's are those of t > 0 or t < 0, taken as 0 at 0."""

    name: Literal["relu", "softplus", "identity"]
    beta: float = 1.0

    def value(self, t: Vector) -> Vector:
        if self.name == "relu":
            return np.maximum(t, 0.0)
        return t if self.name == "identity" else np.logaddexp(0.0, self.beta * t) / self.beta

    def slope(self, t: Vector) -> Vector:
        if self.name == "relu":
            return (t > 0.0).astype(np.float64)
        return np.ones_like(t) if self.name == "identity" else expit(self.beta * t)

    def bend(self, t: Vector) -> Vector:
        if self.name != "softplus":
            return np.zeros_like(t)
        return self.beta * expit(self.beta * t) * expit(-self.beta * t)


@dataclass(frozen=True)
class TwoLayers:
    """F: A₁ (n, d), A₂ (m, n), b (m), ω and z̄ (n), λ."""

    first: Rows
    second: Rows
    target: Vector
    activation: Activation
    softmax_first: bool
    omega: Vector
    offset: Vector
    ridge: float

    def at(self, x: Vector) -> "LayersFit":
        """Return F at x."""
        return LayersFit(self, x)

    def smoothed(self, beta: float) -> "TwoLayers":
        """Return F with softplus in place of its activation."""
        return replace(self, activation=Activation("softplus", beta))

    @cached_property
    def absolute(self) -> tuple[Rows, Rows]:
        """|A₁| and |A₂|."""
        return abs(self.first), abs(self.second)

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Which of φ's arguments depend on x at all and reach h."""
        A1, A2 = self.absolute
        if self.softmax_first:
            return np.asarray(A2.sum(axis=1) > 0.0).ravel()
        return np.asarray(A1.sum(axis=1) > 0.0).ravel() & np.asarray(A2.sum(axis=0) > 0.0).ravel()

    @cached_property
    def column_squares(self) -> Vector:
        squares = np.asarray((self.absolute[0] ** 2).sum(axis=0), dtype=np.float64).ravel()
        return np.where(squares > 0.0, squares, 1.0)


class LayersFit:
    """F at one x; value at once, gradient and curvature when asked for."""

    products: None = None

    def __init__(self, layers: TwoLayers, x: Vector) -> None:
        self.layers, self.x = layers, x
        self.z = layers.first @ x
        if layers.softmax_first:
            self.f = softmax(self.z)
            self.y = layers.second @ self.f
            self.fitted = layers.activation.value(self.y)
        else:
            self.y = layers.second @ layers.activation.value(self.z)
            self.f = self.fitted = softmax(self.y)
        self.r = self.fitted - layers.target
        shift = self.z - layers.offset
        penalty = layers.omega @ shift**2 + layers.ridge * (x @ x)
        value = 0.5 * float(self.r @ self.r + penalty)
        self.value = value if np.isfinite(value) else np.inf

    @cached_property
    def noise(self) -> float:
        """The size of r that rounding alone could leave."""
        A1, A2 = self.layers.absolute
        z = A1 @ np.abs(self.x)
        if self.layers.softmax_first:
            return float(4.0 * ROUNDING * np.linalg.norm((A2 @ self.f) * (1.0 + z.max())))
        y = A2 @ self.layers.activation.value(z)
        return float(4.0 * ROUNDING * np.linalg.norm(self.f * (1.0 + y.max())))

    @cached_property
    def back(self) -> tuple[Vector, Vector]:
        """g (n), and the residual's pull on the arguments of φ: e, or A₂ᵀq."""
        layers = self.layers
        if layers.softmax_first:
            e = layers.second.T @ (layers.activation.slope(self.y) * self.r)
            return self.f * (e - self.f @ e), e
        pull = layers.second.T @ self._q
        return layers.activation.slope(self.z) * pull, pull

    @property
    def _q(self) -> Vector:
        return self.f * (self.r - self.f @ self.r)

    @cached_property
    def gradient(self) -> Vector:
        """∇F, (1)."""
        layers = self.layers
        if not np.isfinite(self.value):
            return np.full(self.x.size, np.nan)
        own = self.back[0] + layers.omega * (self.z - layers.offset)
        return np.asarray(layers.first.T @ own + layers.ridge * self.x)

    @cached_property
    def tangent(self) -> Matrix:
        """T (m, d)."""
        layers = self.layers
        inner = self.f if layers.softmax_first else layers.activation.slope(self.z)
        product = layers.second @ _scaled(layers.first, inner)
        T = np.asarray(product if isinstance(product, np.ndarray) else product.toarray())
        mean = np.outer(self.y, self._mean) if layers.softmax_first else (self.f @ T)[None]
        return T - mean

    @cached_property
    def _mean(self) -> Vector:
        return np.asarray(self.layers.first.T @ self.f)

    def weights(self, exact: bool) -> tuple[Vector, Vector]:
        """Return t (m) and the weights of A₁'s rows (n), of the Hessian or of its Gauss-Newton part."""
        layers, phi = self.layers, self.layers.activation
        outer = (phi.slope(self.y) if layers.softmax_first else self.f) ** 2
        if not exact:
            return outer, layers.omega
        if layers.softmax_first:
            return outer + self.r * phi.bend(self.y), layers.omega + self.back[0]
        return outer + self._q, layers.omega + phi.bend(self.z) * self.back[1]

    def hessian(self, exact: bool) -> Matrix:
        """Return (2), or its Gauss-Newton part, (d, d)."""
        layers, (outer, rows) = self.layers, self.weights(exact)
        H = self.tangent.T @ (outer[:, None] * self.tangent)
        if rows.any():
            H += self._gram(rows)
        if exact and layers.softmax_first:
            half = np.outer(self._mean, layers.first.T @ self.back[0])
            H -= half + half.T
        H[np.diag_indices_from(H)] += layers.ridge
        return H

    def _gram(self, rows: Vector) -> Matrix:
        A1 = self.layers.first
        product = A1.T @ _scaled(A1, rows)
        return np.asarray(product if isinstance(product, np.ndarray) else product.toarray())

    def moments(self) -> Moments:
        """Return what standard errors are made of; rows of h are taken as independent."""
        layers, (outer, rows) = self.layers, self.weights(False)
        summing = not layers.softmax_first and abs(float(layers.target.sum()) - 1.0) <= SUMS_TO_ONE
        tangent = np.sqrt(outer)[:, None] * self.tangent
        telling = self.r[:, None] * tangent
        return Moments(
            hessian=self.hessian(True),
            model=self.hessian(False),
            data=tangent.T @ tangent,
            scores=telling.T @ telling,
            remark=""
            if layers.softmax_first
            else "sandwich errors take the rows of b as independent of each other",
            size=np.sum(outer[:, None] * self._absolute**2, axis=0)
            + np.asarray((layers.absolute[0] ** 2).T @ rows)
            + layers.ridge,
            gradient=self.gradient,
            squares=float(self.r @ self.r),
            rows=len(self.r) - summing,
            noise=self.noise,
        )

    @property
    def _absolute(self) -> Matrix:
        """T before anything in it cancels (m, d)."""
        A1, A2 = self.layers.absolute
        inner = self.f if self.layers.softmax_first else np.abs(self.layers.activation.slope(self.z))
        product = A2 @ _scaled(A1, inner)
        return np.asarray(product if isinstance(product, np.ndarray) else product.toarray())

    def product(self, d: Vector, exact: bool) -> Vector:
        """Return the Hessian, or its Gauss-Newton part, times d."""
        layers, (outer, rows) = self.layers, self.weights(exact)
        image = self.tangent.T @ (outer * (self.tangent @ d)) + layers.first.T @ (rows * (layers.first @ d))
        if exact and layers.softmax_first:
            turned = layers.first.T @ self.back[0]
            image -= self._mean * (turned @ d) + turned * (self._mean @ d)
        return np.asarray(image + layers.ridge * d)

    @cached_property
    def _matrices(self) -> tuple[Matrix, Matrix]:
        return self.hessian(False), self.hessian(True)

    @cached_property
    def _metric(self) -> Vector:
        """The diagonal that damping is a multiple of: A₁'s column squares at the size of the curvature."""
        outer, rows = self.weights(False)
        squares = self.layers.column_squares
        trace = float(np.sum(outer[:, None] * self.tangent**2)) + float(rows.max()) * float(squares.sum())
        return squares * ((trace if trace > 0.0 else 1.0) / float(squares.sum()))

    def drag(self, vector: Vector, damping: float) -> float:
        """Return what the damping adds to the quadratic form of a step."""
        return damping * float(vector @ (self._metric * vector))

    def step(self, damping: float, exact: bool, accuracy: float) -> Direction | None:
        """Return the damped step; by Cholesky up to 1000 unknowns, else by conjugate gradients."""
        if self.x.size <= DENSE_UNKNOWNS:
            return dense_step(self._matrices[int(exact)], self.gradient, damping, self._metric)
        added = damping * self._metric
        inverse = 1.0 / (self._metric + added + self.layers.ridge)
        return free_step(
            lambda d: self.product(d, exact) + added * d, self.gradient, lambda d: inverse * d, accuracy
        )

    def bend(self) -> Vector | None:
        """Return a unit vector along which the Hessian bends down, or None."""
        if self.x.size <= DENSE_UNKNOWNS:
            return dense_bend(self._matrices[1])
        return free_bend(lambda d: self.product(d, True), self.x.size)

    @cached_property
    def kink(self) -> str:
        """Why no gradient tells whether this is a minimum, in words; empty where it does."""
        layers = self.layers
        if layers.activation.name != "relu":
            return ""
        A1, A2 = layers.absolute
        argument, size = (self.y, A2 @ self.f) if layers.softmax_first else (self.z, A1 @ np.abs(self.x))
        at = layers.live & (np.abs(argument) <= AT_KINK * size)
        if at.any():
            return (
                f"x is at a kink of relu in {int(at.sum())} of {len(at)} places (to {AT_KINK:.0e}): there F has no "
                "gradient, and how small the one beside it is proves nothing"
            )
        if not (layers.live & (argument > 0.0)).any():
            return "every relu is off: F is flat here, whatever its value"
        return ""


def _scaled(matrix: Rows, weights: Vector) -> Rows:
    """Return diag(weights) matrix."""
    return (
        weights[:, None] * matrix
        if isinstance(matrix, np.ndarray)
        else matrix.multiply(weights[:, None]).tocsr()
    )


def softmax(scores: Vector) -> Vector:
    """Return the softmax of a vector."""
    u = np.exp(scores - scores.max())
    return np.asarray(u / u.sum())
