"""The certificate of one-layer attention, by the formulas in (X, Y) jointly and in the caller's coordinates.

With fⱼ the rows of P, Mⱼ = I − 1fⱼᵀ, Tⱼ = A₃ᵀ diag(fⱼ) Mⱼ A₂, V = A₃Y, Eⱼ = V rⱼ, Gⱼ = fⱼ∘(Eⱼ − ⟨fⱼ, Eⱼ⟩):

    H_xx = Σ aⱼaⱼᵀ ⊗ A₂ᵀMⱼᵀ(diag(fⱼ) V Vᵀ diag(fⱼ) + diag(Gⱼ))Mⱼ A₂ + λ_X I                               (1)
    H_yy = ((PA₃)ᵀ(PA₃) + λ_Y I) ⊗ I                                                                       (2)
    H_xy[(i,k),(a,b)] = Σ aⱼᵢ ((PA₃)ⱼₐ (TⱼᵀY)[k,b] + Tⱼ[a,k] rⱼ_b)                                         (3)

Without values V is the identity and (1) is all. Directions that no score and no output depends on are known
beforehand, A₁v = 0, A₂t constant, A₃y = 0; H is examined on what is orthogonal to them (where no ridge
weighs them), by its eigenvalues with a margin for rounding. Nothing is claimed beyond the point: the problem
is not convex.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from newtond.contract.result import Certificate, Curvature
from newtond.engine.certificate.inertia import Inertia, inertia
from newtond.engine.certificate.proof import lanczos
from newtond.engine.state import Matrix, Vector

CHUNK_ENTRIES = 1 << 18
MOST_UNKNOWNS = 2000
MOST_PRODUCTS = 2e11
"""No Hessian is formed above this many unknowns or multiplications."""
LANCZOS_STEPS = 24
MOST_LANCZOS = 4e11
"""Nor is the smallest eigenvalue estimated where so many products cost more multiplications than that."""
SCOPES: dict[Curvature, Literal["global", "none"]] = {"global_minimum": "global", "undetermined": "none"}
LOCAL = "Local: nothing is claimed of other minima, which the problem has."


@dataclass(frozen=True)
class AttentionPoint:
    """(X, Y) and everything of the objective; A₃ and Y are None where the target is the map itself."""

    A1: Matrix
    A2: Matrix
    A3: Matrix | None
    B: Matrix
    X: Matrix
    Y: Matrix | None
    ridge_x: float
    ridge_y: float
    causal: bool

    def at(self, X: Matrix, Y: Matrix | None) -> "AttentionPoint":
        """Return another point of the same objective."""
        rest = (self.A1, self.A2, self.A3, self.B)
        return AttentionPoint(*rest, X, Y, self.ridge_x, self.ridge_y, self.causal)

    def probabilities(self) -> Iterator[tuple[slice, Matrix]]:
        """Yield (rows, P there), a chunk at a time."""
        n, s = len(self.A1), len(self.A2)
        height = max(1, CHUNK_ENTRIES // s)
        for low in range(0, n, height):
            rows = slice(low, min(low + height, n))
            scores = self.A1[rows] @ (self.X @ self.A2.T)
            if self.causal:
                scores[np.arange(s) > np.arange(rows.start, rows.stop)[:, None]] = -np.inf
            P = np.exp(scores - scores.max(axis=1, keepdims=True))
            yield rows, P / P.sum(axis=1, keepdims=True)

    def errors(self, rows: slice, P: Matrix) -> tuple[Matrix, Matrix]:
        """Return R and E of these rows."""
        if self.A3 is None or self.Y is None:
            residual = P - self.B[rows]
            return residual, residual
        residual = P @ self.A3 @ self.Y - self.B[rows]
        return residual, residual @ (self.A3 @ self.Y).T

    @cached_property
    def value_and_gradient(self) -> tuple[float, Vector]:
        """F and its gradient, vec(X) before vec(Y), row by row."""
        value = 0.5 * self.ridge_x * float(np.sum(self.X**2))
        slope_x = self.ridge_x * self.X
        slope_y = np.zeros((0, 0)) if self.Y is None else self.ridge_y * self.Y
        if self.Y is not None:
            value += 0.5 * self.ridge_y * float(np.sum(self.Y**2))
        for rows, P in self.probabilities():
            residual, E = self.errors(rows, P)
            value += 0.5 * float(np.sum(residual**2))
            G = P * (E - np.sum(P * E, axis=1, keepdims=True))
            slope_x = slope_x + self.A1[rows].T @ (G @ self.A2)
            if self.A3 is not None:
                slope_y = slope_y + (P @ self.A3).T @ residual
        return value, np.concatenate([slope_x.ravel(), slope_y.ravel()])

    @property
    def unknowns(self) -> int:
        return self.X.size + (0 if self.Y is None else self.Y.size)

    @property
    def products(self) -> float:
        """About the multiplications that the Hessian costs."""
        n, s = float(len(self.A1)), float(len(self.A2))
        c, e = self.A2.shape[1], 0 if self.A3 is None else self.A3.shape[1]
        return n * s * c * (c + e) + n * float(self.unknowns) ** 2

    def hessian(self) -> Matrix:
        """Return H of (1) to (3)."""
        d, c = self.X.shape
        xx = np.zeros((d, c, d, c))
        e, m = (0, 0) if self.Y is None else self.Y.shape
        yx, yy = np.zeros((e, m, d, c)), np.zeros((e, e))
        for rows, P in self.probabilities():
            for block, f in zip(range(rows.start, rows.stop), P, strict=True):
                self._add(block, f, xx, yx, yy)
        H = np.zeros((self.unknowns, self.unknowns))
        size = self.X.size
        H[:size, :size] = xx.reshape(size, size) + self.ridge_x * np.eye(size)
        H[size:, :size] = yx.reshape(e * m, size)
        H[:size, size:] = H[size:, :size].T
        H[size:, size:] = np.kron(yy + self.ridge_y * np.eye(e), np.eye(m))
        return H

    def _add(self, j: int, f: Vector, xx: NDArray[np.float64], yx: NDArray[np.float64], yy: Matrix) -> None:
        a, centred = self.A1[j], self.A2 - f @ self.A2
        residual, E = (each[0] for each in self.errors(slice(j, j + 1), f[None]))
        G = f * (E - f @ E)
        weighted = f[:, None] * centred
        inner = centred.T @ (G[:, None] * centred)
        if self.A3 is None or self.Y is None:
            inner += weighted.T @ weighted
        else:
            T, mean = self.A3.T @ weighted, f @ self.A3
            U = self.Y.T @ T
            inner += U.T @ U
            coupling = mean[:, None, None] * U + residual[:, None] * T[:, None, :]
            yx += coupling[:, :, None, :] * a[:, None]
            yy += np.outer(mean, mean)
        xx += a[:, None, None, None] * a[:, None] * inner[:, None, :]

    @property
    def product_cost(self) -> float:
        """About the multiplications of one product with the Hessian."""
        n, s = float(len(self.A1)), float(len(self.A2))
        width = 0 if self.A3 is None or self.Y is None else sum(self.Y.shape)
        return n * s * (3.0 * self.A2.shape[1] + 2.0 * width)

    def product(self, v: Vector) -> Vector:
        """Return H v, the derivative of the gradient along v, a chunk of rows at a time."""
        along_x = v[: self.X.size].reshape(self.X.shape)
        along_y = None if self.Y is None else v[self.X.size :].reshape(self.Y.shape)
        x = self.ridge_x * along_x
        y = np.empty((0, 0)) if along_y is None else self.ridge_y * along_y
        for rows, P in self.probabilities():
            moved = P * _centred(self.A1[rows] @ (along_x @ self.A2.T), P)
            residual, E = self.errors(rows, P)
            if self.A3 is None or self.Y is None or along_y is None:
                bent = moved
            else:
                turned = moved @ self.A3 @ self.Y + P @ self.A3 @ along_y
                bent = turned @ (self.A3 @ self.Y).T + residual @ (self.A3 @ along_y).T
                y = y + (moved @ self.A3).T @ residual + (P @ self.A3).T @ turned
            change = moved * _centred(E, P)
            change += P * (bent - np.sum(moved * E + P * bent, axis=1, keepdims=True))
            x = x + self.A1[rows].T @ (change @ self.A2)
        return np.concatenate([x.ravel(), y.ravel()])

    def visible(self) -> Matrix:
        """Return an orthonormal basis of the directions on which F depends, (unknowns, k)."""
        left, right = _rows_of(self.A1), _rows_of(self.A2 - self.A2.mean(axis=0))
        x: Matrix = np.eye(self.X.size) if self.ridge_x > 0.0 else np.kron(left, right).astype(np.float64)
        if self.A3 is None or self.Y is None:
            return x
        m = self.Y.shape[1]
        y = np.eye(self.Y.size) if self.ridge_y > 0.0 else np.kron(_rows_of(self.A3), np.eye(m))
        return np.asarray(
            np.block([[x, np.zeros((len(x), y.shape[1]))], [np.zeros((len(y), x.shape[1])), y]])
        )


def _centred(values: Matrix, P: Matrix) -> Matrix:
    """Return the values less their row means under P."""
    return values - np.sum(P * values, axis=1, keepdims=True)


def _rows_of(A: Matrix) -> Matrix:
    """Return an orthonormal basis of the row space of A, (columns, rank)."""
    _, s, Wt = np.linalg.svd(A, full_matrices=False)
    return Wt[s > max(A.shape) * np.finfo(float).eps * max(s[0], np.finfo(float).tiny)].T


def certify_attention(point: AttentionPoint) -> Certificate:
    """Return loss and gradient in (X, Y), and the curvature where the Hessian is small enough to be formed."""
    started = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        certificate = _certify(point)
    return certificate.model_copy(update={"seconds": time.perf_counter() - started})


def _certify(point: AttentionPoint) -> Certificate:
    value, gradient = point.value_and_gradient
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        return Certificate(
            loss=None,
            gradient_norm=None,
            relative_gradient_norm=None,
            curvature="undetermined",
            scope="none",
            statements=["The point, its loss or its gradient is not finite: nothing is proven of it."],
        )
    found, nullity = _curvature(point, gradient)
    curvature, words = _verdict(found, value, float(np.linalg.norm(point.B)))
    norm, relative = float(np.linalg.norm(gradient)), _relative(point, gradient)
    return Certificate(
        loss=value,
        gradient_norm=norm,
        relative_gradient_norm=relative,
        curvature=curvature,
        scope=SCOPES.get(curvature, "local"),
        nullity=nullity,
        estimates=found.estimates if found else _ritz(point),
        statements=[*words, *([] if curvature == "global_minimum" else [LOCAL])],
    )


def _relative(point: AttentionPoint, gradient: Vector) -> float | None:
    origin = point.at(np.zeros_like(point.X), None if point.Y is None else np.zeros_like(point.Y))
    start = float(np.linalg.norm(origin.value_and_gradient[1]))
    return float(np.linalg.norm(gradient)) / start if start > 0.0 else None


def _curvature(point: AttentionPoint, gradient: Vector) -> tuple[Inertia | None, int | None]:
    if point.unknowns > MOST_UNKNOWNS or point.products > MOST_PRODUCTS:
        return None, None
    basis = point.visible()
    return inertia(basis.T @ point.hessian() @ basis, basis.T @ gradient), point.unknowns - basis.shape[1]


def _ritz(point: AttentionPoint) -> dict[str, float | None]:
    """Return the lowest Ritz value of 24 products with H, no less than its smallest eigenvalue but for rounding."""
    if LANCZOS_STEPS * point.product_cost > MOST_LANCZOS:
        return {}
    return {"smallest_eigenvalue_at_most": lanczos(point.product, point.unknowns, LANCZOS_STEPS)[0]}


def _verdict(found: Inertia | None, value: float, target: float) -> tuple[Curvature, list[str]]:
    if found is None:
        return "undetermined", [
            "The Hessian is too large to be formed: its curvature is not determined, its smallest eigenvalue at most "
            "estimated, from above."
        ]
    return found.verdict(value, target)
