"""The model of a loss of groups of rows: ½ Σ vᵢ rᵢ(z)² with r a function of its group's z.

A family gives a ``GroupedLink``: the kernels of one group, and bounds of its curvature. Rows of one group
share nothing with those of another but x.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from newtond.contract.result import Certificate
from newtond.engine.certificate import certify_coupled
from newtond.engine.curvature import CoupledDesign, Coupling, GroupedCurvature
from newtond.engine.design import Design
from newtond.engine.group_kernels import GroupKernels
from newtond.engine.objective import Grouped
from newtond.engine.regression import Regression, as_given, groups_of
from newtond.engine.rowblocks.partition import frozen
from newtond.engine.state import Inputs, Vector

SUMS_TO_ONE = 1e-9
Least = Callable[["GroupedLoss", Vector], Vector]
ALL = 1e-6
"""What a row leaves to the others of its group when it is said to have all of the sum."""


@dataclass(frozen=True)
class GroupedLink:
    """One family of coupled rows.

    ``tau`` is the least w² that makes the loss convex (n), with ``tau_words`` how it is known; None where no
    finite w does, and ``tau_words`` says why. ``proven`` is a larger one that is proven, or None. ``least`` (loss,
    z) bounds from below the eigenvalues of each group's Hessian in z, at z (count). ``invariant``: adding a
    constant to all z of a group changes nothing. ``spread`` is the rounding of b and of the prediction, in units
    of u (n).
    """

    name: str
    kernels: GroupKernels
    start: Callable[[Regression], Vector]
    start_words: str
    at_zero: str
    least: Least
    tau_words: str
    tau: Callable[[Regression], Vector] | None = None
    proven: Callable[[Regression], Vector] | None = None
    invariant: bool = False
    reach: float = 5.0
    check: Callable[[Regression], None] = lambda regression: None
    remarks: Callable[[Regression, Vector], list[str]] = lambda regression, x: []
    shown: Callable[[Regression, Vector], Vector] = lambda regression, x: x
    spread: Callable[[Regression], Vector] = lambda regression: np.abs(regression.target)

    grouped = True
    certify: Callable[..., Certificate] = certify_coupled

    def loss(self, regression: Regression) -> "GroupedLoss":
        self.check(regression)
        return GroupedLoss(self, regression)

    def inverse(self, target: Vector) -> Vector:
        return np.full_like(target, np.nan)

    def threshold(self, regression: Regression) -> Vector:
        assert self.tau is not None  # the contract refuses weights 'convex' of these kinds
        return self.tau(regression)

    def floor(self, regression: Regression) -> Vector:
        n = regression.design.rows
        if self.tau is None:
            return np.full(n, -np.inf)
        return regression.omega - self.tau(regression)

    def convexity(self, regression: Regression) -> str | None:
        if (self.floor(regression) >= 0.0).all():
            return f"convex: every wᵢ² is at least the threshold; {self.tau_words}"
        return f"not known to be convex, so answers are local: {self.tau_words}"

    def target_norm(self, regression: Regression) -> float:
        return float(np.sqrt(np.sum(regression.scale * self.spread(regression) ** 2)))

    def identified(self, regression: Regression) -> tuple[Design, Vector]:
        groups, omega = regression.groups, regression.omega
        assert groups is not None
        n = groups.rows
        seen = np.broadcast_to(regression.scale, n).astype(float)
        used = groups.spread((groups.sums(seen) > 0.0).astype(float))
        if omega.any():
            return regression.design, np.maximum(used, np.broadcast_to(omega > 0.0, n))
        if not self.invariant:
            return regression.design, used
        ones = np.ones(n)
        centring = Coupling(groups, ones, ones, groups.spread(1.0 / groups.sizes))
        return CoupledDesign(regression.design, centring), used

    def canonical(self, regression: Regression, x: Vector) -> Vector:
        return self.shown(regression, x)

    def first(self, regression: Regression) -> Vector:
        return self.start(regression)

    def say(self, regression: Regression, x: Vector) -> list[str]:
        return [*self._on_constants(regression), *self.remarks(regression, x)]

    def _on_constants(self, regression: Regression) -> list[str]:
        groups = regression.groups
        assert groups is not None
        said = []
        alone = int(np.count_nonzero(groups.sizes == 1))
        if alone:
            said.append(
                f"{alone} groups have one row only" + (": they say nothing of x" if self.invariant else "")
            )
        return said

    def rank_words(self, regression: Regression) -> str:
        if self.invariant and not regression.omega.any():
            return "A is rank deficient within groups, where what is constant has no effect"
        return "A is rank deficient"

    def predict(self, z: Vector, rows: Inputs) -> Vector:
        groups, order = groups_of(rows, self)
        assert groups is not None
        predicted, unused = np.empty_like(z), np.empty_like(z)
        inner = z if order is None else z[order]
        self.kernels.fit(inner, frozen(np.zeros_like(z)), groups.edges, predicted, unused)
        return as_given(predicted, order)


def least_of_bend(loss: "GroupedLoss", z: Vector) -> Vector:
    """Return −(max (−hᵢ)₊ + ‖q‖‖a‖ + ⟨q, a⟩) of each group (count): Kᵀ diag(d) K is positive semidefinite."""
    B, groups = loss.expand(z).curvature, loss.groups
    assert isinstance(B, GroupedCurvature)
    a, q, h = B.coupling.a, B.q, B.h - loss.omega
    sunk = np.maximum(np.maximum.reduceat(-h, groups.edges[:-1]), 0.0)
    lengths = np.sqrt(groups.sums(q * q) * groups.sums(a * a))
    return -(sunk + lengths + groups.sums(q * a))


def remarks_on_sums(regression: Regression) -> list[str]:
    """Say what predictions that sum to 1 in each group cannot fit."""
    groups, scale = regression.groups, regression.scale
    assert groups is not None
    excess = groups.sums(regression.target) - 1.0
    off = np.abs(excess) > SUMS_TO_ONE
    if not off.any():
        return []
    loose = 1.0 / np.maximum(np.broadcast_to(scale, groups.rows), np.finfo(float).tiny)
    floor = 0.5 * float(np.sum((excess**2 / groups.sums(loose))[off]))
    return [
        f"b does not sum to 1 in {int(off.sum())} of {groups.count} groups: predictions do, so a loss of {floor:.3g} "
        "is irreducible; divide b by its sums if it is meant as shares"
    ]


def remarks_on_runaways(regression: Regression, x: Vector) -> list[str]:
    """Say where one share of several takes all: x runs off to infinity there, and a limit has ended the solve."""
    groups = regression.groups
    assert groups is not None
    fitted, _ = regression.loss.fit(regression.design.matvec(x))
    alone = (groups.sizes > 1) & (np.maximum.reduceat(fitted, groups.edges[:-1]) > 1.0 - ALL)
    if not alone.any():
        return []
    return [
        f"in {int(alone.sum())} of {groups.count} groups one row has all of the sum but {ALL:.0e}: the coefficients "
        "behind it may be anything larger; a ridge makes them finite"
    ]


class GroupedLoss(Grouped):
    """The loss of a spec, with what the certificate asks of it."""

    def __init__(self, link: GroupedLink, regression: Regression) -> None:
        assert regression.groups is not None
        super().__init__(
            link.kernels,
            regression.groups,
            regression.target,
            scale=regression.scale,
            omega=regression.omega,
            offset=regression.offset,
            reach=link.reach,
            parallel=regression.design.map,
        )
        self.link = link
        self.invariant = link.invariant and not regression.omega.any()
        self.proven_tau = None if link.proven is None else link.proven(regression)

    @property
    def free_rows(self) -> int:
        """The rows of positive weight, less one a group in which residuals sum to 0 whatever x is.

        They do where b sums to 1. A row of weight 0 in a group takes up what the others do not sum to.
        """
        whole = np.minimum.reduceat(self.scale, self.groups.edges[:-1]) > 0.0
        bound = whole & (np.abs(self.groups.sums(self.target) - 1.0) <= SUMS_TO_ONE)
        return int(np.count_nonzero(self.scale)) - int(np.count_nonzero(bound))

    def convexity_floor(self) -> Vector | None:
        """Return a proven lower bound of the curvature of every row anywhere (n), None where there is none."""
        return None if self.proven_tau is None else self.omega - self.proven_tau

    def least_curvature(self, z: Vector) -> float:
        """Return a lower bound of the eigenvalues of the Hessian in z, at z."""
        return float(np.min(self.link.least(self, z))) + float(np.min(self.omega))
