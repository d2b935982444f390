"""Power regression (polynomial attention): u = z^β, divided by its sum over a group, or not.

    F(x) = ½ Σ over groups of Σ vᵢ (fᵢ − bᵢ)² + ½ γ log²(α₁/n₁) + ½ Σ wᵢ² (zᵢ − z̄ᵢ)²,   f = u/α, α = ⟨u, 1⟩   (1)
    B = Jᵀ diag(v) J + diag(u″∘s/α) − q aᵀ − a qᵀ,   J = diag(a) − f aᵀ, a = u′/α, s, q as in `softmax_resnet`  (2)

f does not change with the length of x, so B is singular along x. The term in γ, of the first group's sum α₁ and
number of rows n₁, sets that length and nothing else: every x can be stretched to α₁ = n₁, so it is 0 at the answer.
With L = log(α₁/n₁) it adds γLa to the gradient and γ(aaᵀ + L(diag(u″/α) − aaᵀ)) to B, which keeps the shape of (2),
since Jᵀ1 = 0: f becomes f − √(γ/Σv⁻¹) v⁻¹ in J, and q gets ½γLa more. An odd β needs z ≥ 0: other points are rejected.

Not normalised it is separable, F = ½ Σ vᵢ (zᵢ^β − bᵢ)² + …, with the curvature β|z|^{β−2}((2β − 1)z^β − (β − 1)b) of
a row, least at z^β = (β − 2)b/(2(2β − 1)): F is convex where w² is at least minus that. u − ⟨u, 1⟩b, as in `rescaled`,
is not offered: it is 0 at x = 0 for every b.

Source: Song, Xu, Yin: The Expressibility of Polynomial based Attention Scheme, arXiv:2310.20051 (2023).
Differences from the source: the paper tells two data sets apart by f and fits nothing; all else is added.
"""

from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import PowerProblem
from newtond.contract.solve import SolveSpec
from newtond.engine.group_kernels import GroupKernels, normalised
from newtond.engine.grouped import GroupedLink, least_of_bend, remarks_on_sums
from newtond.engine.kernels import bind, inner, kernel, specialise
from newtond.engine.methods.start import best, linearised, spectral
from newtond.engine.regression import Link, Regression, RegressionFamily
from newtond.engine.sketches import Key
from newtond.engine.state import Vector

Side = tuple[Vector, Vector, Vector, NDArray[np.bool_]]
SAFETY = 8.0 * float(np.finfo(np.float64).eps)


@inner
def farthest(low, high):
    """Return the largest |z| of a group, which is taken out of it."""
    return max(-low, high)


@inner
def power_row(z, level, degree):
    """Return z^β and its first two derivatives, over level^β; not a number where β is odd and z negative."""
    t = z / level
    if t < 0.0 and degree % 2.0 == 1.0:
        t = np.nan
    bent = t ** (degree - 2.0)
    return bent * t * t, degree * bent * t / level, degree * (degree - 1.0) * bent / (level * level)


@inner
def admissible(total, level, size):
    """Return whether α is positive: some z is not 0, and all may be raised to β."""
    return total > 0.0


@inner
def _length(z, step, direction, scale, edges, degree):
    """Return γ and L of the first group, where it is among these; γ is 0 where a row of it has no weight."""
    rows = edges[1] - edges[0]
    least, most, weight = np.inf, 0.0, 0.0
    for i in range(rows):
        least = min(least, scale[i])
        weight += scale[i]
        most = max(most, abs(z[i] + step * direction[i]))
    if edges[0] != 0 or least <= 0.0:
        return 0.0, 0.0
    total = 0.0
    for i in range(rows):
        total += (abs(z[i] + step * direction[i]) / most) ** degree
    return weight / (rows * rows), degree * np.log(most) + np.log(total / rows)


@kernel
def length_expand(z, scale, edges, gradient, left, a, h, q, degree):
    """Add the term of the first group's sum to gradient and curvature; return its value."""
    gamma, stretch = _length(z, 0.0, z, scale, edges, degree)
    if gamma == 0.0:
        return 0.0
    loose = 0.0
    for i in range(edges[1]):
        loose += 1.0 / scale[i]
    pull, root = gamma * stretch, np.sqrt(gamma / loose)
    for i in range(edges[1]):
        gradient[i] += pull * a[i]
        q[i] += 0.5 * pull * a[i]
        left[i] -= root / scale[i]
        # u″/α by the share of the row: u″ = β(β − 1) u/z²; where z = 0 only β = 2 has any
        h[i] += pull * _second(z, i, edges[1], degree)
    return 0.5 * pull * stretch


@inner
def _second(z, i, rows, degree):
    """Return u″ᵢ/α of the first group."""
    most = 0.0
    for j in range(rows):
        most = max(most, abs(z[j]))
    total = 0.0
    for j in range(rows):
        total += (abs(z[j]) / most) ** degree
    return degree * (degree - 1.0) * (abs(z[i]) / most) ** (degree - 2.0) / (total * most * most)


