"""Linear least squares.

    F(x) = ½ Σ vᵢ (zᵢ − bᵢ)² + ½ Σ wᵢ² (zᵢ − z̄ᵢ)² + ½ λ‖x‖²,   z = A x                               (1)
    ∇F = Aᵀ(v∘(z − b) + w²∘(z − z̄)) + λ x,     ∇²F = Aᵀ diag(v + w²) A + λ I                           (2)

F is quadratic: ½‖M x − β‖² + constant with M = [diag(√(v + w²)) A; √λ I]. Three ways, by size and by measured
conditioning (see `methods.routes`): pivoted QR of M where it is small, sketched QR with refinement where it is
ill-conditioned, else Newton's method, whose one step is refined by exact gradients.
Source: any text; the problem is the linear case of the papers' regressions.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from newtond.contract.problem import LeastSquaresProblem
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.certificate import certify_linear
from newtond.engine.kernels import inner, specialise
from newtond.engine.methods import columns
from newtond.engine.methods.guarantees import Guaranteed
from newtond.engine.methods.linear_system import LinearSystem, rank_tolerance
from newtond.engine.methods.minimum_norm import NullSpace
from newtond.engine.methods.refinement import Factor, refine
from newtond.engine.methods.routes import Route
from newtond.engine.methods.sketched_qr import SketchedQr
from newtond.engine.regression import Link, Regression, RegressionFamily
from newtond.engine.state import Inputs, Matrix, Solution, State, Step, Vector


@inner
def identity_row(z, b):
    """Value, first and second derivative and Gauss-Newton curvature of ½ (z − b)²."""
    residual = z - b
    return 0.5 * residual * residual, residual, 1.0, 1.0


def _one(b: Vector, low: Vector, high: Vector) -> Vector:
    return np.ones_like(b)


def _start(regression: Regression) -> Vector:
    return np.zeros(regression.design.width)


@cache
def _link() -> Link:
    return Link(
        name="identity",
        kernels=specialise(identity_row),
        function=lambda z: z,
        slope=np.ones_like,
        inverse=lambda b: b,
        bounds=(_one, _one),
        start=_start,
        start_words="x = 0; the objective is quadratic",
        certify=certify_linear,
        reach=np.inf,
    )


def link(spec: SolveSpec) -> Link:
    """Return the identity link."""
    return _link()


family = RegressionFamily(link)
row_gradients = family.row_gradients


def route_of(regression: Regression) -> Route:
    """Return the way this regression goes."""
    n, scale, omega = regression.design.rows, regression.scale, regression.omega
    squares = np.ascontiguousarray(np.broadcast_to(scale + omega, n))
    pulled = scale * regression.target + omega * regression.offset
    target = np.where(squares > 0.0, pulled / np.where(squares > 0.0, squares, 1.0), 0.0)
    system = LinearSystem(regression.objective, squares, target)
    return Route(system, regression.spec, regression.matrix)


def guaranteed(route: Route) -> Guaranteed | None:
    """Return the sketched problem that the spec's guarantee asks for, if it asks for one."""
    problem = route.spec.problem
    assert isinstance(problem, LeastSquaresProblem)
    if problem.guarantee is None:
        return None
    return Guaranteed(route.system, route.spec, route.matrix, problem.guarantee)


def plan(spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
    """Return what ``steps`` would do, and why."""
    if spec.B is not None:
        columns.check(spec)
        spec, inputs = columns.column(spec, inputs, columns.targets(inputs), 0)
    regression = Regression(spec, inputs, link(spec), threads)
    route = route_of(regression)
    planned = route.amend(family.plan(spec, inputs, threads))
    sketched = guaranteed(route)
    return planned if sketched is None else sketched.amend(planned)


def steps(spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
    """Iterate by corrections of the exact residual, or by Newton's method; column by column of B."""
    if spec.B is None:
        return Ways(threads)(0, spec, inputs, state)
    width = inputs["A"].shape[1] + spec.intercept
    return columns.steps(spec, inputs, width, Ways(threads), state)


class Ways:
    """Iterates on one column after another, the factorisation kept from the first."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.kept: tuple[str, Factor | None] | None = None

    def _prepared(self, route: Route) -> tuple[str, Factor | None]:
        if self.kept is None:
            self.kept = route.name, None if route.name == "newton" else route.factor()
        return self.kept

    def __call__(self, j: int, spec: SolveSpec, inputs: Inputs, state: State | None) -> Iterator[Step]:
        """Return the steps of column j."""
        regression = Regression(spec, inputs, link(spec), self.threads)
        route = route_of(regression)
        sketched = guaranteed(route)
        if sketched is not None and sketched.sketches:
            return sketched.steps(state or regression.first_state())
        name, factor = self._prepared(route)
        if factor is None:
            return family.steps(spec, inputs, self.threads, state)
        if j > 0:
            factor.retarget(route.system)
        elif state is None and regression.warm is None and isinstance(factor, SketchedQr):
            state = State(0, {"x": factor.start()}, {})
        return refine(route.system, factor, regression.rule, name, state or regression.first_state())


def solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
    """Return x of least norm, the intercept, and the outputs asked for."""
    if spec.B is not None:
        return columns.solution(
            spec, inputs, state, lambda one, given, at: _solution(one, given, at, threads)
        )
    return _solution(spec, inputs, state, threads)


def _solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
    if "route" not in state.scalars:
        return family.solution(spec, inputs, state, threads)
    regression = Regression(spec, inputs, link(spec), threads)
    design, x = regression.design, state.arrays["x"]
    made, said = regression.outputs(x, design.width - int(state.scalars["rank"]))
    arrays = {"x": np.ascontiguousarray(x[: design.columns]), **made}
    intercept = float(x[-1]) if design.intercept else None
    return Solution(arrays, intercept, (*_remarks(regression, x, state), *said))


def _remarks(regression: Regression, x: Vector, state: State) -> list[str]:
    """Return what every regression says, and what the factorisation measured."""
    width, rank = regression.design.width, int(state.scalars["rank"])
    condition = float(state.scalars["condition"])
    said = regression.remarks(x, NullSpace(np.empty((width, width - rank)), True))
    if rank < width:
        tolerance = rank_tolerance(regression.design.rows, width)
        said.append(
            f"numerical rank {rank} of {width}: pivots of the scaled columns below {tolerance:.1e} of the first "
            "count as zero"
        )
    if condition > ILL:
        said.append(
            f"condition number about {condition:.1e} after scaling the columns: x may carry a relative error of "
            f"about {condition * 1.1e-16:.0e}, more where the residual is large; predictions are as exact as QR's"
        )
    return said


ILL = 1e6


def predict(
    spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs, threads: int
) -> Vector | Matrix:
    """Return Ax + intercept of new rows (n); of several targets AX + intercepts (n, k)."""
    if spec.B is None:
        return family.predict(spec, inputs, solution, rows, threads)
    each = columns.alone(solution)
    return np.column_stack([family.predict(spec, inputs, one, rows, threads) for one in each])


def certify(spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate:
    """Return what is proven of the solution, from the input arrays and (1)."""
    if spec.B is not None:
        return columns.certify(spec, inputs, solution, family.certify)
    return family.certify(spec, inputs, solution)
