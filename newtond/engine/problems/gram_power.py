"""Least squares on a power of the Gram matrix.

    F(x) = ½‖T x − b‖² + ½ λ‖x‖²,   T = (AᵀA)ʲ (form gram, b ∈ Rᵈ)  or  A (AᵀA)ʲ (form design, b ∈ Rⁿ)   (1)
    ∇F = Tᵀ(T x − b) + λ x,   ∇²F = TᵀT + λ I                                                          (2)
    x* = (AᵀA)^{−j} b  or  (AᵀA)^{−j} A⁺ b  (λ = 0), of least norm where the rank is deficient          (3)

With A = U diag(σ) Vᵀ and p = 2j or 2j + 1, x* = V diag(σᵖ/(σ²ᵖ + λ)) (Vᵀb or Uᵀb). κ(T) = κ(A)ᵖ: past 1e13 no digit
of x is certain, and a warning says so. A is scaled by a power of two, so that σᵖ stays in range.

Source: Song, Yin, Zhang: Solving Attention Kernel Regression Problem via Pre-conditioner, arXiv:2308.14304.
Differences from the source: a QR factor instead of a sketched preconditioner where d is small; refinement by the
residual of the whole power; least norm; a ridge where the factor fits.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import GramPowerProblem
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SketchSpec, SolveSpec
from newtond.engine.arrays import matrix_of, vector_of
from newtond.engine.certificate.gram import certify_power
from newtond.engine.design import DesignMatrix
from newtond.engine.hessians.conjugate_gradients import Operator
from newtond.engine.methods.factor_chain import FactorChain
from newtond.engine.methods.link_preconditioner import scaled, sketched
from newtond.engine.methods.orthogonal import exponent_of, spectrum, triangle
from newtond.engine.methods.power_chain import Rule, iterate, refine
from newtond.engine.sketches import sketch
from newtond.engine.state import Inputs, Solution, State, Step, Vector

LARGEST_FACTOR, LARGEST_SKETCH = 2000, 5000
MOST_FLOPS = 1e11
CERTAIN = 1e13
SINGULAR = 1e11
"""Past this the sketch says that A is rank deficient, and cannot precondition."""
FLOP_NS, ENTRY_NS = 0.05, 1.0
ITERATIONS_A_LINK = 30
Route = Literal["exact", "sketch", "free"]


class GramPower:
    """One spec with its arrays; T is of A · 2^−exponent, and x of T in its own scale (``unscaled`` undoes it)."""

    def __init__(self, spec: SolveSpec, inputs: Inputs, threads: int) -> None:
        assert isinstance(spec.problem, GramPowerProblem)
        self.spec, self.problem = spec, spec.problem
        self.design = DesignMatrix(matrix_of(inputs, "A"), threads=threads)
        self.width = self.design.width
        self.tall = self.problem.form == "design"
        self.power = 2 * self.problem.power + self.tall
        self.links = self.problem.power + self.tall
        self.target = vector_of(inputs, "b", self.design.rows if self.tall else self.width)
        self.exponent = exponent_of(self.design)
        self.gradient_exponent = self.power * self.exponent
        self.ridge = spec.regulariser.ridge
        self.weights = np.full(self.design.rows, np.ldexp(1.0, -2 * self.exponent))
        self._check()

    def _check(self) -> None:
        if not np.isfinite(self.design.column_squares).all() or abs(self.exponent) > 480:
            raise InvalidSpec(
                "the squares of A's entries are beyond float64: scale A", source={"pointer": "/A"}
            )
        if self.problem.method == "qr" and self.spec.solver.sketch != SketchSpec():
            raise InvalidSpec("method 'qr' takes no sketch", source={"pointer": "/solver/sketch"})
        if self.ridge > 0.0 and self.links > 0 and self.route != "exact":
            raise InvalidSpec(
                f"a ridge needs the factor R of A: method 'qr' and at most {LARGEST_FACTOR} columns",
                source={"pointer": "/regulariser/ridge"},
            )
        if self.problem.method == "qr" and self.links > 0 and self.width > LARGEST_FACTOR:
            raise InvalidSpec(
                f"method 'qr' takes at most {LARGEST_FACTOR} columns", source={"pointer": "/problem/method"}
            )

    @property
    def factor_flops(self) -> float:
        return 2.0 * self.design.rows * self.width**2 + 20.0 * self.width**3

    @property
    def route(self) -> Route:
        if self.links == 0:
            return "free"
        method, drawn = self.problem.method, self.spec.solver.sketch != SketchSpec()
        fits = self.width <= LARGEST_FACTOR
        if method == "qr" or (method == "auto" and not drawn and fits and self.factor_flops <= MOST_FLOPS):
            return "exact"
        if self.ridge > 0.0 and method == "auto" and not drawn and fits:
            return "exact"
        return "sketch" if self.width <= LARGEST_SKETCH or drawn else "free"

    @cached_property
    def scaled_ridge(self) -> float:
        """λ in the scale of T: λ 2^{−2p·exponent}."""
        return float(np.ldexp(self.ridge, -2 * self.gradient_exponent))

    def unscaled(self, x: Vector) -> Vector:
        """Return the caller's x."""
        return np.ldexp(x, -self.gradient_exponent)

    def link(self, vector: Vector) -> Vector:
        """Return AᵀA vector, of the scaled A."""
        return self.design.normal(vector, self.weights)

    def apply(self, x: Vector) -> Vector:
        """Return T x."""
        for _ in range(self.problem.power):
            x = self.link(x)
        return self.predict(x) if self.tall else x

    def predict(self, vector: Vector) -> Vector:
        """Return A vector, of the scaled A."""
        return np.ldexp(self.design.matvec(vector), -self.exponent)

    def first(self, residual: Vector) -> Vector:
        """Return Aᵀ residual (form design) or the residual itself."""
        return np.ldexp(self.design.rmatvec(residual), -self.exponent) if self.tall else residual

    def gradient(self, x: Vector, residual: Vector) -> Vector:
        """Return −Tᵀ residual + λ x."""
        image = self.first(residual)
        for _ in range(self.problem.power):
            image = self.link(image)
        return self.scaled_ridge * x - image

    def loss(self, x: Vector, residual: Vector) -> float:
        """Return F."""
        return 0.5 * float(residual @ residual) + 0.5 * self.scaled_ridge * float(x @ x)

    @property
    def rule(self) -> Rule:
        at_zero = float(np.linalg.norm(self.gradient(np.zeros(self.width), self.target)))
        return Rule(self.spec.solver.tolerance, self.spec.solver.max_iterations, at_zero)


