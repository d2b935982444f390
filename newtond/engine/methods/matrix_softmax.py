"""Attention without values: F(X) = ½‖P(X) − B‖² + ½ Σ λᵢₖ Xᵢₖ², P = rowsoftmax(Q X Kᵀ), by rows of P.

With R = P − B, ρ the row means of R under P and G = P∘(R − ρ):

    ∇F = QᵀGK + λ∘X                                                                                        (1)
    ∇²F = Σ qⱼqⱼᵀ ⊗ Kᵀ Mⱼᵀ diag(fⱼ² + Gⱼ) Mⱼ K + diag(λ),   Mⱼ = I − 1fⱼᵀ                                   (2)

and the Gauss-Newton part leaves Gⱼ out. One product makes P once: four matrix products of n·s·d.

Source: Gao, Song, Yin, arXiv:2307.02419 (2023).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from newtond.engine.hessians import Direction
from newtond.engine.methods.damped import ROUNDING, dense_bend, dense_step, free_bend, free_step
from newtond.engine.methods.descent import Products
from newtond.engine.methods.kronecker import KroneckerInverse, outer_sum, sample_rows
from newtond.engine.rowblocks.scores import Scores
from newtond.engine.state import Matrix, Vector

GROUP_ENTRIES = 1 << 22
Change = Callable[[Matrix, Matrix, slice], Matrix]
"""From P and the residual of a block's rows to G or a change of it, (k, s)."""


@dataclass(frozen=True)
class Maps:
    """Everything of F but X: Q (n, r) white, K (s, c) in ``scores``, B (n, s), λ (r, c)."""

    queries: Matrix
    scores: Scores
    target: Matrix
    ridge: Matrix
    dense: bool

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self.queries.shape[1], self.scores.keys.shape[1]

    def of_rows(self, rows: NDArray[np.int64]) -> "Maps":
        """Return F on these rows alone, its ridge by their share."""
        return replace(
            self,
            queries=self.queries[rows],
            scores=self.scores.of_rows(rows),
            target=self.target[rows],
            ridge=self.ridge * (len(rows) / len(self.queries)),
        )

    def at(self, x: Vector) -> "MapFit":
        """Return F at x = vec(X), row by row."""
        return MapFit(self, x)


