"""What every regression in z = A x shares: reading arrays, plan, iteration, solution, certificate.

A family gives a ``Link`` (its pointwise form and what is known of it) and gets the four functions that
``newtond.engine`` asks of a problem.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import ARRAY_POINTERS, SolveSpec
from newtond.engine.certificate import certify_predictor
from newtond.engine.design import DesignMatrix
from newtond.engine.kernels import PointwiseKernels
from newtond.engine.methods.approximate_newton import approximate_newton
from newtond.engine.methods.minimum_norm import NullSpace, null_space
from newtond.engine.methods.newton import newton
from newtond.engine.methods.planning import make_hessian, make_plan
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.objective import Objective, Penalty, Separable
from newtond.engine.state import Csr, Inputs, Solution, State, Step, Vector

Bound = Callable[[Vector, Vector, Vector], Vector]


@dataclass(frozen=True)
class Link:
    """One separable family: ½ (f(z) − b)² a row.

    ``inverse(b)`` is f⁻¹(b), NaN where b is out of range. ``bounds`` (b, low, high) are a floor and a ceiling
    of the second derivative for z in [low, high], rounding included; −floor(b, −∞, ∞) is the threshold τ(b).
    """

    name: str
    kernels: PointwiseKernels
    function: Callable[[Vector], Vector]
    slope: Callable[[Vector], Vector]
    inverse: Callable[[Vector], Vector]
    bounds: tuple[Bound, Bound]
    start: Callable[["Regression"], Vector]
    start_words: str
    even: bool = False
    reach: float = 5.0
    remarks: Callable[["Regression"], list[str]] = lambda regression: []
    certify: Callable[..., Certificate] = certify_predictor


class PredictorLoss(Separable):
    """The loss of a spec, with a bound of its curvature over intervals of z."""

    def __init__(self, link: Link, target: Vector, scale: Vector, omega: Vector, offset: Vector) -> None:
        super().__init__(link.kernels, target, scale=scale, omega=omega, offset=offset, reach=link.reach)
        self.link = link

    def curvature_floor(self, low: Vector, high: Vector) -> Vector:
        """Return a lower bound of each row's curvature for z in [low, high]."""
        target, scale, omega, _ = self.terms
        return scale * self.link.bounds[0](target, low, high) + omega

    def curvature_ceiling(self, low: Vector, high: Vector) -> Vector:
        """Return an upper bound of each row's curvature for z in [low, high]."""
        target, scale, omega, _ = self.terms
        return scale * self.link.bounds[1](target, low, high) + omega

    def gradient_scale(self, z: Vector) -> Vector:
        """Return the sum of the absolute terms of each entry of the gradient at z."""
        target, scale, omega, offset = self.terms
        slope, value = np.abs(self.link.slope(z)), np.abs(self.link.function(z))
        return scale * slope * (value + np.abs(target)) + omega * (np.abs(z) + np.abs(offset))


class Regression:
    """One spec with its arrays, read and checked: the objective and everything said of it."""

    def __init__(self, spec: SolveSpec, inputs: Inputs, link: Link, threads: int) -> None:
        self.spec, self.link = spec, link
        self.matrix = _matrix(inputs["A"])
        self.design = DesignMatrix(self.matrix, intercept=spec.intercept, threads=threads)
        n = self.design.rows
        self.target = _vector(inputs, "b", n)
        self.scale = _nonnegative(inputs, "row_weights", n)
        self.unbounded = np.full(n, np.inf)
        self.omega = self._omega(inputs, n)
        self.offset = self._offset(inputs, n)
        self.warm = _vector(inputs, "warm_start", self.design.width) if "warm_start" in inputs else None
        self.loss = PredictorLoss(link, self.target, self.scale, self.omega, self.offset)
        ridge = np.full(self.design.width, spec.regulariser.ridge)
        ridge[self.design.columns :] = 0.0
        self.objective = Objective(self.design, self.loss, Penalty(ridge, np.zeros(self.design.width)))
        self._check_names()

    def _omega(self, inputs: Inputs, n: int) -> Vector:
        weights = self.spec.regulariser.weights
        if isinstance(weights, float):
            return np.array([weights**2])
        if weights == "convex":
            threshold = -self.scale * self.link.bounds[0](self.target, -self.unbounded, self.unbounded)
            return np.maximum(threshold, 0.0) + self.spec.regulariser.margin
        return _nonnegative(inputs, "weights", n) ** 2

    def _offset(self, inputs: Inputs, n: int) -> Vector:
        if "offset" in inputs:
            return _vector(inputs, "offset", n)
        if self.spec.regulariser.offset == "zero":
            return np.zeros(1)
        offset = self.link.inverse(self.target)
        bad = np.flatnonzero(~np.isfinite(offset))
        if bad.size:
            rows = ", ".join(str(row) for row in bad[:5]) + (" …" if bad.size > 5 else "")
            raise InvalidSpec(
                f"offset 'target' is f⁻¹(b), but b is outside the range of {self.link.name} "
                f"in {bad.size} rows: {rows}",
                source={"pointer": "/regulariser/offset", "rows": bad[:100].tolist()},
            )
        return offset

    def _check_names(self) -> None:
        names = self.spec.column_names
        if names is not None and len(names) != self.design.columns:
            raise InvalidSpec(
                f"column_names has {len(names)} names, A has {self.design.columns} columns",
                source={"pointer": "/column_names"},
            )

    @property
    def global_floor(self) -> Vector:
        """A lower bound of each row's curvature anywhere."""
        return self.loss.curvature_floor(-self.unbounded, self.unbounded)

    @property
    def rule(self) -> StoppingRule:
        fitted = np.where(np.isfinite(z := self.link.inverse(self.target)), z, 0.0)
        spread = np.abs(self.target) + np.abs(fitted * self.link.slope(fitted))
        norm = float(np.sqrt(np.sum(self.scale * spread**2)))
        return StoppingRule(self.spec.solver.tolerance, self.spec.solver.max_iterations, norm)

    def first_state(self) -> State:
        """Return the warm start, or the best of the family's candidates (never a stationary point)."""
        x = self.warm if self.warm is not None else self.link.start(self)
        return State(0, {"x": x}, {})

    def null_space(self) -> NullSpace:
        """Return the null space that no ridge removes."""
        if self.spec.regulariser.ridge > 0.0:
            return NullSpace(np.empty((self.design.width, 0)), True)
        used = np.broadcast_to((self.scale > 0.0) | (self.omega > 0.0), self.design.rows).astype(float)
        return null_space(self.design, used)

    def remarks(self, x: Vector, null: NullSpace) -> list[str]:
        """Return what the caller should know of the answer, in words."""
        return [*self._of_rank(null), *self._of_fit(x), *self.link.remarks(self)]

    def _of_rank(self, null: NullSpace) -> list[str]:
        if not null.known:
            return [
                f"A has {self.design.columns} columns: its rank was not determined, and if it is deficient "
                "x is one of the minimisers, not the one of least norm"
            ]
        if null.nullity:
            return [
                f"A is rank deficient: nullity {null.nullity}; x is the minimiser of least norm "
                "(coefficients are identified up to the null space, predictions are not affected)"
            ]
        return []

    def _of_fit(self, x: Vector) -> list[str]:
        if not (self.omega > 0.0).any() or self.offset.any():
            return []
        said = [
            "regulariser.weights pull every prediction towards "
            f"{self.link.name}(0) = {float(self.link.function(np.zeros(1))[0]):g}"
        ]
        z = self.design.matvec(x)
        fitted = float(np.sum(self.scale * (self.link.function(z) - self.target) ** 2))
        nothing = float(np.sum(self.scale * (self.link.function(np.zeros(1)) - self.target) ** 2))
        if fitted >= 0.95 * nothing:
            said.append(
                "the model itself is poor: the data loss is "
                f"{fitted / nothing:.1%} of that of x = 0, so it was regularised away; "
                "use weights 0, or offset 'target'"
                if nothing
                else "the target is what x = 0 predicts"
            )
        return said