def _sketched(power: GramPower) -> tuple[Operator, float]:
    solver = power.spec.solver
    return sketched(power.design, np.sqrt(power.weights), solver.sketch, solver.seed)


def plan(spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
    """Return what ``steps`` would do, and why."""
    power = GramPower(spec, inputs, threads)
    route, n, d = power.route, power.design.rows, power.width
    words = {
        "exact": f"{d} columns: R of A = QR, then two triangular solves a link",
        "sketch": f"{d} columns: conjugate gradients on each link, preconditioned by a sketch",
        "free": f"{d} columns: conjugate gradients on each link, scaled by the columns; no d × d array",
    }
    if not power.links:
        words["free"] = "the zeroth power is the identity"
    rows = None
    if route == "sketch":
        rows = spec.solver.sketch.rows or sketch(spec.solver.sketch.kind).default_rows(n, d)
    pass_ns = 2 * ENTRY_NS * power.design.nnz
    passes = 4 * (power.links + 1) * (1 if route == "exact" else ITERATIONS_A_LINK)
    build = power.factor_flops if route == "exact" else 2.0 * (rows or 0) * d * d
    asked = "asked for: " if power.problem.method != "auto" else ""
    return Plan(
        hessian=route,
        why=asked + words[route],
        start="x = 0",
        sketch_rows=rows,
        convex=True,
        convexity="convex: linear least squares",
        memory_bytes=8 * (6 * d * d if route == "exact" else 3 * (rows or 0) * d) + 8 * 8 * (n + d),
        full_passes=f"about {passes}" + (" and a QR" if route == "exact" else ""),
        seconds=float(f"{(build * FLOP_NS + passes * pass_ns / threads) / 1e9:.2g}"),
        warnings=_of_rank(route) if power.links else [],
    )


def _of_rank(route: Route) -> list[str]:
    if route == "exact":
        return []
    return [
        "conjugate gradients need b in the row space of A where its rank is deficient; method 'qr' does not"
    ]


def steps(spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
    """Iterate: a refined chain of triangular solves a step, or some conjugate gradients of a link."""
    power = GramPower(spec, inputs, threads)
    if power.links == 0:
        whole = 1.0 + power.scaled_ridge
        return refine(power, power.rule, lambda here: -power.gradient(here.x, here.residual) / whole, state)
    if power.route == "exact":
        return refine(power, power.rule, FactorChain(power), state)
    precondition = scaled(np.ldexp(power.design.column_squares, -2 * power.exponent))
    if power.route == "sketch":
        drawn, condition = _sketched(power)
        if condition > SINGULAR and power.width <= LARGEST_FACTOR:
            return refine(power, power.rule, FactorChain(power), state)
        precondition = drawn if condition <= SINGULAR else precondition
    return iterate(power, power.rule, precondition, state)


def solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
    """Return x and the outputs asked for; warnings of the condition number and of the rank."""
    power = GramPower(spec, inputs, threads)
    x = power.unscaled(state.arrays["x"])
    arrays = {"x": x}
    if spec.outputs:
        fitted = power.apply(state.arrays["x"])
        made = {"fitted": fitted, "residual": fitted - power.target}
        arrays |= {name: made[name] for name in spec.outputs}
    return Solution(arrays, None, tuple(_remarks(power, state.arrays["x"], x)))


def _remarks(power: GramPower, scaled: Vector, x: Vector) -> list[str]:
    said = []
    if np.count_nonzero(scaled) > np.count_nonzero(x):
        said.append("entries of x are below the smallest float64 and are 0: scale A or b")
    condition, rank = _measured(power)
    if rank < power.width:
        said.append(f"A is rank deficient: nullity {power.width - rank}; x is the minimiser of least norm")
    if condition is not None and _of_condition(power, condition):
        said.append(_of_condition(power, condition))
    return said


def _measured(power: GramPower) -> tuple[float | None, int]:
    """Return the condition number of A on its range, as far as the route tells, and the rank."""
    if not power.links:
        return None, power.width
    if power.route == "exact":
        found = spectrum(triangle(power.design).factor, power.design.rows)
        return found.condition, found.rank
    condition = _sketched(power)[1] if power.route == "sketch" else None
    if condition is not None and condition > SINGULAR and power.width <= LARGEST_FACTOR:
        found = spectrum(triangle(power.design).factor, power.design.rows)
        return found.condition, found.rank
    return condition, power.width


def _of_condition(power: GramPower, condition: float) -> str:
    exponent = power.power * float(np.log10(max(condition, 1.0)))
    if exponent <= np.log10(CERTAIN) or power.ridge > 0.0:
        return ""
    return (
        f"the condition number of A is {condition:.1e}, that of its power 10^{exponent:.1f}, past 1e13: the residual "
        "may be small and still no digit of x be certain; a smaller power or a ridge makes it well posed"
    )


def predict(spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs, threads: int) -> Vector:
    """Return A′ (AᵀA)ʲ x for new rows A′ (p), form design."""
    power = GramPower(spec, inputs, threads)
    vector = np.ldexp(solution.arrays["x"], power.gradient_exponent)
    for _ in range(power.problem.power):
        vector = power.link(vector)
    return np.ldexp(DesignMatrix(matrix_of(rows, "A"), threads=threads).matvec(vector), -power.exponent)


def certify(spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate:
    """Return residual, gradient and estimates of the errors, from the input arrays and (1)."""
    assert isinstance(spec.problem, GramPowerProblem)
    A, tall = inputs["A"], spec.problem.form == "design"
    b = vector_of(inputs, "b", A.shape[0] if tall else A.shape[1])
    return certify_power(A, b, solution.arrays["x"], spec.problem.power, tall, spec.regulariser.ridge)