class MapFit:
    """F at one X; value at once, gradient and curvature when asked for."""

    kink = ""

    def __init__(self, maps: Maps, x: Vector) -> None:
        self.maps, self.x = maps, x
        self.X = x.reshape(maps.shape)
        self.queries = maps.queries @ self.X
        self.value = self._value() if np.isfinite(self.queries).all() else np.inf

    def _value(self) -> float:
        squares = np.empty(len(self.queries))

        def work(rows: slice, seen: slice, P: Matrix) -> None:
            P -= self.maps.target[rows, seen]
            hidden = self.maps.target[rows, seen.stop :]
            squares[rows] = np.einsum("ij,ij->i", P, P) + np.einsum("ij,ij->i", hidden, hidden)

        self.maps.scores.each(self.queries, work)
        return 0.5 * float(squares.sum() + np.sum(self.maps.ridge * self.X**2))

    def fitted(self) -> Matrix:
        """Return P (n, s)."""
        whole = np.zeros_like(self.maps.target)

        def work(rows: slice, seen: slice, P: Matrix) -> None:
            whole[rows, seen] = P

        self.maps.scores.each(self.queries, work)
        return whole

    @cached_property
    def noise(self) -> float:
        """The size of R that rounding alone could leave: the scores' errors are relative errors of P."""
        keys = self.maps.scores.keys
        steepest = np.linalg.norm(self.queries, axis=1).max() * np.linalg.norm(keys, axis=1).max()
        return float(8.0 * ROUNDING * (1.0 + steepest) * np.sqrt(len(self.queries)))

    def _back(self, change: Change) -> Vector:
        """Return Qᵀ change(P) K."""
        return (self.maps.queries.T @ self._turned(change)).ravel()

    def _turned(self, change: Change) -> Matrix:
        """Return change(P) K (n, c)."""
        keys = self.maps.scores.keys
        T = np.empty((len(self.queries), keys.shape[1]))

        def work(rows: slice, seen: slice, P: Matrix) -> None:
            T[rows] = change(P, P - self.maps.target[rows, seen], rows) @ keys[seen]

        self.maps.scores.each(self.queries, work)
        return T

    def pulled(self) -> Matrix:
        """Return G K (n, c)."""
        return self._turned(lambda P, R, _: P * _centred(R, P))

    @cached_property
    def gradient(self) -> Vector:
        """∇F, (1)."""
        if not np.isfinite(self.value):
            return np.full(self.x.size, np.nan)
        return (self.maps.queries.T @ self.pulled()).ravel() + (self.maps.ridge * self.X).ravel()

    def product(self, d: Vector, exact: bool) -> Vector:
        """Return the Hessian of F, or its Gauss-Newton part, times d."""
        turned, keys = self.maps.queries @ d.reshape(self.maps.shape), self.maps.scores.keys

        def change(P: Matrix, R: Matrix, rows: slice) -> Matrix:
            dS = _centred(turned[rows] @ keys[: P.shape[1]].T, P)
            dP = P * dS
            if not exact:
                return P * _centred(dP, P)
            centred = _centred(R, P)
            mean = np.einsum("ij,ij->i", dP, R) + np.einsum("ij,ij->i", P, dP)
            return P * (dS * centred + dP - mean[:, None])

        return self._back(change) + self.maps.ridge.ravel() * d

    @cached_property
    def _model(self) -> Matrix:
        return self.matrix(exact=False)

    @cached_property
    def _hessian(self) -> Matrix:
        return self.matrix(exact=True)

    def matrix(self, *, exact: bool) -> Matrix:
        """Return (2), or its Gauss-Newton part."""
        r, c = self.maps.shape
        H = np.zeros((r, r, c, c))
        for rows in self.maps.scores.groups(max(1, GROUP_ENTRIES // max(r * r, c * c))):
            q = self.maps.queries[rows]
            H += outer_sum(q, q, self._tensors(rows, exact))
        matrix: Matrix = H.transpose(0, 2, 1, 3).reshape(r * c, r * c)
        matrix[np.diag_indices(r * c)] += self.maps.ridge.ravel()
        return matrix

    def _tensors(self, rows: slice, exact: bool) -> NDArray[np.float64]:
        """Return Kᵀ Mⱼᵀ diag(fⱼ² + Gⱼ) Mⱼ K (k, c, c) of these rows."""
        keys, first = self.maps.scores.keys, rows.start
        out = np.empty((rows.stop - rows.start, keys.shape[1], keys.shape[1]))

        def work(block: slice, seen: slice, P: Matrix) -> None:
            weights = P * P
            if exact:
                weights += P * _centred(P - self.maps.target[block, seen], P)
            out[block.start - first : block.stop - first] = centred_grams(weights, P, keys[seen])

        self.maps.scores.each(self.queries, work, rows)
        return out

    @cached_property
    def _sampled(self) -> Matrix:
        """An estimate of the sum of (2) over the rows, without G, from evenly spaced ones."""
        rows = sample_rows(len(self.queries))
        P = self.maps.scores.sample(self.queries, rows)
        return centred_grams(P * P, P, self.maps.scores.keys).sum(axis=0) * (len(self.queries) / len(rows))

    @cached_property
    def _metric(self) -> float:
        own = self._model if self.maps.dense else self._sampled
        mean = float(np.trace(own)) / len(own) + float(self.maps.ridge.mean())
        return mean if mean > 0.0 else 1.0

    @cached_property
    def products(self) -> Products | None:
        """The Hessian by its products, where it is too large for a matrix."""
        if self.maps.dense:
            return None
        exact = partial(self.product, exact=True)
        return Products(exact, exact, KroneckerInverse(self._sampled, self.maps.ridge).apply)

    def drag(self, vector: Vector, damping: float) -> float:
        """Return what the damping adds to the quadratic form of a step."""
        return damping * self._metric * float(vector @ vector)

    def step(self, damping: float, exact: bool, accuracy: float) -> Direction | None:
        """Return the damped step; by Cholesky where ``dense``, else by conjugate gradients."""
        added = damping * self._metric
        if self.maps.dense:
            return dense_step(
                self._hessian if exact else self._model, self.gradient, added, np.ones(self.x.size)
            )
        inverse = KroneckerInverse(self._sampled, self.maps.ridge + added)
        return free_step(lambda d: self.product(d, exact) + added * d, self.gradient, inverse.apply, accuracy)

    def bend(self) -> Vector | None:
        """Return a unit vector along which the Hessian bends down, or None."""
        if self.maps.dense:
            return dense_bend(self._hessian)
        return free_bend(lambda d: self.product(d, True), self.x.size)


def _centred(values: Matrix, P: Matrix) -> Matrix:
    """Return the values less their row means under P."""
    return values - np.einsum("ij,ij->i", values, P)[:, None]


def centred_grams(weights: Matrix, P: Matrix, keys: Matrix) -> NDArray[np.float64]:
    """Return Kᵀ Mⱼᵀ diag(wⱼ) Mⱼ K for each row of weights and of P, (k, c, c)."""
    grams = np.empty((len(P), keys.shape[1], keys.shape[1]))
    for k in range(keys.shape[1]):
        grams[:, k] = weights @ (keys[:, k, None] * keys)
    means, first, total = P @ keys, weights @ keys, weights.sum(axis=1)
    both = first[:, :, None] * means[:, None, :]
    grams -= both + both.transpose(0, 2, 1)
    grams += total[:, None, None] * means[:, :, None] * means[:, None, :]
    return grams
