"""Softmax-ResNet regression: shares of u = e^z + z, in one group of rows or in many that share x.

    F(x) = ½ Σ over groups of Σ vᵢ (fᵢ − bᵢ)² + ½ Σ wᵢ² (zᵢ − z̄ᵢ)² + ½ λ‖x‖²,  f = u/α, α = ⟨u, 1⟩, z = A x   (1)
    ∇F = Aᵀ(q + w²∘(z − z̄)) + λ x,   q = a∘s,  a = u′/α,  s = c − ⟨c, f⟩1,  c = v∘(f − b)                     (2)
    B = Jᵀ diag(v) J + diag(u″∘s/α) − q aᵀ − a qᵀ,   J = diag(a) − f aᵀ                                      (3)

α changes sign (each term does at z = −0.567), and the loss is unbounded where it is 0. So only points with
α > 10⁻³ times the rows of the group are admitted: x = 0 is one, with α = n, and a step out of there is
rejected. No finite w makes F convex, since its curvature is unbounded below near α = 0. At a point,
λ(B) ≥ −(max (−u″ᵢsᵢ/α)₊ + ‖q‖‖a‖ + ⟨q, a⟩).

Source: Song, Wang, Yin: A Unified Scheme of ResNet and Softmax, arXiv:2309.13482 (2023).
Differences from the source: the domain above; groups, row weights, an intercept, a ridge and a row offset; the
iteration is globalised and the Hessian is exact.
"""

from functools import cache

import numpy as np

from newtond.contract.solve import SolveSpec
from newtond.engine.group_kernels import normalised
from newtond.engine.grouped import GroupedLink, least_of_bend, remarks_on_runaways, remarks_on_sums
from newtond.engine.kernels import exp, inner
from newtond.engine.regression import Regression, RegressionFamily
from newtond.engine.state import Vector

LEAST_SUM = 1e-3


@inner
def resnet_level(low, high):
    """Return the exponent that is taken out of a group."""
    return max(high, 0.0)


@inner
def resnet_row(z, level, parameter):
    """Return e^z + z and its first two derivatives, times e^−level."""
    grown, unit = exp(z - level), exp(-level)
    return grown + z * unit, grown + unit, grown


@inner
def resnet_admissible(total, level, size):
    """Return whether α is far enough above 0."""
    return total > LEAST_SUM * size * exp(-level)


def _start(regression: Regression) -> Vector:
    return np.zeros(regression.design.width)


def remarks(regression: Regression, x: Vector) -> list[str]:
    """Return what is to be said of b, of shares that take all, and of predictions below 0."""
    fitted, _ = regression.loss.fit(regression.design.matvec(x))
    below = int(np.count_nonzero(fitted < 0.0))
    said = [*remarks_on_sums(regression), *remarks_on_runaways(regression, x)]
    if below:
        said.append(
            f"{below} predictions are negative: e^z + z is, below z = −0.567, so they are no probabilities"
        )
    return said


@cache
def _link() -> GroupedLink:
    return GroupedLink(
        name="softmax_resnet",
        kernels=normalised(resnet_level, resnet_row, resnet_admissible),
        start=_start,
        start_words="x = 0, where every group's sum is its number of rows",
        at_zero="an equal share of every row of a group",
        least=least_of_bend,
        tau_words="no finite w makes it convex, since the loss is unbounded where a group's sum passes 0",
        remarks=remarks,
    )


def link(spec: SolveSpec) -> GroupedLink:
    """Return the link of e^z + z."""
    return _link()


family = RegressionFamily(link)
plan, steps, solution, certify = family.plan, family.steps, family.solution, family.certify
row_gradients, predict = family.row_gradients, family.predict
