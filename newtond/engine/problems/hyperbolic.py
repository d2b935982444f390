"""Regularised exponential, cosh and sinh regression.

    F(x) = ½ Σ vᵢ (f(zᵢ) − bᵢ)² + ½ Σ wᵢ² (zᵢ − z̄ᵢ)² + ½ λ‖x‖²,   z = A x,  f = exp, cosh or sinh     (1)
    ∇F = Aᵀ(v∘f'∘(f − b) + w²∘(z − z̄)) + λ x                                                           (2)
    ∇²F = Aᵀ diag(v∘(f'² + (f − b)∘f'') + w²) A + λ I                                                   (3)

The curvature of a row (v = 1, w = 0) is 2e^{2z} − b e^z for exp, 2cosh² z − 1 − b cosh z for cosh and
2sinh² z + 1 − b sinh z for sinh: a quadratic 2u² − b u + c in u = f(z), least at u = b/4. So F is convex for
every A where wᵢ² ≥ vᵢ τ(bᵢ): τ = max(b, 0)²/8 for exp; b − 1 if b ≤ 4, else 1 + b²/8, for cosh; b²/8 − 1
for sinh.

Source: Li, Song, Zhou: Solving Regularized Exp, Cosh and Sinh Regression Problems, arXiv:2303.15725.
Differences from the source: w is optional; v, z̄, λ and an intercept are added; the threshold is the tightest
row-wise one; the iteration is globalised, and a sketch preconditions rather than replaces the Hessian (the
paper's own iteration is ``hessian: paper``).
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from newtond.contract.problem import HyperbolicProblem
from newtond.contract.solve import SolveSpec
from newtond.engine.design import DesignMatrix
from newtond.engine.kernels import exp, inner, specialise
from newtond.engine.methods.start import best, linearised, spectral
from newtond.engine.regression import Bound, Link, Regression, RegressionFamily, part
from newtond.engine.sketches import Key
from newtond.engine.state import Vector

FEW_ROWS = 64
DECIDES = 0.9
SAFETY = 8.0 * float(np.finfo(np.float64).eps)
Reach = Callable[[Vector, Vector], tuple[Vector, Vector, float]]


@inner
def exp_row(z, b):
    """Value, first and second derivative and Gauss-Newton curvature of ½ (eᶻ − b)²."""
    u = exp(z)
    residual = u - b
    return 0.5 * residual * residual, u * residual, u * (u + residual), u * u


@inner
def odd_part(z, grown, shrunk):
    """Return sinh z from e^z and e^−z, by its series below |z| = 0.3, where their difference cancels."""
    y = z * z
    p = 1.0 + y / 72.0 * (1.0 + y / 110.0 * (1.0 + y / 156.0))
    series = z * (1.0 + y / 6.0 * (1.0 + y / 20.0 * (1.0 + y / 42.0 * p)))
    return series if y < 0.09 else 0.5 * (grown - shrunk)


@inner
def cosh_row(z, b):
    """As ``exp_row``, of ½ (cosh z − b)²."""
    grown, shrunk = exp(z), exp(-z)
    u, slope = 0.5 * (grown + shrunk), odd_part(z, grown, shrunk)
    residual = u - b
    return 0.5 * residual * residual, slope * residual, slope * slope + residual * u, slope * slope


@inner
def sinh_row(z, b):
    """As ``exp_row``, of ½ (sinh z − b)²."""
    grown, shrunk = exp(z), exp(-z)
    u, slope = odd_part(z, grown, shrunk), 0.5 * (grown + shrunk)
    residual = u - b
    return 0.5 * residual * residual, slope * residual, slope * slope + residual * u, slope * slope


def range_exp(low: Vector, high: Vector) -> tuple[Vector, Vector, float]:
    """Return the least and largest exp on [low, high], and the constant of the curvature 2u² − b u + c."""
    return np.exp(low), np.exp(high), 0.0


def range_cosh(low: Vector, high: Vector) -> tuple[Vector, Vector, float]:
    """As ``range_exp``, of cosh."""
    near, far = np.minimum(np.abs(low), np.abs(high)), np.maximum(np.abs(low), np.abs(high))
    return np.cosh(np.where((low <= 0.0) & (high >= 0.0), 0.0, near)), np.cosh(far), -1.0


def range_sinh(low: Vector, high: Vector) -> tuple[Vector, Vector, float]:
    """As ``range_exp``, of sinh."""
    return np.sinh(low), np.sinh(high), 1.0


def _bounds(reach: Reach) -> tuple[Bound, Bound]:
    """Return floor and ceiling of 2u² − b u + c for z in [low, high], u off by up to 8 ulp included."""

    def curvature(b: Vector, u: Vector, constant: float) -> tuple[Vector, Vector]:
        size = 2.0 * u * u + np.abs(b * u) + abs(constant)
        return u * (2.0 * u - b) + constant, SAFETY * size

    def widened(low: Vector, high: Vector) -> tuple[Vector, Vector, float]:
        least, most, constant = reach(low, high)
        return least - SAFETY * np.abs(least), most + SAFETY * np.abs(most), constant

    def floor(b: Vector, low: Vector, high: Vector) -> Vector:
        with np.errstate(over="ignore", invalid="ignore"):
            least, most, constant = widened(low, high)
            u = np.clip(0.25 * b, least, most)
            value, error = curvature(b, u, constant)
            return np.where(np.isfinite(u), value - error, np.inf)

    def ceiling(b: Vector, low: Vector, high: Vector) -> Vector:
        with np.errstate(over="ignore", invalid="ignore"):
            least, most, constant = widened(low, high)
            ends = [np.add(*curvature(b, u, constant)) for u in (least, most)]
            return np.where(np.isfinite(least) & np.isfinite(most), np.maximum(*ends), np.inf)

    return floor, ceiling


def _start(regression: Regression) -> Vector:
    """Return the better of x = 0 and the linearised fit on the rows whose b is in the range of f."""
    target = regression.link.inverse(regression.target)
    usable = np.isfinite(target)
    data = regression.scale * np.where(usable, regression.link.slope(np.where(usable, target, 0.0)) ** 2, 0.0)
    weights = data + regression.omega
    pulled = data * np.where(usable, target, 0.0) + regression.omega * regression.offset
    fitted = linearised(regression.objective, pulled / np.where(weights > 0.0, weights, 1.0), weights)
    return best(regression.objective, [fitted, np.zeros(regression.design.width)])


def _start_cosh(regression: Regression) -> Vector:
    """Return the better of the spectral start on arcosh(b)² and, with an intercept, a constant prediction.

    x = 0 is stationary whatever b is, and never a candidate.
    """
    squares = np.arccosh(np.maximum(regression.target, 1.0)) ** 2
    weights = np.broadcast_to(regression.scale, regression.design.rows)
    candidates = [spectral(regression.objective, squares, weights, Key(regression.spec.solver.seed, 0))]
    mean = float(weights @ squares) / (float(weights.sum()) or 1.0)
    if regression.design.intercept and mean > 0.0:
        candidates.append(np.append(np.zeros(regression.design.columns), np.sqrt(mean)))
    return best(regression.objective, candidates)


def _remark_exp(regression: Regression) -> list[str]:
    said = _remark_range(regression)
    unreachable = int(np.count_nonzero(regression.target <= 0.0))
    if unreachable:
        said.append(
            f"{unreachable} rows have b ≤ 0, which exp cannot reach: they push predictions towards 0, "
            "and coefficients that only they determine towards −∞"
        )
    return said + _remark_constant(regression, "1")


def _remark_cosh(regression: Regression) -> list[str]:
    said = _remark_range(regression) + _remark_constant(regression, "1")
    if not regression.offset.any():
        said.append("cosh is even: −x fits exactly as well; the sign makes the first non-zero entry positive")
    return said


def _remark_range(regression: Regression) -> list[str]:
    """Say where a thousandth of the rows decides the fit."""
    rows = regression.design.rows
    few, total = -(-rows // 1000), _above(regression, 0.0)
    if rows < 1000 or _clearly_spread(regression, few, total):
        return []
    squares = regression.scale * regression.target**2
    largest = np.partition(squares, rows - few)[rows - few :]
    share = float(largest.sum()) / (total or 1.0)
    if share > DECIDES:
        return [
            f"{few} of {rows} rows hold {share:.1%} of Σ v b²: the largest targets decide the fit; "
            "row_weights can balance it"
        ]
    return []


def _clearly_spread(regression: Regression, few: int, total: float) -> bool:
    """Whether ``few`` of the vᵢbᵢ² hold clearly less than what decides: at most few t + Σ max(vᵢbᵢ² − t, 0), any t."""
    bar = 0.5 * DECIDES * total / few
    return few * bar + _above(regression, bar) < (DECIDES - 0.01) * total


def _above(regression: Regression, bar: float) -> float:
    """Return Σ max(vᵢbᵢ² − bar, 0), without an array of n."""

    def one(rows: slice) -> float:
        squares = part(regression.scale, rows) * regression.target[rows] ** 2
        return float(np.maximum(squares - bar, 0.0).sum())

    return sum(regression.design.map_rows(one))


def _remark_constant(regression: Regression, value: str) -> list[str]:
    """Say what no intercept means, unless some column or the sum of all of them is constant."""
    design = regression.design
    if design.intercept or design.columns == 0:
        return []
    if _constant(design):
        return []
    return [f"no intercept and no constant column: at x = 0 every prediction is {value}"]


def _constant(design: DesignMatrix) -> bool:
    """Whether a column, or the sum of all, is a constant other than 0; few rows show where none is."""
    few = design.take(np.arange(min(FEW_ROWS, design.rows)))
    flat = (np.ptp(few, axis=0) == 0.0) & (few[0] != 0.0)
    if not flat.any() and np.ptp(few.sum(axis=1)) > 1e-12 * np.abs(few).sum(axis=1).max():
        return False
    sums = design.rmatvec(np.ones(design.rows))
    alone = np.isclose(sums**2, design.rows * design.column_squares, rtol=1e-12) & (sums != 0.0)
    together = design.matvec(np.ones(design.width))
    return bool(alone.any() or np.ptp(together) <= 1e-12 * np.abs(together).max())


@cache
def _links() -> dict[str, Link]:
    words = "the better of x = 0 and the least squares on f⁻¹(b), weighted by the curvature there"
    return {
        "exp": Link(
            name="exp",
            kernels=specialise(exp_row),
            function=np.exp,
            slope=np.exp,
            inverse=lambda b: np.log(np.where(b > 0.0, b, np.nan)),
            bounds=_bounds(range_exp),
            start=_start,
            start_words=words,
            remarks=_remark_exp,
        ),
        "cosh": Link(
            name="cosh",
            kernels=specialise(cosh_row),
            function=np.cosh,
            slope=np.sinh,
            inverse=lambda b: np.arccosh(np.where(b >= 1.0, b, np.nan)),
            bounds=_bounds(range_cosh),
            start=_start_cosh,
            start_words="the leading eigenvector of Aᵀ diag(arcosh(b)²) A, scaled by least squares",
            even=True,
            remarks=_remark_cosh,
        ),
        "sinh": Link(
            name="sinh",
            kernels=specialise(sinh_row),
            function=np.sinh,
            slope=np.cosh,
            inverse=np.arcsinh,
            bounds=_bounds(range_sinh),
            start=_start,
            start_words=words,
            remarks=_remark_range,
        ),
    }


def link(spec: SolveSpec) -> Link:
    """Return the link of the spec's function."""
    assert isinstance(spec.problem, HyperbolicProblem)
    return _links()[spec.problem.function]


family = RegressionFamily(link)
plan, steps, solution, certify = family.plan, family.steps, family.solution, family.certify
row_gradients, predict = family.row_gradients, family.predict
