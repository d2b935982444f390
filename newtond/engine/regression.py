"""What every regression in z = A x shares: reading arrays, plan, iteration, solution, certificate.

A family gives a ``Model``: its loss and what is known of it, and gets the functions that
``newtond.engine`` asks of a problem. ``Link`` is the model of a separable loss, by its pointwise form; that of
a loss of groups of rows is in `grouped`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidSpec
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import ARRAY_POINTERS, SolveSpec
from newtond.engine.arrays import matrix_of, vector_of
from newtond.engine.certificate import certify_predictor
from newtond.engine.covariance import Observed, coefficient_errors
from newtond.engine.design import Design, DesignMatrix
from newtond.engine.groups import Groups, gathered, single
from newtond.engine.hessians.dense import ExactHessian
from newtond.engine.hessians.frozen import diagonal, partial
from newtond.engine.kernels import PointwiseKernels
from newtond.engine.methods.approximate_newton import approximate_newton
from newtond.engine.methods.minimum_norm import NullSpace, null_space
from newtond.engine.methods.newton import newton
from newtond.engine.methods.planning import choose, gram_price, make_hessian, make_plan, partial_price
from newtond.engine.methods.quasi_newton import Route, Rung, convex_steps, quasi_newton
from newtond.engine.methods.standard_errors import StandardErrors
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.objective import Loss, Objective, Penalty, RowGradients, Separable
from newtond.engine.sketches import Key, stratified
from newtond.engine.state import Csr, Inputs, Solution, State, Step, Vector

SAMPLED, SAMPLED_TOLERANCE, SAMPLED_ITERATIONS = 20, 0.05, 30
DEAR = 8.0
Bound = Callable[[Vector, Vector, Vector], Vector]


class ModelLoss(Loss, Protocol):
    """A loss that also says what it predicts."""

    @property
    def of_data(self) -> Loss:
        """The loss without its regulariser."""

    @property
    def free_rows(self) -> int:
        """How many residuals can vary independently of the others."""

    def fit(self, z: Vector) -> tuple[Vector, Vector]:
        """Return what is predicted at z and what is left over, both (n)."""


class Model(Protocol):
    """What a family is to a regression; ``regression`` has its arrays read and checked."""

    @property
    def name(self) -> str: ...

    @property
    def start_words(self) -> str: ...

    @property
    def at_zero(self) -> str:
        """What is predicted at z = 0, in words."""

    @property
    def grouped(self) -> bool: ...

    def loss(self, regression: "Regression") -> ModelLoss: ...

    def inverse(self, target: Vector) -> Vector:
        """Return the z that predicts b (n), NaN where there is none."""

    def threshold(self, regression: "Regression") -> Vector:
        """Return the least wᵢ² that make the loss convex, at the scale v (n); may be negative."""

    def floor(self, regression: "Regression") -> Vector:
        """Return a lower bound of each row's curvature anywhere (n)."""

    def convexity(self, regression: "Regression") -> str | None:
        """Return what else is to be said of convexity."""

    def target_norm(self, regression: "Regression") -> float:
        """Return β of the stopping rule."""

    def identified(self, regression: "Regression") -> tuple[Design, Vector]:
        """Return the matrix whose null space no prediction sees, and which of its rows count (n)."""

    def canonical(self, regression: "Regression", x: Vector) -> Vector:
        """Return the one of equally good x (width) that is shown."""

    def first(self, regression: "Regression") -> Vector:
        """Return where to start (width), never a stationary point."""

    def say(self, regression: "Regression", x: Vector) -> list[str]:
        """Return what the caller should know of the answer, in words."""

    def rank_words(self, regression: "Regression") -> str:
        """Return what a nullity means."""

    def predict(self, z: Vector, rows: Inputs) -> Vector:
        """Return what is predicted at z (n) of new rows."""

    @property
    def certify(self) -> Callable[..., Certificate]: ...


