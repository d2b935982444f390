"""The certificate of a loss that is a separable function of the linear predictor.

With ‖g‖ the norm of the exact gradient at x, rounding included, and μ a proven modulus of strong convexity:

- F μ-strongly convex everywhere: ‖x − x*‖ ≤ ‖g‖/μ for its one minimiser x*.
- F μ-strongly convex on the ball of radius 2‖g‖/μ around x: on every sphere of radius t in (‖g‖/μ, 2‖g‖/μ]
  the gradient points outwards (∇F(y)·(y − x) ≥ μt² − ‖g‖t > 0), so the ball holds exactly one minimiser,
  within ‖g‖/μ of x.
- Both hold in the norm of any diagonal metric as well, which is how columns of different scale are met.
- Columns of A that are combinations of the others add nothing to the range of A: F is examined with their
  coefficients held at x, which is the whole of F as a function of the predictions. The minimiser found that
  way is one of a flat of minimisers, and projecting on the row space brings none of them further from x.
"""

import time
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dnrm2  # whose sum of squares cannot overflow
from threadpoolctl import threadpool_limits

from newtond.contract.result import Certificate, Curvature
from newtond.engine.certificate.definiteness import Definiteness, definiteness
from newtond.engine.certificate.point import Point
from newtond.engine.certificate.proof import PredictorLoss
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Csr, Vector

NEAR = 1e-3
"""x counts as a minimum when the proven distance moves no z by more than this times max(1, ‖z‖∞)."""


def certify_predictor(
    A: Csr | NDArray[np.float64],
    x: Vector,
    intercept: float | None,
    loss: PredictorLoss,
    ridge: float,
    *,
    start_gradient: bool = True,
) -> Certificate:
    """Return what is proven of x (d,) for f(Ax + intercept) + ½ ridge ‖x‖²; a bound not proven is None.

    Costs about twenty passes over A and, up to 5,000 unknowns, two Gram matrices and d³ flops.
    """
    started = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        point = point_of(A, x, intercept, loss, ridge)
        certificate = _certify(point, start_gradient)
    return certificate.model_copy(update={"seconds": time.perf_counter() - started})


def point_of(
    A: Csr | NDArray[np.float64], x: Vector, intercept: float | None, loss: PredictorLoss, ridge: float
) -> Point:
    """Return x as a point of the objective, the intercept its last unknown, free of the ridge."""
    rows = Rows(A, intercept is not None)
    y = np.asarray(x, dtype=np.float64) if intercept is None else np.append(x, intercept)
    penalty = np.full(rows.p, ridge)
    penalty[rows.d :] = 0.0
    return Point(rows, loss, penalty, y)


def _certify(point: Point, start_gradient: bool) -> Certificate:
    if not _finite(point):
        return _nothing_proven(point)
    shape = definiteness(point)
    bound = _distance(shape, point.rows.p)
    near = bound == 0.0 or _is_near(point, shape)
    constant = _constant(shape, point.rows.p)
    relative, remark = _relative_gradient(point) if start_gradient else (None, [])
    estimates = dict(shape.estimates)
    if bound is not None and not shape.range_proven:
        estimates["distance_with_dependent_coefficients_held"] = bound
    return Certificate(
        loss=point.value,
        gradient_norm=float(dnrm2(point.gradient)),
        relative_gradient_norm=relative,
        curvature=_verdict(shape, near, constant),
        scope="global" if constant else _scope(shape),
        strong_convexity=_strong_convexity(shape) if shape.range_proven else None,
        distance_bound=bound if shape.range_proven else None,
        nullity=shape.nullity,
        estimates={k: v if np.isfinite(v) else None for k, v in estimates.items()},
        statements=[*_statements(shape, bound, near, constant), *remark],
    )


def _finite(point: Point) -> bool:
    if not np.all(np.isfinite(point.y)):
        return False
    return bool(
        np.isfinite(point.value)
        and np.all(np.isfinite(point.gradient))
        and np.all(np.isfinite(point.expansion.weights))
    )


def _nothing_proven(point: Point) -> Certificate:
    value = point.value if np.all(np.isfinite(point.y)) else np.nan
    return Certificate(
        loss=float(value) if np.isfinite(value) else None,
        gradient_norm=None,
        relative_gradient_norm=None,
        curvature="undetermined",
        scope="none",
        statements=["The point, its loss or its derivatives are not finite: nothing is proven of it."],
    )


