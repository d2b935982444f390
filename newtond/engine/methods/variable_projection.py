"""Attention with its values projected out: φ(X) = min over Y of F(X, Y), by rows of P and never n² memory.

    F = ½‖P(X) A₃ Y − B‖² + ½ Σ λᵢₖ Xᵢₖ² + ½ μ‖Y‖²,   P = rowsoftmax(Q X Kᵀ)                              (1)

Given X, Y is a linear least-squares problem in Z = P A₃ (n, e), solved by a singular value decomposition (of
least norm where Z is rank deficient). With R = ZY − B, E = R(A₃Y)ᵀ, ρ its row means under P:

    ∇φ = Qᵀ (P∘(E − ρ)) K + λ∘X,    since ∂F/∂Y = 0                                                         (2)

and the Hessian of φ is the Schur complement H_xx − H_xy H_yy⁻¹ H_yx. Its Gauss-Newton part is J_xᵀ(I − Z Z⁺)J_x
with J_x D = (dP A₃) Y (Kaufman's form), positive semidefinite. One product makes P twice: first for dP A₃,
and, once that is projected on all rows, for the way back; six matrix products of n·s·d each (nine if exact).
Steps far from a solution take the blocks of P in single precision; value, gradient and near steps never do.

Sources: Golub, Pereyra (1973); Kaufman (1975). The problem: Gao, Song, Wang, Yin, arXiv:2309.07418 (2023).
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from newtond.engine.hessians import Direction
from newtond.engine.methods.averages import Averages
from newtond.engine.methods.damped import ROUGH, ROUNDING, dense_bend, dense_step, free_bend, free_step
from newtond.engine.methods.descent import Products
from newtond.engine.methods.kronecker import KroneckerInverse, sample_rows
from newtond.engine.methods.reduced_hessian import ReducedHessian
from newtond.engine.rowblocks.scores import Scores
from newtond.engine.state import Matrix, Vector

UNIT, NOISE_ULPS = ROUNDING / 2, 32.0


@dataclass(frozen=True)
class Layer:
    """Everything of (1) but X and Y: Q (n, r), K (s, c) in ``scores``, A₃ (s, e), B (n, m), λ (r, c), μ.

    Q should be white, QᵀQ = n I: it is what the preconditioner and the damping assume.
    """

    queries: Matrix
    scores: Scores
    values: Matrix
    target: Matrix
    ridge: Matrix
    ridge_y: float
    dense: bool

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self.queries.shape[1], self.scores.keys.shape[1]

    def of_rows(self, rows: NDArray[np.int64]) -> "Layer":
        """Return (1) on these rows alone, its ridges by their share."""
        share = len(rows) / len(self.queries)
        return replace(
            self,
            queries=self.queries[rows],
            scores=self.scores.of_rows(rows),
            target=self.target[rows],
            ridge=self.ridge * share,
            ridge_y=self.ridge_y * share,
        )

    def at(self, x: Vector) -> "Projection":
        """Return φ at x = vec(X), row by row."""
        return Projection(self, x)


class ValueFit:
    """Y (e, m) of least squares for Z (n, e), and what products need of the factorisation."""

    def __init__(self, Z: Matrix, target: Matrix, ridge: float) -> None:
        e = Z.shape[1]
        stacked = np.vstack([Z, np.sqrt(ridge) * np.eye(e)]) if ridge > 0.0 else Z
        left, singular, right = np.linalg.svd(stacked, full_matrices=False)
        kept = singular > max(stacked.shape) * ROUNDING * singular[0]
        self.left: Matrix = np.ascontiguousarray(left[: len(Z), kept])
        self.inverse_root: Matrix = right[kept].T / singular[kept]
        self.Y: Matrix = self.inverse_root @ (self.left.T @ target)
        self.rank = int(kept.sum())

    def project(self, W: Matrix) -> Matrix:
        """Return W less what a change of Y would take of it."""
        return W - self.left @ (self.left.T @ W)

    def solve(self, right: Matrix) -> Matrix:
        """Return (ZᵀZ + μI)⁺ right."""
        return self.inverse_root @ (self.inverse_root.T @ right)


class Projection:
    """φ at one X; value at once, gradient and curvature when asked for."""

    kink = ""

    def __init__(self, layer: Layer, x: Vector) -> None:
        self.layer, self.x = layer, x
        self.X = x.reshape(layer.shape)
        self.queries = layer.queries @ self.X
        if not np.isfinite(self.queries).all():
            self.value = np.inf
            return
        self.averages = Averages(layer.scores, self.queries, layer.values)
        self.Z, self.means = self._averages()
        self.fit = ValueFit(self.Z, layer.target, layer.ridge_y)
        self.Y = self.fit.Y
        self.R = self.Z @ self.Y - layer.target
        penalty = np.sum(layer.ridge * self.X**2) + layer.ridge_y * np.sum(self.Y**2)
        self.value = 0.5 * float(np.sum(self.R**2) + penalty)

    def fitted(self) -> Matrix:
        """Return P A₃ Y (n, m)."""
        return self.Z @ self.Y

    @cached_property
    def noise(self) -> float:
        """The size of R that rounding alone could leave: the scores' errors, relative in P, and the products'."""
        keys = self.layer.scores.keys
        steepest = np.linalg.norm(self.queries, axis=1).max() * np.linalg.norm(keys, axis=1).max()
        return float(NOISE_ULPS * UNIT * (1.0 + steepest) * np.linalg.norm(np.abs(self.Z) @ np.abs(self.Y)))

    def _averages(self) -> tuple[Matrix, Matrix]:
        """Return P A₃ (n, e) and P K (n, c)."""
        layer, keys = self.layer, self.layer.scores.keys
        Z = np.empty((len(self.queries), layer.values.shape[1]))
        K = np.empty((len(self.queries), keys.shape[1]))

        def work(rows: slice, seen: slice, P: Matrix) -> None:
            Z[rows] = P @ layer.values[seen]
            K[rows] = P @ keys[seen]

        layer.scores.each(self.queries, work)
        return Z, K

    @cached_property
    def pull(self) -> tuple[Matrix, Vector]:
        """R Yᵀ (n, e), so that E = (R Yᵀ) A₃ᵀ, and ρ (n)."""
        pull = self.R @ self.Y.T
        return pull, np.sum(self.Z * pull, axis=1)

    @cached_property
    def gradient(self) -> Vector:
        """∇φ, (2)."""
        if not np.isfinite(self.value):
            return np.full(self.x.size, np.nan)
        return (self.layer.queries.T @ self.pulled(*self.pull)).ravel() + (self.layer.ridge * self.X).ravel()

    def pulled(self, pull: Matrix, mean: Vector) -> Matrix:
        """Return (P∘(pull A₃ᵀ − mean)) K (n, c)."""
        return self.averages.back(pull, mean)

    @cached_property
    def _single(self) -> Averages:
        return self.averages.single()

    def model(self, d: Vector, averages: Averages) -> Vector:
        """Return the Gauss-Newton part of the Hessian of φ times d, in the precision of ``averages``."""
        turned = self.layer.queries @ d.reshape(self.layer.shape)
        W = averages.change(turned, np.sum(self.means * turned, axis=1)) @ self.Y
        pull = self.fit.project(W) @ self.Y.T
        T = averages.back(pull, np.sum(self.Z * pull, axis=1))
        return (self.layer.queries.T @ T).ravel() + self.layer.ridge.ravel() * d

    def product(self, d: Vector, exact: bool) -> Vector:
        """Return the Hessian of φ, or its Gauss-Newton part, times d."""
        return self.hessian(d, self.averages) if exact else self.model(d, self.averages)

    def hessian(self, d: Vector, averages: Averages) -> Vector:
        """Return the Hessian of φ times d, dG = P∘((dS − mean)∘(E − ρ) + dE − dmean), in the precision of these."""
        turned = self.layer.queries @ d.reshape(self.layer.shape)
        mean = np.sum(self.means * turned, axis=1)
        dZ = averages.change(turned, mean)
        W = dZ @ self.Y
        dY = -self.fit.solve(dZ.T @ self.R + self.Z.T @ W)
        pull = (W + self.Z @ dY) @ self.Y.T + self.R @ dY.T
        dmean = np.sum(W * self.R, axis=1) + np.sum(self.Z * pull, axis=1)
        T = averages.back_twice(turned, mean, *self.pull, pull, dmean)
        return (self.layer.queries.T @ T).ravel() + self.layer.ridge.ravel() * d

    @cached_property
    def _model(self) -> Matrix:
        return ReducedHessian(self, exact=False).matrix

    @cached_property
    def _hessian(self) -> Matrix:
        return ReducedHessian(self, exact=True).matrix

    @cached_property
    def _sampled(self) -> Matrix:
        """An estimate of Σ UⱼᵀUⱼ (c, c) from evenly spaced rows; Uⱼ as in `reduced_hessian`."""
        layer, keys = self.layer, self.layer.scores.keys
        rows = sample_rows(len(self.queries))
        P = layer.scores.sample(self.queries, rows)
        total = np.zeros((keys.shape[1], keys.shape[1]))
        for f, j in zip(P, rows, strict=True):
            U = self.Y.T @ (layer.values.T @ (f[:, None] * keys) - np.outer(self.Z[j], self.means[j]))
            total += U.T @ U
        return total * (len(self.queries) / len(rows))

    @cached_property
    def _metric(self) -> float:
        """The mean curvature, which scales the damping."""
        trace = float(np.trace(self._model)) / self.x.size if self.layer.dense else self._sampled_mean
        return trace if trace > 0.0 else 1.0

    @property
    def _sampled_mean(self) -> float:
        return float(np.trace(self._sampled)) / len(self._sampled) + float(self.layer.ridge.mean())

    @cached_property
    def products(self) -> Products | None:
        """The Hessian by its products, where the layer is too large for a matrix."""
        if self.layer.dense:
            return None
        rough = partial(self.hessian, averages=self._single)
        inverse = KroneckerInverse(self._sampled, self.layer.ridge)
        return Products(rough, partial(self.product, exact=True), inverse.apply)

    def drag(self, vector: Vector, damping: float) -> float:
        """Return what the damping adds to the quadratic form of a step."""
        return damping * self._metric * float(vector @ vector)

    def step(self, damping: float, exact: bool, accuracy: float) -> Direction | None:
        """Return the damped step; by Cholesky where the layer is dense, else by conjugate gradients."""
        added = damping * self._metric
        if self.layer.dense:
            H = self._hessian if exact else self._model
            return dense_step(H, self.gradient, added, np.ones(self.x.size))
        inverse = KroneckerInverse(self._sampled, self.layer.ridge + added)
        averages = self._single if accuracy >= ROUGH else self.averages
        product = partial(self.hessian if exact else self.model, averages=averages)
        return free_step(lambda d: product(d) + added * d, self.gradient, inverse.apply, accuracy)

    def bend(self) -> Vector | None:
        """Return a unit vector along which the Hessian of φ bends down, or None."""
        if self.layer.dense:
            return dense_bend(self._hessian)
        return free_bend(lambda d: self.product(d, True), self.x.size)
