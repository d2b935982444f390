"""Rescaled exp, cosh and sinh regression, in one group of rows or in many that share x.

    F(x) = ½ Σ over groups of Σ vᵢ rᵢ² + ½ Σ wᵢ² (zᵢ − z̄ᵢ)² + ½ λ‖x‖²,   r = u − αb, α = ⟨u, 1⟩, z = A x    (1)
    ∇F = Aᵀ(u′∘κ + w²∘(z − z̄)) + λ x,   κ = v∘r − ⟨b, v∘r⟩1                                                 (2)
    B = Jᵀ diag(v) J + diag(u″∘κ),   J = diag(u′) − b u′ᵀ                                                    (3)

``normalised`` is r = u/α − b instead, of cosh and sinh; its derivatives are those of `softmax_resnet`.

exp: F(z + t) = e^{2t} F(z), so the loss rewards small α: with a column of ones in the range of A it has no
minimum but 0, at −∞. 1ᵀr = α(1 − Σb), so Σb = 1 is required of every group. cosh is even: x = 0 is stationary for
every b. sinh is 0 at x = 0: undivided it is refused; divided it is 0/0 there, and only points with
α > 10⁻³ max |u| are admitted. No finite w makes F convex, as B grows like e^{2z}: λ(B) ≥ min (u″ᵢκᵢ)₋ at a point.

Source: Gao, Song, Yin: An Iterative Algorithm for Rescaled Hyperbolic Functions Regression, arXiv:2305.00660 (2023).
Differences from the source: as in the contract; the iteration is globalised and the Hessian exact.
"""

from functools import cache

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import RescaledProblem
from newtond.contract.solve import SolveSpec
from newtond.engine.group_kernels import normalised, rescaled
from newtond.engine.grouped import GroupedLink, least_of_bend, remarks_on_runaways, remarks_on_sums
from newtond.engine.kernels import exp, inner
from newtond.engine.methods.start import best, linearised, spectral
from newtond.engine.problems.hyperbolic import odd_part
from newtond.engine.regression import Regression, RegressionFamily
from newtond.engine.sketches import Key
from newtond.engine.state import Vector

SUM_TOLERANCE = 1e-6
LEAST_SUM = 1e-3


@inner
def exp_row(z, level, parameter):
    """Return e^z and its first two derivatives, at the scale e^−level."""
    u = exp(z - level)
    return u, u, u


@inner
def cosh_row(z, level, parameter):
    """As ``exp_row``, of cosh z."""
    u, slope = 0.5 * (exp(z - level) + exp(-z - level)), _odd(z, level)
    return u, slope, u


@inner
def sinh_row(z, level, parameter):
    """As ``exp_row``, of sinh z."""
    u, slope = _odd(z, level), 0.5 * (exp(z - level) + exp(-z - level))
    return u, slope, u


@inner
def _odd(z, level):
    grown, shrunk = exp(z - level), exp(-z - level)
    if abs(z) < 0.3:
        return odd_part(z, grown, shrunk) * exp(-level)
    return 0.5 * (grown - shrunk)


@inner
def farthest(low, high):
    """Return the exponent that is taken out of a group."""
    return max(-low, high)


@inner
def cosh_admissible(total, level, size):
    """Every sum of cosh is positive."""
    return total > 0.0


@inner
def sinh_admissible(total, level, size):
    """Return whether α is far enough above 0, against the largest |sinh|."""
    return total > LEAST_SUM * _odd(level, level)


def _shares_times_rows(regression: Regression) -> Vector:
    """Return n b / Σb in each group: what u is if it is 1 in the mean."""
    groups = regression.groups
    assert groups is not None
    sums = groups.sums(regression.target)
    return groups.spread(groups.sizes / np.where(sums > 0.0, sums, 1.0)) * regression.target


def _rounding(regression: Regression) -> Vector:
    """Return 8 n b / Σb: what the rounding of b, z and α leaves of r where α is about n, in units of u (n)."""
    return 8.0 * np.abs(_shares_times_rows(regression))


def _start_exp(regression: Regression) -> Vector:
    return np.zeros(regression.design.width)


def _start_cosh(regression: Regression) -> Vector:
    """Return the spectral start on arcosh(n b / Σb)²; x = 0 is stationary whatever b is."""
    squares = np.arccosh(np.maximum(_shares_times_rows(regression), 1.0)) ** 2
    weights = np.broadcast_to(regression.scale, regression.design.rows)
    return spectral(regression.objective, squares, weights, Key(regression.spec.solver.seed, 0))


def _start_sinh(regression: Regression) -> Vector:
    """Return the best linear fit of arsinh(t n b / Σb), t = 1, 0.1, 10, where all sums are positive."""
    shares, ones = _shares_times_rows(regression), np.ones(regression.design.rows)
    fits = [linearised(regression.objective, np.arcsinh(t * shares), ones) for t in (1.0, 0.1, 10.0)]
    x = best(regression.objective, fits)
    if not np.isfinite(regression.objective.expand(x).value):
        raise InvalidSpec(
            "no start was found at which the sum of sinh is positive in every group; give one as warm_start",
            source={"pointer": "/warm_start"},
        )
    return x