def _strong_convexity(shape: Definiteness) -> float | None:
    modulus = shape.everywhere or shape.nearby
    return modulus.euclidean if modulus else None


def _constant(shape: Definiteness, unknowns: int) -> bool:
    return shape.range_proven and shape.nullity == unknowns


def _distance(shape: Definiteness, unknowns: int) -> float | None:
    if _constant(shape, unknowns):
        return 0.0
    bound = min((modulus.distance for modulus in shape.proven), default=np.inf)
    return bound if np.isfinite(bound) else None


def _is_near(point: Point, shape: Definiteness) -> bool:
    within = NEAR * max(1.0, float(np.max(np.abs(point.z), initial=0.0)))
    lengths = ((m.radius, point.rows.norms(m.metric)) for m in shape.proven)
    return any(radius * float(np.max(length, initial=0.0)) <= within for radius, length in lengths)


def _relative_gradient(point: Point) -> tuple[float | None, list[str]]:
    origin = Point(point.rows, point.loss, point.penalty, np.zeros_like(point.y))
    start, here = float(dnrm2(origin.gradient)), float(dnrm2(point.gradient))
    if start == 0.0:
        return None, [
            "The gradient at 0 is exactly 0: 0 is a stationary point and no yardstick for the gradient here."
        ]
    ratio = here / start if np.isfinite(start) else np.nan
    return (ratio, []) if np.isfinite(ratio) else (None, ["The gradient at 0 is not finite."])


def _verdict(shape: Definiteness, near: bool, constant: bool) -> Curvature:
    if shape.negative is not None:
        return "saddle"
    if not near or not shape.range_proven:
        return "undetermined"
    return "global_minimum" if shape.convex or constant else "strict_local_minimum"


def _scope(shape: Definiteness) -> Literal["global", "local", "none"]:
    if shape.negative is not None:
        return "local"
    if not shape.range_proven or not shape.proven:
        return "none"
    return "global" if shape.everywhere is not None else "local"


def _statements(shape: Definiteness, bound: float | None, near: bool, constant: bool) -> list[str]:
    if constant:
        return ["F does not depend on x: every column of A is zero, and every x is a minimiser (proven)."]
    return [*_on_distance(shape, bound, near), *_on_convexity(shape), *_on_rank(shape), *_on_limits(shape)]


def _upward(value: float) -> str:
    """Two digits, never below the value."""
    return f"{value * 1.05:.1e}"


def _on_distance(shape: Definiteness, bound: float | None, near: bool) -> list[str]:
    if shape.negative is not None:
        return [
            f"x is not a minimum: the curvature along one direction is at most {shape.negative:.1e} (proven)."
        ]
    if bound is None:
        return [
            "No minimiser is proven to lie near x: the Hessian is not provably positive definite around it."
        ]
    where = "" if shape.nullity == 0 else ", the coefficients of dependent columns held"
    if shape.nullity is None:
        where = ""
    said = [f"A unique minimiser lies within {_upward(bound)} of x{where} (proven, rounding included)."]
    return said if near else [*said, "That is far: x is not yet at a minimum to working accuracy."]


def _on_convexity(shape: Definiteness) -> list[str]:
    if shape.everywhere is not None:
        return [
            "F is convex, strongly so in these coefficients, everywhere: that minimiser is the global one."
        ]
    if shape.convex:
        return ["F is convex: every local minimum is global."]
    return ["Local: nothing is claimed about other minima."] if shape.nearby is not None else []


def _on_rank(shape: Definiteness) -> list[str]:
    if not shape.nullity:
        return []
    how = (
        "proven by exact arithmetic or by as many independent columns as rows"
        if shape.range_proven
        else "decided by a pivoted Cholesky factor, to rounding: nothing is proven along them"
    )
    return [
        f"The null space of A has dimension {shape.nullity}: {how}. "
        "Coefficients depend on the choice in it, predictions do not."
    ]


def _on_limits(shape: Definiteness) -> list[str]:
    if shape.formed:
        return []
    return [
        "The Hessian is too large to factor: its smallest eigenvalue is only estimated, from above, "
        "and the rank is not known."
    ]