@kernel
def length_along(z, direction, step, scale, edges, degree):
    """Return the value of the term at z + step · direction."""
    gamma, stretch = _length(z, step, direction, scale, edges, degree)
    return 0.5 * gamma * stretch * stretch


@cache
def _divided(degree: int) -> GroupKernels:
    beta = float(degree)
    shares = normalised(farthest, power_row, admissible, beta)

    def expand(z: Any, target: Any, scale: Any, edges: Any, *filled: Any) -> float:
        gradient, _, _, _, left, a, h, q = filled
        value = shares.expand(z, target, scale, edges, *filled)
        return value + length_expand(z, scale, edges, gradient, left, a, h, q, beta)

    def along(z: Any, direction: Any, step: float, target: Any, scale: Any, edges: Any) -> float:
        value = shares.along(z, direction, step, target, scale, edges)
        return value + length_along(z, direction, step, scale, edges, beta)

    return GroupKernels(expand, along, shares.fit, of_data=shares)


def _row(z, b):
    """Value, first and second derivative and Gauss-Newton curvature of ½ (z^β − b)²."""
    bent = z ** (degree - 2)  # type: ignore[name-defined]  # noqa: F821
    u, slope = bent * z * z, degree * bent * z  # type: ignore[name-defined]  # noqa: F821
    residual = u - b
    second = degree * (degree - 1) * bent  # type: ignore[name-defined]  # noqa: F821
    return 0.5 * residual * residual, slope * residual, slope * slope + residual * second, slope * slope


def root(degree: int, b: Vector) -> Vector:
    """Return the z with z^β = b, not a number where there is none."""
    size = np.abs(b) ** (1.0 / degree)
    return np.where(b < 0.0, np.nan, size) if degree % 2 == 0 else np.sign(b) * size


def _curvature(degree: int, b: Vector, y: Vector) -> tuple[Vector, Vector]:
    """Return βy^{β−2}((2β − 1)y^β − (β − 1)b) for y ≥ 0, and how far rounding can put it off."""
    rise = degree * (2 * degree - 1) * y ** (2 * degree - 2)
    fall = degree * (degree - 1) * b * y ** (degree - 2)
    return np.where(np.isinf(rise), np.inf, rise - fall), SAFETY * degree * (rise + np.abs(fall))


def _sides(degree: int, b: Vector, low: Vector, high: Vector) -> list[Side]:
    """Return b, the range of |z| and whether there is one, for z ≥ 0 and for z ≤ 0."""
    mirrored = -b if degree % 2 else b
    return [
        (b, np.maximum(low, 0.0), np.maximum(high, 0.0), high >= 0.0),
        (mirrored, np.maximum(-high, 0.0), np.maximum(-low, 0.0), low <= 0.0),
    ]


