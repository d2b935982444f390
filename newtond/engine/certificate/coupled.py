"""The certificate of a loss that couples the rows of a group.

No interval bound of its curvature is at hand, so nothing is claimed around x but where w makes F convex
everywhere by a proven threshold: there ‖x − x*‖ ≤ ‖g‖/μ. Else x is called a strict local minimum where the
Hessian H at x, its corrections of rank two a group included, has a Cholesky factor after a margin for rounding
is taken off, and where the Newton step −H⁻¹g moves no predictor by more than 1e-3 of the largest.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from newtond.contract.result import Certificate, Curvature
from newtond.engine.certificate.definiteness import DENSE_LIMIT
from newtond.engine.certificate.proof import UNIT, Form, Pivoting, gamma, lanczos, lowest_direction, pivoting
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Csr, Matrix, Vector

NEAR = 1e-3
EVALUATION = 64.0
"""Units of rounding in an entry of B or of the gradient in z, besides sums over a group."""
SHARES = (0.9, 0.5, 0.1)


class CoupledLoss(Protocol):
    """What ``GroupedLoss`` tells: its expansion in z, and bounds of its curvature."""

    invariant: bool
    groups: Any

    def expand(self, z: Vector) -> Any: ...
    def convexity_floor(self) -> Vector | None: ...
    def least_curvature(self, z: Vector) -> float: ...


@dataclass(frozen=True)
class Place:
    """y = (x, intercept) of F(y) = f(Ãy) + ½ yᵀ diag(penalty) y."""

    rows: Rows
    loss: CoupledLoss
    penalty: Vector
    y: Vector

    @cached_property
    def z(self) -> Vector:
        return self.rows.predictor(self.y)

    @cached_property
    def expansion(self) -> Any:
        return self.loss.expand(self.z)

    @cached_property
    def value(self) -> float:
        return float(self.expansion.value) + 0.5 * float(self.penalty @ np.square(self.y))

    @cached_property
    def gradient(self) -> Vector:
        return self.rows.transpose(self.expansion.gradient) + self.penalty * self.y

    def sums(self, weights: Vector, absolute: bool = False) -> Matrix:
        """Return Σ weightsᵢ ãᵢ over each group, (G, p); of absolute values on request."""
        edges = self.loss.groups.edges
        total = np.zeros((len(edges) - 1, self.rows.p))
        for part, block in self.rows.chunks():
            first, last = np.searchsorted(edges, [part.start, part.stop - 1], side="right") - 1
            cuts = np.clip(edges[first : last + 2], part.start, part.stop) - part.start
            pick: Any = sp.csr_array((weights[part], np.arange(cuts[-1]), cuts), (last - first + 1, cuts[-1]))
            product: Any = abs(pick) @ abs(block) if absolute else pick @ block
            if isinstance(product, sp.csr_array):
                product = product.toarray()
            total[first : last + 1, : self.rows.d] += product
            if self.rows.intercept:
                total[first : last + 1, self.rows.d] += (abs(pick) if absolute else pick).sum(axis=1)
        return total

    @cached_property
    def form(self) -> Form:
        """H at y, and how far off forming it can be."""
        B, K = self.expansion.curvature, self.expansion.curvature.coupling
        weights, p = K.k**2 * B.d + B.h, K.k * K.left * B.d + B.q
        core = self.loss.groups.sums(K.left**2 * B.d)
        along_a, along_p = self.sums(K.a), self.sums(p)
        E = 0.5 * core[:, None] * along_a - along_p
        H = self.rows.gram(weights) + E.T @ along_a + along_a.T @ E
        H[np.diag_indices_from(H)] += self.penalty
        big_a, big_p = self.sums(K.a, True), self.sums(p, True)
        big_e = 0.5 * np.abs(core)[:, None] * big_a + big_p
        whole = self.rows.column_squares(np.abs(weights)) + self.penalty
        absolute = 1.001 * (whole + 2.0 * np.einsum("ij,ij->j", big_e, big_a))
        s = np.sqrt(np.where(absolute > 0.0, absolute, 1.0))
        low_rank = 2.0 * float(np.linalg.norm(big_e / s) * np.linalg.norm(big_a / s))
        terms = self.rows.terms + len(core) + int(self.loss.groups.sizes.max())
        return Form(H, absolute, (gamma(terms) + EVALUATION * UNIT) * (self.rows.widest + 1 + low_rank))

    def bend(self, v: Vector) -> float:
        """Return vᵀHv, and nothing where rounding could have made it."""
        image = self.rows.predictor(v)
        across = self.expansion.curvature.apply(image)
        size = float(np.abs(image) @ np.abs(across)) + float(self.penalty @ np.square(v))
        value = float(image @ across) + float(self.penalty @ np.square(v))
        rounding = self.form.margin * float(np.abs(v) @ np.sqrt(self.form.absolute)) ** 2
        return value if abs(value) > max(1e-8 * size, rounding) else 0.0


def certify_coupled(
    A: Csr | NDArray[np.float64], x: Vector, intercept: float | None, loss: CoupledLoss, ridge: float
) -> Certificate:
    """Return what is proven of x (d,); about ten passes over A and, up to 5,000 unknowns, one Gram and d³."""
    started = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        rows = Rows(A, intercept is not None)
        y = np.asarray(x, np.float64) if intercept is None else np.append(x, intercept)
        penalty = np.full(rows.p, ridge)
        penalty[rows.d :] = 0.0
        certificate = _certify(Place(rows, loss, penalty, y))
    return certificate.model_copy(update={"seconds": time.perf_counter() - started})


def _certify(place: Place) -> Certificate:
    if not (np.isfinite(place.y).all() and np.isfinite(place.value) and np.isfinite(place.gradient).all()):
        return Certificate(
            loss=None,
            gradient_norm=None,
            relative_gradient_norm=None,
            curvature="undetermined",
            scope="none",
            statements=["The point, its loss or its derivatives are not finite: nothing is proven of it."],
        )
    norm = float(np.linalg.norm(place.gradient))
    start = Place(place.rows, place.loss, place.penalty, np.zeros_like(place.y)).gradient
    origin = float(np.linalg.norm(start))
    found = _shape(place)
    return Certificate(
        loss=place.value,
        gradient_norm=norm,
        relative_gradient_norm=norm / origin if np.isfinite(origin) and origin > 0.0 else None,
        curvature=found.verdict,
        scope="global" if found.modulus else ("none" if found.verdict == "undetermined" else "local"),
        strong_convexity=found.modulus,
        distance_bound=norm * 1.001 / found.modulus if found.modulus and norm > 0.0 else None,
        nullity=found.nullity,
        estimates={"least_curvature_in_z_at_least": place.loss.least_curvature(place.z), **found.estimates},
        statements=found.statements,
    )


@dataclass(frozen=True)
class Shape:
    """What the curvature at a point, and everywhere, comes to."""

    verdict: Curvature
    statements: list[str]
    nullity: int | None = None
    modulus: float | None = None
    estimates: "dict[str, float | None]" = None  # type: ignore[assignment]


def _shape(place: Place) -> Shape:
    if place.rows.p > DENSE_LIMIT:
        return _unformed(place)
    modulus = _global(place)
    form = place.form
    pivots = pivoting(form, form.margin + 16.0 * UNIT * place.rows.p)
    null, exact = _null(place, pivots)
    lowest = pivots.smallest_eigenvalue(np.ones(place.rows.p)) if len(pivots.kept) else 0.0
    estimates: dict[str, float | None] = {"smallest_eigenvalue": lowest}
    if null and not len(pivots.kept):
        said = ["No direction of x changes any prediction: F is constant, and every x a minimiser."]
        return Shape("global_minimum", said, place.rows.p, modulus, estimates)
    definite = len(pivots.kept) > 0 and form.on(pivots.unknowns).exceeds(0.0, np.ones(len(pivots.kept)))
    if not null or not definite:
        return _not_definite(place, form, estimates)
    step = np.zeros(place.rows.p)
    step[pivots.kept] = pivots.solve(place.gradient[pivots.kept])
    moved = float(np.max(np.abs(place.rows.predictor(step)), initial=0.0))
    near = moved <= NEAR * max(1.0, float(np.max(np.abs(place.z), initial=0.0)))
    said = [*_of_minimum(near, moved), *_of_null(len(pivots.dropped), exact), *_of_reach(modulus)]
    if not near:
        return Shape("undetermined", said, len(pivots.dropped), modulus, estimates)
    verdict: Curvature = "global_minimum" if modulus else "strict_local_minimum"
    return Shape(verdict, said, len(pivots.dropped), modulus, estimates)


def _global(place: Place) -> float | None:
    """Return μ of F everywhere, from the proven threshold; None where w does not reach it."""
    floor = place.loss.convexity_floor()
    if floor is None or not (floor >= 0.0).all():
        return None
    weights = np.ascontiguousarray(np.broadcast_to(floor, place.rows.n))
    H = place.rows.gram(weights)
    H[np.diag_indices_from(H)] += place.penalty
    absolute = 1.001 * (place.rows.column_squares(weights) + place.penalty)
    form = Form(H, absolute, gamma(place.rows.terms + 4) * (place.rows.widest + 1))
    trial = pivoting(form, 0.0)
    if len(trial.dropped):
        return None
    ones = np.ones(place.rows.p)
    lowest = trial.smallest_eigenvalue(ones)
    return next((s * lowest for s in SHARES if lowest > 0.0 and form.exceeds(s * lowest, ones)), None)


def _null(place: Place, pivots: Pivoting) -> tuple[bool, bool]:
    """Say whether the dropped directions move no prediction: to rounding, and exactly."""
    if not len(pivots.dropped):
        return True, True
    N = pivots.null_candidates()
    R = np.rint(N)
    if not np.isfinite(N).all() or np.any(R.T * place.penalty):
        return False, False
    exact = bool(np.all(np.abs(N - R) <= 1e-3)) and _countable(place, R) and not _moves(place, R).any()
    size = np.sqrt(np.square(N).T @ place.rows.column_squares(np.ones(place.rows.n)))
    return exact or bool(np.all(_moves(place, N) <= 1e-6 * size)), exact


def _countable(place: Place, R: Matrix) -> bool:
    """Whether A R is exact in floating point."""
    if np.all(np.abs(R) <= 1.0) and np.all(np.count_nonzero(R, axis=0) <= 1 + (not place.loss.invariant)):
        return True
    return place.rows.integral(np.flatnonzero(np.any(R[: place.rows.d], axis=1)))


def _moves(place: Place, N: Matrix) -> Vector:
    """Return the largest change of a predictor along each column of N, what is constant on groups left out."""
    image = place.rows.predictor(N)
    if place.loss.invariant:
        image = image - image[place.loss.groups.edges[:-1]][place.loss.groups.of_row]
    return np.max(np.abs(image), axis=0, initial=0.0)


def _not_definite(place: Place, form: Form, estimates: "dict[str, float | None]") -> Shape:
    v = lowest_direction(form.scaled()) / form.scale
    bend = place.bend(v / np.linalg.norm(v))
    if bend < 0.0:
        said = [
            f"x is not a minimum: the curvature along one direction is about {bend:.1e}, beyond rounding."
        ]
        return Shape("saddle", said, None, None, {**estimates, "lowest_curvature_found": bend})
    said = ["The Hessian at x is not provably positive definite: no claim is made that x is a minimum."]
    return Shape("undetermined", said, None, None, estimates)


def _unformed(place: Place) -> Shape:
    def product(v: Vector) -> Vector:
        return (
            place.rows.transpose(place.expansion.curvature.apply(place.rows.predictor(v))) + place.penalty * v
        )

    value, _ = lanczos(product, place.rows.p, 24)
    said = ["The Hessian is too large to factor: its smallest eigenvalue is only estimated, from above."]
    return Shape("undetermined", said, None, None, {"smallest_eigenvalue_at_most": value})


def _of_minimum(near: bool, moved: float) -> list[str]:
    if near:
        return [
            "The Hessian at x is positive definite (factorised with a margin for rounding), and a Newton step would "
            f"move no predictor by more than {1.05 * moved:.1e}: x is a strict local minimum to that accuracy."
        ]
    return [f"A Newton step would still move a predictor by {moved:.1e}: x is not yet at a minimum."]


def _of_null(nullity: int, exact: bool) -> list[str]:
    if not nullity:
        return []
    how = "by exact arithmetic" if exact else "to rounding"
    return [f"{nullity} directions of x change no prediction ({how}); the rest of x is meant above."]


def _of_reach(modulus: float | None) -> list[str]:
    if modulus:
        return ["F is convex everywhere by a proven threshold of w, so that minimum is the global one."]
    return ["Local: nothing is claimed about other minima, nor a distance to this one."]
