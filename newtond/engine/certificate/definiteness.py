"""How the objective curves at a point and around it: moduli that are proven, and what is only estimated."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from newtond.engine.certificate.point import OUTWARD, Point
from newtond.engine.certificate.proof import UNIT, Form, Pivoting, lanczos, lowest_direction, pivoting
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Matrix, Vector

DENSE_LIMIT = 5_000
"""No cubic work, and no p × p matrix, above this many unknowns."""
GRAM_LIMIT = 4e11
"""Nor any Gram matrix that costs more multiplications than this."""
NULL_IMAGE_LIMIT = 2e9
LANCZOS_STEPS = 24
MANY_TRIES_LIMIT = 1_500
SHARES = (0.9, 0.5, 0.1, 0.01)
NUMERICAL_NULL = 1e-6


@dataclass(frozen=True)
class Modulus:
    """μ with H ⪰ μ diag(metric)² on the kept unknowns, and what follows for the minimiser x* near x.

    With ‖e‖ₘ = ‖diag(metric) e‖ the argument of ``predictor`` reads
    ‖x − x*‖ₘ ≤ ‖diag(metric)⁻¹ g‖/μ = ``radius``.
    """

    value: float
    metric: Vector
    kept: NDArray[np.intp]
    radius: float
    gradient_norm: float
    plain: float = 0.0
    """μ proven in the plain norm by a factor of its own, 0 if that failed."""

    @property
    def euclidean(self) -> float:
        """μ of the plain norm."""
        return max(self.plain, self.value * float(np.min(self.metric[self.kept])) ** 2)

    @property
    def distance(self) -> float:
        """At least ‖x − x*‖."""
        scaled = self.radius / float(np.min(self.metric[self.kept]))
        return min(scaled, self.gradient_norm / self.plain if self.plain > 0.0 else np.inf) * (1.0 + 1e-9)


@dataclass(frozen=True)
class Definiteness:
    """``convex``: everywhere. Moduli are proven, with the coefficients of dependent columns held, or None.

    ``range_proven``: the dropped columns are proven to be combinations of the kept ones.
    ``negative``: an upper bound, below zero, of the curvature along some direction at the point.
    """

    convex: bool
    everywhere: Modulus | None = None
    nearby: Modulus | None = None
    nullity: int | None = None
    range_proven: bool = True
    negative: float | None = None
    formed: bool = True
    estimates: dict[str, float] = field(default_factory=dict)

    @property
    def proven(self) -> list[Modulus]:
        return [m for m in (self.everywhere, self.nearby) if m is not None]


def definiteness(point: Point) -> Definiteness:
    """Examine the Hessian at ``point`` and around it; p³ flops a few times, or none above ``DENSE_LIMIT``."""
    if point.rows.p > DENSE_LIMIT or point.rows.gram_flops > GRAM_LIMIT:
        return _without_matrix(point)
    form = point.form(point.expansion.weights)
    pivots = pivoting(form, _rank_tolerance(point.rows))
    null = _null_space(point, pivots)
    if null is None:
        return _indefinite(point, form)
    return _semidefinite(point, form, pivots, null)


def _rank_tolerance(rows: Rows) -> float:
    return float(16.0 * UNIT * (rows.p + np.sqrt(rows.n)))


def _floors_everywhere(point: Point) -> Vector:
    return point.floors(np.full_like(point.z, np.inf))


def _semidefinite(point: Point, form: Form, pivots: Pivoting, null: bool) -> Definiteness:
    """Prove moduli on the kept unknowns, downwards from the estimated smallest eigenvalue."""
    floors = _floors_everywhere(point)
    convex = bool(np.all(floors >= 0.0))
    everywhere = _modulus_everywhere(point, pivots, floors) if convex else None
    nearby = _modulus_nearby(point, form, pivots)
    return Definiteness(
        convex=convex,
        everywhere=everywhere,
        nearby=nearby,
        nullity=len(pivots.dropped),
        range_proven=null or _spans(point, pivots, nearby or everywhere),
        estimates=_spectrum(form, pivots),
    )


def _spectrum(form: Form, pivots: Pivoting) -> dict[str, float]:
    ones = np.ones(len(form.absolute))
    lowest = pivots.smallest_eigenvalue(ones) if len(pivots.kept) else 0.0
    largest = -lanczos(lambda v: -(form.H @ v), len(form.absolute), LANCZOS_STEPS)[0]
    known = {"smallest_eigenvalue": lowest}
    return {**known, "condition_number": largest / lowest} if lowest > 0.0 else known


def _spans(point: Point, pivots: Pivoting, modulus: Modulus | None) -> bool:
    """As many independent columns as rows span everything; the modulus proves them independent."""
    return modulus is not None and len(pivots.kept) == point.rows.n and not point.penalty.any()


def _shares(point: Point) -> tuple[float, ...]:
    return SHARES if point.rows.p <= MANY_TRIES_LIMIT else SHARES[1::2]


def _modulus(point: Point, kept: NDArray[np.intp], metric: Vector, value: float) -> Modulus:
    gradient = point.gradient_bound[kept]
    radius = float(np.linalg.norm(gradient / metric[kept])) / value * (1.0 + 1e-9)
    return Modulus(value, metric, kept, radius, float(np.linalg.norm(gradient)))


def _with_plain(modulus: Modulus, form: Form, lowest: float) -> Modulus:
    """Prove μ in the plain norm too, where the form is already known to be positive definite."""
    plain = SHARES[1] * lowest
    proven = plain > modulus.euclidean and form.exceeds(plain, np.ones(len(modulus.kept)))
    return replace(modulus, plain=plain) if proven else modulus


def _modulus_everywhere(point: Point, pivots: Pivoting, floors: Vector) -> Modulus | None:
    if not np.any(floors > 0.0) and not point.penalty.any():
        return None
    whole = point.form(floors)
    kept = pivots.unknowns
    form, metric = whole.on(kept), whole.scale
    trial = pivoting(form, 0.0)
    if len(trial.dropped) or not len(trial.kept):
        return None
    lowest = trial.smallest_eigenvalue(metric[kept])
    for value in (share * lowest for share in _shares(point)):
        if value > 0.0 and form.exceeds(value, metric[kept]):
            return _with_plain(
                _modulus(point, kept, metric, value), form, trial.smallest_eigenvalue(np.ones(len(kept)))
            )
    return None


def _modulus_nearby(point: Point, form: Form, pivots: Pivoting) -> Modulus | None:
    """Return μ proven for the Hessian throughout ‖y − x‖ₘ ≤ 2 · radius, the kept unknowns moving."""
    metric, kept = form.scale, pivots.unknowns
    lowest = pivots.smallest_eigenvalue(metric) if len(kept) else 0.0
    lengths = OUTWARD * point.rows.norms(metric)
    for value in (share * lowest for share in _shares(point)):
        if value <= 0.0:
            return None
        modulus = _modulus(point, kept, metric, value)
        floors = point.floors(2.0 * modulus.radius * lengths)
        if _may_be_definite(point, floors, kept) and (around := point.form(floors).on(kept)).exceeds(
            value, metric[kept]
        ):
            return _with_plain(modulus, around, pivots.smallest_eigenvalue(np.ones_like(metric)))
    return None


def _may_be_definite(point: Point, floors: Vector, kept: NDArray[np.intp]) -> bool:
    """Whether the diagonal is positive: one pass, where it is not, instead of a Gram that proves nothing."""
    if not np.all(np.isfinite(floors)):
        return False
    return bool(np.all((point.rows.column_squares(floors) + point.penalty)[kept] > 0.0))


def _null_space(point: Point, pivots: Pivoting) -> bool | None:
    """Say whether the dropped directions are null: True proven, False to rounding, None not at all."""
    if not len(pivots.dropped):
        return True
    N = pivots.null_candidates()
    if not np.all(np.isfinite(N)):
        return None
    if _integer_null(point, np.rint(N), N):
        return True
    if point.rows.n * len(pivots.dropped) * point.rows.widest > NULL_IMAGE_LIMIT:
        N = N @ np.cos(1.0 + np.arange(N.shape[1], dtype=np.float64))[:, None]
    _, squares = point.rows.image_norms(N)
    columns = point.rows.column_squares(np.ones(point.rows.n))
    size = np.square(N).T @ (columns + point.penalty)
    return False if np.all(squares + np.square(N).T @ point.penalty <= NUMERICAL_NULL**2 * size) else None


def _integer_null(point: Point, R: Matrix, N: Matrix) -> bool:
    """Whether the rounded directions are null by exact arithmetic: integers, or at most two terms ±1."""
    cost = point.rows.n * R.shape[1] * point.rows.widest
    if np.any(np.abs(N - R) > 1e-3) or cost > NULL_IMAGE_LIMIT or np.any(R.T * point.penalty):
        return False
    support = np.flatnonzero(np.any(R[: point.rows.d], axis=1))
    pairs = bool(np.all(np.abs(R) <= 1.0) and np.all(np.count_nonzero(R, axis=0) <= 2))
    small = bool(np.all(np.sum(np.abs(R), axis=0) < 2.0**20))
    if not (pairs or (small and point.rows.integral(support))):
        return False
    return not point.rows.image_norms(R)[0].any()


def _indefinite(point: Point, form: Form) -> Definiteness:
    """Look for a direction of negative curvature; the rank is that of the design itself."""
    convex = bool(np.all(_floors_everywhere(point) >= 0.0))
    pivots = pivoting(point.form(np.ones(point.rows.n)), _rank_tolerance(point.rows))
    v = lowest_direction(form.scaled()) / form.scale
    bound = point.curvature_ceiling_along(v)
    estimate = float(v @ (form.H @ v) / (v @ v))
    return Definiteness(
        convex=convex,
        nullity=len(pivots.dropped),
        range_proven=False,
        negative=bound if bound < 0.0 else None,
        estimates={"lowest_curvature_found": estimate},
    )


def _without_matrix(point: Point) -> Definiteness:
    """Where no factorisation fits: what the ridge alone proves, and a Ritz value."""
    convex = bool(np.all(_floors_everywhere(point) >= 0.0))
    ridge = float(point.penalty.min())
    alone = _modulus(point, np.arange(point.rows.p), np.ones(point.rows.p), ridge) if ridge > 0.0 else None
    around = alone is not None and np.all(point.floors(2.0 * alone.radius * point.norms) >= 0.0)
    value, v = lanczos(point.curvature, point.rows.p, LANCZOS_STEPS)
    bound = point.curvature_ceiling_along(v) if value < 0.0 else 0.0
    return Definiteness(
        convex=convex,
        everywhere=alone if convex else None,
        nearby=alone if around else None,
        negative=bound if bound < 0.0 else None,
        formed=False,
        estimates={"smallest_eigenvalue_at_most": value},
    )
