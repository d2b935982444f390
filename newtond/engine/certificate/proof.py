"""Positive definiteness proven in floating point, and the estimates that tell where to try.

Notation: u = 2⁻⁵³, γ_k = k u / (1 − k u), H = Ãᵀ diag(D) Ã + P of order p with P ≥ 0 diagonal,
t = diag(Ãᵀ diag|D| Ã + P), s = powers of two ≥ √t, K = diag(s)⁻¹ H diag(s)⁻¹ (exact, |Kᵢⱼ| ≤ 1).

(1) Forming H. With at most k additions in a row and q rounded factors, |fl(H) − H| ≤ γ_{k+q} (|Ã|ᵀ|D||Ã| + P)
    entrywise, in any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, sec. 3.1).
    The columns of |D|^½ Ã diag(s)⁻¹ have norm ≤ 1; with at most r entries a row its Gram matrix has norm ≤ r
    (Cauchy-Schwarz on every row), so the error of K has norm ≤ γ_{k+q} (r + 1).
(2) Cholesky. If it runs to completion on the symmetric matrix M in floating point, then M + E = RᵀR with
    |Eᵢⱼ| ≤ γ_{p+1}/(1 − γ_{p+1}) √(mᵢᵢ mⱼⱼ) (Demmel 1989; Higham, Theorem 10.3 and (10.5); Rump,
    Verification of positive definiteness, BIT 46, 2006). Here mᵢᵢ ≤ 1, so ‖E‖ ≤ p γ_{p+1}/(1 − γ_{p+1}).
(3) So if Cholesky completes on K − μ diag(m/s)² − c I with c the sum of both (and 8u for the diagonal's own
    roundings, and p² 2⁻⁹⁰⁰ far above all underflow), then H ⪰ μ diag(m)² exactly.
(4) (2) holds for any order of the unknowns and of the sums. Unknowns between which the computed H is 0 come first
    (the levels of a factor): their part of R is a diagonal, and only their Schur complement is factored.

A Cholesky that fails proves nothing, and nothing is then claimed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import eigh, lapack, solve_triangular

from newtond.engine.state import Matrix, Vector

UNIT = 2.0**-53
INVERSE_STEPS = 12
NONE = np.empty(0, np.intp)


class Pointwise(Protocol):
    """What ``PredictorLoss.expand`` returns: f(z), ∂f/∂z and ∂²f/∂z², the latter two (n,)."""

    @property
    def value(self) -> float: ...
    @property
    def gradient(self) -> Vector: ...
    @property
    def weights(self) -> Vector: ...


class PredictorLoss(Protocol):
    """A separable loss f(z) = Σ fᵢ(zᵢ), regulariser included, with bounds that hold in spite of rounding.

    ``curvature_floor`` and ``curvature_ceiling`` enclose fᵢ″ over low ≤ zᵢ ≤ high (±inf allowed in, and out);
    ``gradient_scale`` bounds the sum of the absolute values of the terms whose sum is fᵢ′(zᵢ), so that an
    entry of ``expand(z).gradient`` is off by at most ``EVALUATION_ULPS`` units of it.
    """

    def value(self, z: Vector) -> float: ...
    def expand(self, z: Vector) -> Pointwise: ...
    def curvature_floor(self, low: Vector, high: Vector) -> Vector: ...
    def curvature_ceiling(self, low: Vector, high: Vector) -> Vector: ...
    def gradient_scale(self, z: Vector) -> Vector: ...


EVALUATION_ULPS = 32.0
"""Two function values of at most 4 ulp each, the products and sums around them, and half to spare."""


def gamma(k: float) -> float:
    """Return γ_k, infinite where k u is no longer small."""
    return k * UNIT / (1.0 - k * UNIT) if k * UNIT < 0.5 else np.inf


class Parts(NamedTuple):
    """K in the order head, tail: the head's diagonal (h,), (tail, head), and (tail, tail), Fortran-ordered."""

    head: NDArray[np.intp]
    tail: NDArray[np.intp]
    diagonal: Vector
    border: Matrix
    rest: Matrix

    def eliminated(self) -> tuple[Vector, Matrix, Matrix]:
        """Return the head's rows of the factor (h,), (tail, head), and what is left to factor (tail, tail)."""
        if not len(self.head):
            return self.diagonal, self.border, self.rest
        root = np.sqrt(self.diagonal)
        border = self.border / root
        return root, border, np.asfortranarray(self.rest - border @ border.T)