def _sums_to_one(regression: Regression) -> None:
    groups = regression.groups
    assert groups is not None
    off = np.flatnonzero(np.abs(groups.sums(regression.target) - 1.0) > SUM_TOLERANCE)
    if off.size:
        raise InvalidSpec(
            f"exp without division needs b to sum to 1 in every group ({off.size} of {groups.count} do not): else "
            "Σr = α(1 − Σb), and the loss only rewards a small sum α; 'softmax' takes any b",
            source={"pointer": "/b", "groups": off[:100].tolist()},
        )


def _remark_exp(regression: Regression, x: Vector) -> list[str]:
    design, ones = regression.design, np.ones(regression.design.rows)
    if regression.spec.regulariser.ridge > 0.0 or regression.omega.any():
        return []
    constant = design.matvec(linearised(regression.objective, ones, ones))
    if np.abs(constant - 1.0).max() > 1e-6:
        return []
    return [
        "a combination of columns is constant, and along it the loss falls to 0 with the sum of exp, whatever b is: "
        "it has no minimum; drop the constant, or use 'softmax'"
    ]


def _remark_cosh(regression: Regression, x: Vector) -> list[str]:
    said = ["cosh is even: −x fits exactly as well; the sign makes the first non-zero entry positive"]
    if regression.omega.any() and not regression.offset.any():
        said.append("weights that make the loss of an even function convex make x = 0 the answer for every b")
    divided = regression.spec.problem.normalised  # type: ignore[union-attr]
    return said + (_on_shares(regression, x) if divided else [])


def _remark_sinh(regression: Regression, x: Vector) -> list[str]:
    said = ["at x = 0 the shares of sinh are 0/0: near it they depend on the direction of x only"]
    z = np.abs(regression.design.matvec(x)).max()
    if z < 1e-3:
        said.append(
            f"the largest predictor is {z:.1e}: the length of x is not determined, only its direction"
        )
    return said + _on_shares(regression, x)


def _on_shares(regression: Regression, x: Vector) -> list[str]:
    return [*remarks_on_sums(regression), *remarks_on_runaways(regression, x)]


def _positive_first(regression: Regression, x: Vector) -> Vector:
    if regression.offset.any() or not x.any():
        return x
    return x * np.sign(x[np.flatnonzero(x)[0]])


@cache
def _links() -> dict[tuple[str, bool], GroupedLink]:
    unbounded = "no finite w makes it convex everywhere, since its curvature grows with the square of u"
    even = "no finite w is known that makes it convex for every A and b; cosh is even, so x = 0 would be the answer"
    words = "the leading eigenvector of Aᵀ diag(arcosh(n b/Σb)²) A, scaled by least squares"
    return {
        ("exp", False): GroupedLink(
            name="exp",
            kernels=rescaled(exp_row),
            start=_start_exp,
            start_words="x = 0",
            at_zero="exp(0) = 1 in every row",
            least=least_of_bend,
            tau_words=unbounded,
            check=_sums_to_one,
            remarks=_remark_exp,
            spread=_rounding,
        ),
        ("cosh", False): GroupedLink(
            name="cosh",
            kernels=rescaled(cosh_row),
            start=_start_cosh,
            start_words=words,
            at_zero="cosh(0) = 1 in every row",
            least=least_of_bend,
            tau_words=unbounded,
            spread=_rounding,
            remarks=_remark_cosh,
            shown=_positive_first,
        ),
        ("cosh", True): GroupedLink(
            name="cosh",
            kernels=normalised(farthest, cosh_row, cosh_admissible),
            start=_start_cosh,
            start_words=words,
            at_zero="an equal share of every row of a group",
            least=least_of_bend,
            tau_words=even,
            remarks=_remark_cosh,
            shown=_positive_first,
        ),
        ("sinh", True): GroupedLink(
            name="sinh",
            kernels=normalised(farthest, sinh_row, sinh_admissible),
            start=_start_sinh,
            start_words="the best linear fit of arsinh(t n b/Σb), t = 0.1, 1 and 10",
            at_zero="the shares of z itself, 0/0 at z = 0",
            least=least_of_bend,
            tau_words="no finite w makes it convex, since the loss is unbounded where a group's sum passes 0",
            remarks=_remark_sinh,
        ),
    }


def link(spec: SolveSpec) -> GroupedLink:
    """Return the link of the spec's function."""
    problem = spec.problem
    assert isinstance(problem, RescaledProblem)
    return _links()[problem.function, problem.normalised]


family = RegressionFamily(link)
plan, steps, solution, certify = family.plan, family.steps, family.solution, family.certify
row_gradients, predict = family.row_gradients, family.predict