@dataclass(frozen=True)
class RegressionFamily:
    """The four functions of ``newtond.engine`` for a family whose link depends on its spec."""

    link: Callable[[SolveSpec], Link]

    def plan(self, spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
        """Return what ``steps`` would do, and why."""
        regression = Regression(spec, inputs, self.link(spec), threads)
        return make_plan(spec, regression.objective, regression.global_floor, regression.link.start_words)

    def steps(self, spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
        """Iterate by Newton's method, or by the papers' own where ``hessian`` is 'paper'."""
        regression = Regression(spec, inputs, self.link(spec), threads)
        plan = make_plan(spec, regression.objective, regression.global_floor, "")
        hessian = make_hessian(plan, spec)
        method = approximate_newton if plan.hessian == "paper" else newton
        state = state or regression.first_state()
        return method(regression.objective, hessian, regression.rule, spec.solver.seed, state)

    def solution(self, spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
        """Return x of least norm, the intercept, and the outputs asked for."""
        regression = Regression(spec, inputs, self.link(spec), threads)
        design, null = regression.design, regression.null_space()
        x = null.least_norm(design, state.arrays["x"])
        if regression.link.even and not regression.offset.any():
            x = x * (np.sign(x[np.flatnonzero(x)[0]]) if x.any() else 1.0)
        arrays = {"x": np.ascontiguousarray(x[: design.columns])}
        if spec.outputs:
            fitted = regression.link.function(design.matvec(x))
            made = {"fitted": fitted, "residual": fitted - regression.target}
            arrays |= {name: made[name] for name in spec.outputs}
        intercept = float(x[-1]) if design.intercept else None
        return Solution(arrays, intercept, tuple(regression.remarks(x, null)))

    def certify(self, spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate:
        """Return what is proven of the solution, from the input arrays and the loss formula alone."""
        regression = Regression(spec, inputs, self.link(spec), 1)
        return regression.link.certify(
            regression.matrix,
            solution.arrays["x"],
            solution.intercept,
            regression.loss,
            spec.regulariser.ridge,
        )


def _matrix(matrix: Csr | Vector) -> Csr | Vector:
    if isinstance(matrix, Csr):
        return matrix
    if matrix.ndim != 2:
        raise InvalidSpec("A must be a matrix (n, d)", source={"pointer": "/A"})
    return np.ascontiguousarray(matrix, np.float64)


def _vector(inputs: Inputs, name: str, length: int) -> Vector:
    array = inputs[name]
    if isinstance(array, Csr) or array.ndim != 1 or len(array) != length:
        raise InvalidSpec(
            f"{name} has shape {tuple(array.shape)}, expected ({length},)",
            source={"pointer": ARRAY_POINTERS[name]},
        )
    return np.ascontiguousarray(array, np.float64)


def _nonnegative(inputs: Inputs, name: str, length: int) -> Vector:
    if name not in inputs:
        return np.ones(1)
    vector = _vector(inputs, name, length)
    negative = np.flatnonzero(vector < 0.0)
    if negative.size:
        raise InvalidSpec(
            f"{name} must not be negative: entry {negative[0]} is {vector[negative[0]]:g}",
            source={"pointer": ARRAY_POINTERS[name], "entry": int(negative[0])},
        )
    return vector
