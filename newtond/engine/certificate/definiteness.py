"""How the objective curves at a point and around it: moduli that are proven, and what is only estimated."""

from dataclasses import dataclass, field

import numpy as np

from newtond.engine.certificate.point import Point
from newtond.engine.certificate.proof import UNIT, Form, Pivoting, lanczos, lowest_direction, pivoting
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Matrix, Vector

DENSE_LIMIT = 5_000
"""No cubic work, and no p × p matrix, above this many unknowns."""
GRAM_LIMIT = 4e11
"""Nor any Gram matrix that costs more multiplications than this."""
NULL_IMAGE_LIMIT = 2e9
LANCZOS_STEPS = 24
SHARES = (0.9, 0.5, 0.1, 0.01)
NUMERICAL_NULL = 1e-6


@dataclass(frozen=True)
class Definiteness:
    """``convex``: everywhere. Moduli are proven on ``unknowns`` (null-space coordinates held) or None.

    ``range_proven``: the dropped columns are proven to be combinations of the kept ones.
    ``negative``: an upper bound, below zero, of the curvature along some direction at the point.
    """

    convex: bool
    modulus_everywhere: float | None = None
    modulus_nearby: float | None = None
    nullity: int | None = None
    range_proven: bool = True
    negative: float | None = None
    formed: bool = True
    estimates: dict[str, float] = field(default_factory=dict)


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
    return 16.0 * UNIT * (rows.p + float(np.sqrt(rows.n)))


def _convex(point: Point) -> tuple[bool, Vector]:
    floors = point.floors(np.inf)
    return bool(np.all(floors >= 0.0)), floors


def _semidefinite(point: Point, form: Form, pivots: Pivoting, null: bool) -> Definiteness:
    """Prove moduli on the kept unknowns, downwards from the estimated smallest eigenvalue."""
    convex, floors = _convex(point)
    lowest = pivots.smallest_eigenvalue() if len(pivots.kept) else 0.0
    estimates = {"smallest_eigenvalue": lowest}
    if lowest > 0.0:
        largest = (
            float(np.linalg.norm(form.on(pivots.kept).H, 2))
            if point.rows.p <= 200
            else _largest(form.on(pivots.kept))
        )
        estimates["condition_number"] = largest / lowest
    everywhere = _modulus_everywhere(point, pivots, floors) if convex else None
    nearby = None
    if lowest > 0.0 and (everywhere is None or everywhere < 0.1 * lowest):
        nearby = _modulus_nearby(point, pivots, lowest)
    return Definiteness(
        convex=convex,
        modulus_everywhere=everywhere,
        modulus_nearby=nearby,
        nullity=len(pivots.dropped),
        range_proven=null or _spans(point, pivots, nearby or everywhere),
        estimates=estimates,
    )


def _spans(point: Point, pivots: Pivoting, modulus: float | None) -> bool:
    """As many independent columns as rows span everything; the modulus proves them independent."""
    return modulus is not None and len(pivots.kept) == point.rows.n and not point.penalty.any()


def _largest(form: Form) -> float:
    return -lanczos(lambda v: -(form.H @ v), len(form.H), 20)[0]


def _modulus_everywhere(point: Point, pivots: Pivoting, floors: Vector) -> float | None:
    if not np.any(floors > 0.0) and not point.penalty.any():
        return None
    form = point.form(floors).on(pivots.kept)
    estimate = pivoting(form, 0.0)
    if len(estimate.dropped) or not len(estimate.kept):
        return None
    lowest = estimate.smallest_eigenvalue()
    return next((share * lowest for share in SHARES if form.exceeds(share * lowest)), None)


def _modulus_nearby(point: Point, pivots: Pivoting, lowest: float) -> float | None:
    """Return μ with F μ-strongly convex on the ball of radius 2‖g‖/μ, within the kept unknowns."""
    for share in SHARES if point.rows.p <= 1500 else SHARES[1::2]:
        modulus = share * lowest
        floors = point.floors(2.0 * point.gradient_bound / modulus)
        if np.all(np.isfinite(floors)) and point.form(floors).on(pivots.kept).exceeds(modulus):
            return modulus
    return None


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
    """Whether the rounded directions are null vectors by exact arithmetic: integers, or at most two terms ±1."""
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
    convex, _ = _convex(point)
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
    convex, _ = _convex(point)
    ridge = float(point.penalty.min())
    everywhere = ridge if convex and ridge > 0.0 else None
    nearby = None
    if everywhere is None and ridge > 0.0:
        floors = point.floors(2.0 * point.gradient_bound / ridge)
        nearby = ridge if np.all(floors >= 0.0) else None
    value, v = lanczos(point.curvature, point.rows.p, LANCZOS_STEPS)
    bound = point.curvature_ceiling_along(v) if value < 0.0 else 0.0
    return Definiteness(
        convex=convex,
        modulus_everywhere=everywhere,
        modulus_nearby=nearby,
        negative=bound if bound < 0.0 else None,
        formed=False,
        estimates={"smallest_eigenvalue_at_most": value},
    )