def part(values: Vector, rows: slice) -> Vector:
    """Return these rows of a vector that may hold one entry for all."""
    return values[rows] if values.size > 1 else values


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

    grouped = False

    @property
    def at_zero(self) -> str:
        return f"{self.name}(0) = {float(self.function(np.zeros(1))[0]):g}"

    def loss(self, regression: "Regression") -> "PredictorLoss":
        r = regression
        return PredictorLoss(self, r.target, r.scale, r.omega, r.offset)

    def threshold(self, regression: "Regression") -> Vector:
        return -self._least(regression)

    def floor(self, regression: "Regression") -> Vector:
        return self._least(regression) + regression.omega

    def _least(self, regression: "Regression") -> Vector:
        """Return v times the least second derivative of each row anywhere (n)."""
        out, scale = np.empty(regression.design.rows), regression.scale

        def one(rows: slice) -> None:
            target = regression.target[rows]
            unbounded = np.full(len(target), np.inf)
            out[rows] = part(scale, rows) * self.bounds[0](target, -unbounded, unbounded)

        regression.design.map_rows(one)
        return out

    def convexity(self, regression: "Regression") -> str | None:
        return None

    def target_norm(self, regression: "Regression") -> float:
        scale = regression.scale

        def one(rows: slice) -> float:
            target = regression.target[rows]
            fitted = np.where(np.isfinite(z := self.inverse(target)), z, 0.0)
            spread = np.abs(target) + np.abs(fitted * self.slope(fitted))
            return float(np.sum(part(scale, rows) * spread**2))

        return float(np.sqrt(sum(regression.design.map_rows(one))))

    def identified(self, regression: "Regression") -> tuple[Design, Vector]:
        used = (regression.scale > 0.0) | (regression.omega > 0.0)
        return regression.design, np.broadcast_to(used, regression.design.rows).astype(float)

    def canonical(self, regression: "Regression", x: Vector) -> Vector:
        if not self.even or regression.offset.any():
            return x
        return x * (np.sign(x[np.flatnonzero(x)[0]]) if x.any() else 1.0)

    def first(self, regression: "Regression") -> Vector:
        return self.start(regression)

    def say(self, regression: "Regression", x: Vector) -> list[str]:
        return self.remarks(regression)

    def rank_words(self, regression: "Regression") -> str:
        return "A is rank deficient"

    def predict(self, z: Vector, rows: Inputs) -> Vector:
        with np.errstate(over="ignore"):
            return self.function(z)


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

    @property
    def free_rows(self) -> int:
        """The rows of positive weight."""
        target, scale, _, _ = self.terms
        return int(np.count_nonzero(np.broadcast_to(scale, len(target))))

    def fit(self, z: Vector) -> tuple[Vector, Vector]:
        """Return f(z) and f(z) − b (n)."""
        fitted = self.link.function(z)
        return fitted, fitted - self.terms[0]

    def gradient_scale(self, z: Vector) -> Vector:
        """Return the sum of the absolute terms of each entry of the gradient at z."""
        target, scale, omega, offset = self.terms
        slope, value = np.abs(self.link.slope(z)), np.abs(self.link.function(z))
        return scale * slope * (value + np.abs(target)) + omega * (np.abs(z) + np.abs(offset))


