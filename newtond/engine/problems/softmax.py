"""Softmax regression, in one group of rows or in many that share x.

    F(x) = ½ Σ over groups of Σ vᵢ (fᵢ − bᵢ)² + ½ Σ wᵢ² (zᵢ − z̄ᵢ)² + ½ λ‖x‖²,   f = e^z / ⟨e^z, 1⟩,  z = A x   (1)
    ∇F = Aᵀ(q + w²∘(z − z̄)) + λ x,   q = f∘s,  s = c − ⟨c, f⟩1,  c = v∘(f − b)                              (2)
    ∇²F = Σ over groups of Aᵀ Mᵀ diag(v∘f² + f∘s) M A + Aᵀ diag(w²) A + λ I,   M = I − 1fᵀ                   (3)

M A is A with its rows centred by their f-weighted mean in the group; its model keeps v∘f² ≥ 0 (Gauss-Newton).
B1 = 0: a constant added to every z of a group changes nothing, so no intercept is identified.

For v = 1 and ‖b‖₁ ≤ 1 the eigenvalues of B lie in [−0.24041, 0.30812]: h(p) = 4p(1 − p)²(3p − 1) at
p = (9 ∓ √33)/24 for two rows; for up to 32 rows found by optimisation to be no worse, and not proven. So
w² ≥ 0.2405 is the threshold used; what is proven is λ(B) ≥ −½ max (⟨c, f⟩ − cᵢ)₊ ≥ −½ max v (1 + b⁺ + b⁻), since
a unit vector varies by at most ½ under f. The certificate says "global" by the proven one only.

Source: Deng, Li, Song: Attention Scheme Inspired Softmax Regression, arXiv:2304.10411 (2023).
Differences from the source: groups, row weights, a ridge and a row offset; w is optional (in a
planted problem w² = 0.24 left the loss of equal shares to five digits); the iteration is globalised and the Hessian
is exact.
"""

import numpy as np

from newtond.contract.solve import SolveSpec
from newtond.engine.group_kernels import CROSS_ENTROPY, SOFTMAX
from newtond.engine.grouped import GroupedLink, GroupedLoss, remarks_on_sums
from newtond.engine.hessians.dense import dense_hessian
from newtond.engine.hessians.krylov import FreeHessian
from newtond.engine.methods.newton import newton
from newtond.engine.methods.start import best
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.objective import Grouped, Objective
from newtond.engine.regression import Regression, RegressionFamily
from newtond.engine.state import State, Vector

THRESHOLD, LARGEST = 0.2405, 0.3082
START_ITERATIONS, START_TOLERANCE = 30, 1e-3
LARGEST_DENSE_START = 1000


def cross_entropy(regression: Regression) -> Objective:
    """Return −Σ v̄ bᵢ log fᵢ + the regularisers: convex, where b ≥ 0, and least where f is nearest b."""
    groups = regression.groups
    assert groups is not None
    weight = groups.spread(groups.sums(_full(regression)) / groups.sizes)
    loss = Grouped(
        CROSS_ENTROPY,
        groups,
        np.maximum(regression.target, 0.0),
        scale=weight,
        omega=regression.omega,
        offset=regression.offset,
        reach=5.0,
        parallel=regression.design.map,
    )
    return Objective(regression.design, loss, regression.objective.penalty)


def start(regression: Regression) -> Vector:
    """Return the better of x = 0 and about the least cross-entropy."""
    objective = cross_entropy(regression)
    rule = StoppingRule(START_TOLERANCE, START_ITERATIONS, 0.0)
    dense = regression.design.width <= LARGEST_DENSE_START
    zero = np.zeros(regression.design.width)
    steps = newton(objective, dense_hessian() if dense else FreeHessian(), rule, 0, State(0, {"x": zero}, {}))
    *_, last = steps
    return best(regression.objective, [zero, last.state.arrays["x"]])


def threshold(regression: Regression) -> Vector:
    """Return τ(b, v) (n): by the bracket of B, which is affine in b, where v is the same in a group."""
    groups = regression.groups
    assert groups is not None
    v = _full(regression)
    most = np.maximum.reduceat(v, groups.edges[:-1])
    same = most == np.minimum.reduceat(v, groups.edges[:-1])
    excess = np.maximum(groups.sums(np.abs(regression.target)), 1.0) - 1.0
    bracket = most * (THRESHOLD + excess * (THRESHOLD + LARGEST))
    return np.where(groups.spread(same.astype(float)) > 0.0, groups.spread(bracket), proven(regression))


def proven(regression: Regression) -> Vector:
    """Return ½ max v (1 + max b⁺ + max b⁻), over each group (n)."""
    groups, b = regression.groups, regression.target
    assert groups is not None
    first = groups.edges[:-1]
    size = (
        1.0 + np.maximum.reduceat(np.maximum(b, 0.0), first) + np.maximum.reduceat(np.maximum(-b, 0.0), first)
    )
    return groups.spread(0.5 * np.maximum.reduceat(_full(regression), first) * size)


def least(loss: GroupedLoss, z: Vector) -> Vector:
    """Return −½ max (⟨c, f⟩ − cᵢ)₊ of each group (count)."""
    fitted, residual = loss.fit(z)
    c = loss.scale * residual
    shifted = loss.groups.spread(loss.groups.sums(c * fitted)) - c
    return -0.5 * np.maximum(np.maximum.reduceat(shifted, loss.groups.edges[:-1]), 0.0)


def remarks(regression: Regression, x: Vector) -> list[str]:
    """Return what is to be said of b, and of shares that run off to 0 and 1."""
    said = remarks_on_sums(regression)
    if negative := int(np.count_nonzero(regression.target < 0.0)):
        said.append(f"{negative} entries of b are negative, which no share reaches")
    z = regression.design.matvec(x)
    groups = regression.groups
    assert groups is not None
    first = groups.edges[:-1]
    spread = float(np.max(np.maximum.reduceat(z, first) - np.minimum.reduceat(z, first)))
    if spread > 30.0:
        said.append(
            f"predictors differ by up to {spread:.3g} within a group: such shares are 0 or 1 to rounding, and the "
            "coefficients behind them may be anything larger; a ridge makes them finite"
        )
    return said


def _full(regression: Regression) -> Vector:
    return np.ascontiguousarray(np.broadcast_to(regression.scale, regression.design.rows))


def _rounding(regression: Regression) -> Vector:
    """Return |b| (1 + |log b|): what the rounding of b and of z leaves of a share, in units of u (n)."""
    b = np.abs(regression.target)
    return b * (1.0 + np.abs(np.log(np.maximum(b, np.finfo(float).tiny))))


LINK = GroupedLink(
    name="softmax",
    kernels=SOFTMAX,
    start=start,
    start_words="the better of x = 0 and the least cross-entropy (convex), to a thousandth",
    at_zero="an equal share of every row of a group",
    least=least,
    tau=threshold,
    tau_words="0.2405 where Σ|b| ≤ 1 in a group, by optimisation for up to 32 rows, not proven for more",
    proven=proven,
    invariant=True,
    remarks=remarks,
    spread=_rounding,
)


def link(spec: SolveSpec) -> GroupedLink:
    """Return the softmax link."""
    return LINK


family = RegressionFamily(link)
plan, steps, solution, certify = family.plan, family.steps, family.solution, family.certify
row_gradients, predict = family.row_gradients, family.predict