@dataclass(frozen=True)
class Form:
    """A computed H (p, p), its absolute diagonal t (p,), and how far off forming it is, relative to t."""

    H: "Matrix | sp.csr_array"
    absolute: Vector
    error: float

    @cached_property
    def apart(self) -> NDArray[np.intp]:
        """Unknowns between which H is 0, ascending, if most are; found from a sparse H alone."""
        if isinstance(self.H, np.ndarray):
            return NONE
        chosen, blocked = [], np.zeros(len(self.absolute), np.bool_)
        for j in np.argsort(np.diff(self.H.indptr), kind="stable"):
            if not blocked[j]:
                chosen.append(j)
                blocked[self.H.indices[self.H.indptr[j] : self.H.indptr[j + 1]]] = True
        return np.sort(np.array(chosen, np.intp)) if 2 * len(chosen) >= len(blocked) else NONE

    def parts(self, taken: Vector, above: float = 0.0) -> Parts:
        """Return K − diag(taken), those unknowns of ``apart`` first whose diagonal is larger than ``above``."""
        s = self.scale
        diagonal = self.H.diagonal() / s / s - taken
        head = self.apart[diagonal[self.apart] > above]
        tail = np.setdiff1d(np.arange(len(s)), head)
        if isinstance(self.H, np.ndarray) or not len(head):
            rest, border = self.scaled(), np.empty((len(s), 0))
        else:
            rows = sp.diags_array(1.0 / s[tail]) @ self.H[tail] @ sp.diags_array(1.0 / s)
            border, rest = rows[:, head].toarray(), rows[:, tail].toarray(order="F")
        rest[np.diag_indices_from(rest)] = diagonal[tail]
        return Parts(head, tail, diagonal[head], border, rest)

    @property
    def scale(self) -> Vector:
        """Powers of two at least √t, 1 where t = 0; (p,)."""
        _, exponent = np.frexp(np.sqrt(self.absolute))
        return np.where(self.absolute > 0.0, np.ldexp(1.0, exponent), 1.0)

    @property
    def margin(self) -> float:
        """The c of (3)."""
        p = len(self.absolute)
        cholesky = p * gamma(p + 1) / (1.0 - gamma(p + 1))
        return self.error + cholesky + 8.0 * UNIT + p**2 * 2.0**-900

    def scaled(self) -> Matrix:
        """Return K, (p, p), a new Fortran-ordered array."""
        s = self.scale
        K = np.array(self.H if isinstance(self.H, np.ndarray) else self.H.toarray(), order="F")
        K /= s[:, None]
        K /= s
        return K

    def on(self, kept: NDArray[np.intp]) -> "Form":
        """Return the principal part of the kept unknowns, given in ascending order."""
        if len(kept) == len(self.absolute):
            return self
        H = self.H[np.ix_(kept, kept)] if isinstance(self.H, np.ndarray) else self.H[kept][:, kept]
        return Form(H, self.absolute[kept], self.error)

    def exceeds(self, modulus: float, metric: Vector) -> bool:
        """Return whether H ⪰ modulus · diag(metric)² is proven; p³/3 flops, of the tail's p."""
        if not (np.isfinite(self.margin) and np.all(np.isfinite(self.absolute))):
            return False
        taken = modulus * (metric / self.scale) ** 2 + self.margin
        if not (self.H.diagonal() / self.scale / self.scale > taken).all():
            return False
        _, _, left = self.parts(taken).eliminated()
        return not len(left) or bool(lapack.dpotrf(left, lower=1, clean=0, overwrite_a=1)[1] == 0)


@dataclass(frozen=True)
class Factor:
    """The lower triangle [[diag(root), 0], [border, corner]] of a Cholesky factorisation, head first."""

    root: Vector
    border: Matrix
    corner: Matrix

    def solve(self, v: Matrix) -> Matrix:
        """Return L⁻¹ v."""
        head = (v[: len(self.root)].T / self.root).T
        tail = v[len(self.root) :] - self.border @ head
        return np.concatenate([head, self._corner(tail, 0)])

    def solve_transposed(self, v: Matrix) -> Matrix:
        """Return L⁻ᵀ v."""
        tail = self._corner(v[len(self.root) :], 1)
        head = v[: len(self.root)] - self.border.T @ tail
        return np.concatenate([(head.T / self.root).T, tail])

    def _corner(self, v: Matrix, trans: Literal[0, 1]) -> Matrix:
        if not len(self.corner):
            return v
        return np.asarray(solve_triangular(self.corner, v, lower=True, trans=trans, check_finite=False))