def floor(degree: int, b: Vector, low: Vector, high: Vector) -> Vector:
    """Return a lower bound of the curvature for z in [low, high], rounding included."""
    least = np.full(np.broadcast(b, low).shape, np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for side, nearest, farthest_, there in _sides(degree, b, low, high):
            level = np.maximum((degree - 2) * side / (2 * (2 * degree - 1)), 0.0)
            value, error = _curvature(degree, side, np.clip(level ** (1.0 / degree), nearest, farthest_))
            least = np.where(
                there, np.minimum(least, np.where(np.isinf(value), np.inf, value - error)), least
            )
    return least


def ceiling(degree: int, b: Vector, low: Vector, high: Vector) -> Vector:
    """Return an upper bound of the curvature for z in [low, high], rounding included."""
    most = np.full(np.broadcast(b, low).shape, -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for side, nearest, farthest_, there in _sides(degree, b, low, high):
            for y in (nearest, farthest_):
                value, error = _curvature(degree, side, y)
                most = np.where(
                    there, np.maximum(most, np.where(np.isinf(value), np.inf, value + error)), most
                )
    return most


def _start(degree: int, levels: Vector, regression: Regression) -> Vector:
    """Return the best of a linear fit of the roots, the spectral start on their squares, and a constant fit.

    x = 0 is stationary, or 0/0, and never a candidate where another is finite.
    """
    objective, ones = regression.objective, np.ones(regression.design.rows)
    z = root(degree, levels)
    known = np.where(np.isfinite(z), z, 0.0)
    slope = np.where(np.isfinite(z), np.abs(known) ** (2 * degree - 2), 0.0)
    v = np.broadcast_to(regression.scale, regression.design.rows)
    fits = [linearised(objective, known, v * weights) for weights in (slope, ones)]
    seed = Key(regression.spec.solver.seed, 0)
    return best(objective, [*fits, spectral(objective, known**2, v, seed), linearised(objective, ones, ones)])


def _start_divided(degree: int, regression: Regression) -> Vector:
    """Return ``_start`` for sums of as much as there are rows, stretched to α₁ = n₁."""
    groups = regression.groups
    assert groups is not None
    sums = groups.sums(regression.target)
    levels = groups.spread(groups.sizes / np.where(sums > 0.0, sums, 1.0)) * np.maximum(
        regression.target, 0.0
    )
    x = _start(degree, levels, regression)
    if not np.isfinite(regression.objective.expand(x).value):
        raise InvalidSpec(
            "no start was found at which every group has a predictor that is not 0"
            + (", and none is negative, as an odd degree needs" if degree % 2 else "")
            + "; give one as warm_start",
            source={"pointer": "/warm_start"},
        )
    first = np.abs(regression.design.matvec(x)[: groups.edges[1]])
    size = float(first.max() * np.mean((first / first.max()) ** degree) ** (1.0 / degree))
    return x / size


def _positive_first(degree: int, regression: Regression, x: Vector) -> Vector:
    if degree % 2 or regression.offset.any() or not x.any():
        return x
    return x * np.sign(x[np.flatnonzero(x)[0]])


def _say_divided(degree: int, regression: Regression, x: Vector) -> list[str]:
    said = [
        *remarks_on_sums(regression),
        "shares do not depend on the length of x: it is the one at which the first group's powers sum to its rows",
    ]
    return said + (_on_sign(regression) if degree % 2 == 0 else _on_edge(regression, x))


def _on_sign(regression: Regression) -> list[str]:
    if regression.offset.any():
        return []
    return [
        "an even power is even: −x fits exactly as well; the sign makes the first non-zero entry positive"
    ]


def _on_edge(regression: Regression, x: Vector) -> list[str]:
    z = regression.design.matvec(x)
    edge = int(np.count_nonzero(z < 1e-6 * z.max()))
    return [f"{edge} predictors lie at 0, the edge of what an odd degree admits"] if edge else []


def _say(degree: int, regression: Regression) -> list[str]:
    said = []
    if degree % 2 == 0:
        said = _on_sign(regression)
        if below := int(np.count_nonzero(regression.target < 0.0)):
            said.append(f"{below} rows have b < 0, which no even power reaches")
        if regression.spec.regulariser.weights == "convex" and not regression.offset.any():
            said.append("a convex loss of an even function has its minimum at x = 0, whatever b is")
    return said


@cache
def _divided_link(degree: int) -> GroupedLink:
    return GroupedLink(
        name=f"power {degree}",
        kernels=_divided(degree),
        start=partial(_start_divided, degree),
        start_words="the best of linear fits of the roots of n b/Σb and of the spectral start on their squares",
        at_zero="0/0",
        least=least_of_bend,
        tau_words="no finite w makes it convex, since the shares at x depend on its direction only",
        reach=2.0,
        remarks=partial(_say_divided, degree),
        shown=partial(_positive_first, degree),
        spread=lambda regression: degree * np.abs(regression.target),
    )


@cache
def _plain_link(degree: int) -> Link:
    form = SimpleNamespace(__name__=f"degree_{degree}", __module__=__name__)
    return Link(
        name=f"power {degree}",
        kernels=specialise(bind(_row, form, inner, degree=degree)),
        function=lambda z: z**degree,
        slope=lambda z: degree * z ** (degree - 1),
        inverse=partial(root, degree),
        bounds=(partial(floor, degree), partial(ceiling, degree)),
        start=lambda regression: _start(degree, regression.target, regression),
        start_words="the best of linear fits of the roots of b and of the spectral start on their squares",
        even=degree % 2 == 0,
        reach=np.inf,
        remarks=partial(_say, degree),
    )


def link(spec: SolveSpec) -> Any:
    """Return the link of the spec's degree; raises InvalidSpec for options that have no meaning there."""
    problem = spec.problem
    assert isinstance(problem, PowerProblem)
    for unfit, pointer, reason in _refusals(spec, problem.normalised):
        if unfit:
            raise InvalidSpec(reason, source={"pointer": pointer})
    return (_divided_link if problem.normalised else _plain_link)(problem.degree)


def _refusals(spec: SolveSpec, divided: bool) -> list[tuple[bool, str, str]]:
    regulariser = spec.regulariser
    if not divided:
        return [
            (spec.groups is not None, "/groups", "groups share a sum, and without division there is none"),
        ]
    shrinking = "shares do not depend on the length of x, so {} would shrink x to 0, where they are 0/0"
    unset = regulariser.weights != 0.0 and regulariser.offset == "zero"
    return [
        (regulariser.weights == "convex", "/regulariser/weights", "no finite w makes the shares convex in x"),
        (
            regulariser.offset == "target",
            "/regulariser/offset",
            "shares determine no predictor: give a vector",
        ),
        (regulariser.ridge > 0.0, "/regulariser/ridge", shrinking.format("a ridge")),
        (unset, "/regulariser/weights", shrinking.format("weights with offset 0")),
    ]


family = RegressionFamily(link)
plan, steps, solution, certify = family.plan, family.steps, family.solution, family.certify
row_gradients, predict = family.row_gradients, family.predict