class Regression:
    """One spec with its arrays, read and checked: the objective and everything said of it."""

    def __init__(self, spec: SolveSpec, inputs: Inputs, link: Any, threads: int) -> None:
        self.spec, self.link = spec, link
        self.groups, self.order = groups_of(inputs, link)
        inputs = _ordered(inputs, self.order)
        self.matrix = matrix_of(inputs, "A")
        self.design = DesignMatrix(self.matrix, intercept=spec.intercept, threads=threads)
        n = self.design.rows
        self.target = vector_of(inputs, "b", n)
        self.scale = _nonnegative(inputs, "row_weights", n)
        self.omega = self._omega(inputs, n)
        self.offset = self._offset(inputs, n)
        self.warm = vector_of(inputs, "warm_start", self.design.width) if "warm_start" in inputs else None
        self.loss = link.loss(self)
        ridge = np.full(self.design.width, spec.regulariser.ridge)
        ridge[self.design.columns :] = 0.0
        self.objective = Objective(self.design, self.loss, Penalty(ridge, np.zeros(self.design.width)))
        self._check_names()

    def _omega(self, inputs: Inputs, n: int) -> Vector:
        weights = self.spec.regulariser.weights
        if isinstance(weights, float):
            return np.array([weights**2])
        if weights == "convex":
            return np.maximum(self.link.threshold(self), 0.0) + self.spec.regulariser.margin
        return _nonnegative(inputs, "weights", n) ** 2

    def _offset(self, inputs: Inputs, n: int) -> Vector:
        if "offset" in inputs:
            return vector_of(inputs, "offset", n)
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

    def as_given(self, values: Vector) -> Vector:
        """Return a vector of the rows (n) in the order in which the caller gave them."""
        return as_given(values, self.order)

    def outputs(self, x: Vector, nullity: int) -> tuple[dict[str, Vector], list[str]]:
        """Return the arrays that ``outputs`` asks for, and what is to be said of them."""
        asked = self.spec.outputs
        if not asked:
            return {}, []
        fitted, residual = self.loss.fit(self.design.matvec(x))
        rows = {"fitted": fitted, "residual": residual}
        arrays: dict[str, Vector] = {name: self.as_given(rows[name]) for name in rows if name in asked}
        if "standard_errors" not in asked:
            return arrays, []
        observed = Observed(self.loss.of_data, self.scale * residual**2, self.loss.free_rows)
        noise = self.rule.threshold(0.0)
        errors = coefficient_errors(self.objective, x, observed, nullity, noise)
        return arrays | self._split(errors), list(errors.remarks)

    def _split(self, errors: StandardErrors) -> dict[str, Vector]:
        """Return the errors of x and of the intercept by the names of the results."""
        d = self.design.columns
        named = {"standard_errors": errors.classical, "sandwich_errors": errors.sandwich}
        there = {name: values for name, values in named.items() if values is not None}
        arrays = {name: values[:d] for name, values in there.items()}
        if there and self.design.intercept:
            arrays["intercept_errors"] = np.array([values[d] for values in there.values()])
        return arrays

    @property
    def global_floor(self) -> Vector:
        """A lower bound of each row's curvature anywhere."""
        return self.link.floor(self)

    @property
    def rule(self) -> StoppingRule:
        solver = self.spec.solver
        return StoppingRule(solver.tolerance, solver.max_iterations, self.link.target_norm(self))

    def sampled_state(self, inputs: Inputs) -> State:
        """Return where to start on all rows: about the solution on a stratified sample of 20 rows a column."""
        spec, rows = self.spec, stratified(self.design.rows, SAMPLED * self.design.width, self.key)
        ridge = spec.regulariser.ridge * len(rows) / self.design.rows
        regulariser = spec.regulariser.model_copy(update={"ridge": ridge})
        sampled = spec.model_copy(update={"regulariser": regulariser})
        few = Regression(sampled, _of_rows(inputs, rows, self.design.rows), self.link, self.design.threads)
        rule = StoppingRule(SAMPLED_TOLERANCE, SAMPLED_ITERATIONS, 0.0)
        *_, last = convex_steps(few.objective, Route((Rung(diagonal, 0.0),), None), rule, few.first_state())
        return State(0, {"x": last.state.arrays["x"]}, {})

    @property
    def key(self) -> Key:
        return Key(self.spec.solver.seed, 0)

    def first_state(self) -> State:
        """Return the warm start, or the best of the family's candidates (never a stationary point)."""
        x = self.warm if self.warm is not None else self.link.first(self)
        return State(0, {"x": x}, {})

    def null_space(self) -> NullSpace:
        """Return the null space that no ridge removes."""
        if self.spec.regulariser.ridge > 0.0:
            return NullSpace(np.empty((self.design.width, 0)), True)
        return null_space(*self.link.identified(self))

    def remarks(self, x: Vector, null: NullSpace) -> list[str]:
        """Return what the caller should know of the answer, in words."""
        return [*self._of_rank(null), *self._of_fit(x), *self.link.say(self, x)]

    def _of_rank(self, null: NullSpace) -> list[str]:
        if not null.known:
            return [
                f"A has {self.design.columns} columns: its rank was not determined, and if it is deficient "
                "x is one of the minimisers, not the one of least norm"
            ]
        if null.nullity:
            return [
                f"{self.link.rank_words(self)}: nullity {null.nullity}; x is the minimiser of least norm "
                "(coefficients are identified up to the null space, predictions are not affected)"
            ]
        return []

    def _of_fit(self, x: Vector) -> list[str]:
        if not (self.omega > 0.0).any() or self.offset.any():
            return []
        said = [f"regulariser.weights pull every prediction towards {self.link.at_zero}"]
        z = self.design.matvec(x)
        fitted = float(np.sum(self.scale * self.loss.fit(z)[1] ** 2))
        nothing = float(np.sum(self.scale * self.loss.fit(np.zeros_like(z))[1] ** 2))
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
    """The functions of ``newtond.engine`` for a family whose link depends on its spec."""

    link: Callable[[SolveSpec], Model]

    def plan(self, spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
        """Return what ``steps`` would do, and why."""
        regression = Regression(spec, inputs, self.link(spec), threads)
        return _plan(regression)

    def steps(self, spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
        """Iterate by Newton's method, or by the papers' own where ``hessian`` is 'paper'."""
        regression = Regression(spec, inputs, self.link(spec), threads)
        objective = regression.objective
        choice, _ = choose(spec, objective, lambda: regression.global_floor)
        hessian = make_hessian(choice, spec, regression.design)
        if isinstance(hessian, ExactHessian) and choice in ("partial", "arrow"):
            route = Route(_rungs(objective) if choice == "partial" else (), hessian, gram_price(objective))
            if state is None and choice == "partial" and regression.warm is None:
                state = regression.sampled_state(inputs)
            state = state or regression.first_state()
            return quasi_newton(objective, route, regression.rule, spec.solver.seed, state)
        method = approximate_newton if choice == "paper" else newton
        state = state or regression.first_state()
        return method(objective, hessian, regression.rule, spec.solver.seed, state)

    def row_gradients(self, spec: SolveSpec, inputs: Inputs, threads: int) -> RowGradients:
        """Return the gradient of the loss, row block by row block."""
        return RowGradients(Regression(spec, inputs, self.link(spec), threads).objective)

    def solution(self, spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
        """Return x of least norm, the intercept, and the outputs asked for."""
        regression = Regression(spec, inputs, self.link(spec), threads)
        design, null = regression.design, regression.null_space()
        rows, used = regression.link.identified(regression)
        x = null.least_norm(rows, used, state.arrays["x"])
        x = regression.link.canonical(regression, x)
        made, said = regression.outputs(x, null.nullity)
        arrays = {"x": np.ascontiguousarray(x[: design.columns]), **made}
        intercept = float(x[-1]) if design.intercept else None
        return Solution(arrays, intercept, (*regression.remarks(x, null), *said))

    def predict(
        self, spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs, threads: int
    ) -> Vector:
        """Return f(Ax + intercept) of new rows (n); of a grouped loss within their own groups."""
        x, shift = solution.arrays["x"], solution.intercept
        design = DesignMatrix(matrix_of(rows, "A"), intercept=shift is not None, threads=threads)
        if len(x) != design.columns:
            raise InvalidSpec(
                f"A has {design.columns} columns, the solve had {len(x)}", source={"pointer": "/A"}
            )
        z = design.matvec(x if shift is None else np.append(x, shift))
        return self.link(spec).predict(z, rows)

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


def _rungs(objective: Objective) -> tuple[Rung, ...]:
    """Return the cheap Hessians, the partial one first unless it costs many passes."""
    kept = Rung(partial, partial_price(objective), squared=True)
    return (kept,) if kept.price <= DEAR else (Rung(diagonal, 1.0), kept)


def _plan(regression: Regression) -> Plan:
    link = regression.link
    return make_plan(
        regression.spec,
        regression.objective,
        regression.global_floor,
        link.start_words,
        link.convexity(regression),
    )


def groups_of(inputs: Inputs, link: Model) -> tuple[Groups | None, NDArray[np.int64] | None]:
    """Return the groups of rows of a grouped loss, and the order that brings each together."""
    if not link.grouped:
        return None, None
    n = inputs["A"].shape[0]
    return gathered(vector_of(inputs, "groups", n)) if "groups" in inputs else (single(n), None)


def as_given(values: Vector, order: NDArray[np.int64] | None) -> Vector:
    """Return a vector of ordered rows (n) in the order in which the caller gave them."""
    if order is None:
        return values
    out = np.empty_like(values)
    out[order] = values
    return out


def _ordered(inputs: Inputs, order: NDArray[np.int64] | None) -> Inputs:
    """Return the inputs with their rows in this order; what has no rows stays."""
    if order is None:
        return inputs
    return _of_rows(inputs, order, len(order))


def _rows_of(array: Csr | Vector, order: NDArray[np.int64]) -> Csr | Vector:
    if not isinstance(array, Csr):
        return array[order]
    sizes = array.indptr[order + 1] - array.indptr[order]
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    entries = np.repeat(array.indptr[order] - indptr[:-1], sizes) + np.arange(indptr[-1])
    return Csr(indptr, array.indices[entries], array.data[entries], (len(order), array.shape[1]))


def _of_rows(inputs: Inputs, rows: NDArray[np.int64], n: int) -> Inputs:
    """Return the inputs with these of their n rows, in this order; what has no rows stays."""
    names = ("A", "b", "row_weights", "weights", "offset")
    return {
        name: _rows_of(array, rows) if name in names and array.shape[0] == n else array
        for name, array in inputs.items()
    }


def _nonnegative(inputs: Inputs, name: str, length: int) -> Vector:
    if name not in inputs:
        return np.ones(1)
    vector = vector_of(inputs, name, length)
    negative = np.flatnonzero(vector < 0.0)
    if negative.size:
        raise InvalidSpec(
            f"{name} must not be negative: entry {negative[0]} is {vector[negative[0]]:g}",
            source={"pointer": ARRAY_POINTERS[name], "entry": int(negative[0])},
        )
    return vector