@dataclass(frozen=True)
class Pivoting:
    """A pivoted Cholesky of the scaled matrix: the unknowns kept, those that depend on them, the factor."""

    kept: NDArray[np.intp]
    dropped: NDArray[np.intp]
    factor: Factor
    coupling: Matrix
    scale: Vector

    @property
    def unknowns(self) -> NDArray[np.intp]:
        """The kept unknowns in ascending order."""
        return np.sort(self.kept)

    def null_candidates(self) -> Matrix:
        """Return a direction a dropped unknown, along which the quadratic form should vanish; (p, k)."""
        N = np.zeros((len(self.scale), len(self.dropped)))
        N[self.dropped, np.arange(len(self.dropped))] = 1.0 / self.scale[self.dropped]
        N[self.kept] = -self.factor.solve_transposed(self.coupling.T) / self.scale[self.kept, None]
        return N * self.scale[self.dropped]

    def solve(self, v: Vector) -> Vector:
        """Return H⁻¹ v on the kept unknowns."""
        s = self.scale[self.kept]
        return np.asarray(self.factor.solve_transposed(self.factor.solve(v / s)) / s)

    def smallest_eigenvalue(self, metric: Vector) -> float:
        """Estimate λ_min of the kept part of diag(metric)⁻¹ H diag(metric)⁻¹ by inverse iteration."""
        m = metric[self.kept]
        v = np.cos(1.0 + np.arange(len(m), dtype=np.float64))
        growth = np.inf
        for _ in range(INVERSE_STEPS):
            v /= np.linalg.norm(v)
            v = m * self.solve(m * v)
            growth = float(np.linalg.norm(v))
        return 1.0 / growth if np.isfinite(growth) and growth > 0.0 else 0.0


def pivoting(form: Form, tolerance: float) -> Pivoting:
    """Factor the scaled form by pivoted Cholesky, ``apart`` first, and stop at the first pivot ≤ tolerance."""
    parts = form.parts(np.zeros_like(form.absolute), tolerance)
    root, border, left = parts.eliminated()
    L, order, rank = left, np.empty(0, np.intp), 0
    if len(left):
        L, order, rank, _ = lapack.dpstrf(left, tol=tolerance, lower=1, overwrite_a=1)
    order = order.astype(np.intp) - 1
    first, rest = order[:rank], order[rank:]
    factor = Factor(root, border[first], np.asfortranarray(L[:rank, :rank]))
    kept = np.concatenate([parts.head, parts.tail[first]])
    return Pivoting(kept, parts.tail[rest], factor, np.hstack([border[rest], L[rank:, :rank]]), form.scale)


def lowest_direction(K: Matrix) -> Vector:
    """Return about the lowest eigenvector, (p,); p³ flops up to 1,000 unknowns, then 80 p²."""
    if len(K) <= 1000:
        return np.asarray(eigh(K, subset_by_index=(0, 0), check_finite=False)[1][:, 0])
    return lanczos(lambda v: K @ v, len(K), 80)[1]


def lanczos(product: Callable[[Vector], Vector], order: int, steps: int) -> tuple[float, Vector]:
    """Return the lowest Ritz value (λ_min is no larger, but for rounding) and vector, from a fixed start."""
    steps = min(steps, order)
    basis = np.zeros((steps, order))
    basis[0] = np.cos(1.0 + np.arange(order, dtype=np.float64))
    basis[0] /= np.linalg.norm(basis[0])
    T = np.zeros((steps, steps))
    for k in range(steps):
        w = product(basis[k])
        T[k, k] = float(basis[k] @ w)
        for _ in range(2):
            w -= basis[: k + 1].T @ (basis[: k + 1] @ w)
        beta = float(np.linalg.norm(w))
        if k + 1 == steps or beta <= 1e-14 * max(abs(T).max(), UNIT):
            break
        T[k, k + 1] = T[k + 1, k] = beta
        basis[k + 1] = w / beta
    value, vector = np.linalg.eigh(T[: k + 1, : k + 1])
    return float(value[0]), np.asarray(vector[:, 0] @ basis[: k + 1])
