"""Ridge regression on the exponential of the Gram matrix, or on its series cut after J terms.

    F(x) = ½‖E x − b‖² + ½ λ‖x‖²,   E = e(AᵀA),   e(s) = exp(s)  or  Σ_{j ≤ J} sʲ/j!            (1)
    ∇F = E(E x − b) + λ x,   ∇²F = E² + λ I                                                    (2)
    x* = f(AᵀA) b,   f(s) = e(s)/(e(s)² + λ) = e(s)⁻¹/(1 + λ e(s)⁻²)                            (3)

The last form, with e(s)⁻¹ = exp(−log e(s)), cannot overflow. The gradient itself carries e^{2s} and is not computed;
the trace's gradient_norm is the length of Newton's step, ‖x − x*‖ as far as it is known.

Source: Song, Yin, Zhang: Solving Attention Kernel Regression Problem via Pre-conditioner, arXiv:2308.14304, where
the exponential is the reason to study the powers (AᵀA)ʲ.
Differences from the source: the exponential itself, all its powers at once; a ridge.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import gammaln, logsumexp

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import GramExponentialProblem
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SolveSpec
from newtond.contract.trace import Iteration
from newtond.engine.arrays import matrix_of, vector_of
from newtond.engine.certificate.exponential import certify_exponential
from newtond.engine.design import DesignMatrix
from newtond.engine.methods import lanczos
from newtond.engine.methods.orthogonal import spectrum, triangle
from newtond.engine.state import Inputs, Solution, State, Step, Vector

LARGEST_FACTOR = 2000
MOST_FLOPS = 1e11
CERTAIN = 1e13
FLOP_NS, ENTRY_NS, PRODUCTS = 0.05, 1.0, 100


def log_growth(s: Vector, terms: int | None) -> Vector:
    """Return log e(s), s ≥ 0: s itself, or the logarithm of the series cut after ``terms``."""
    if terms is None:
        return s
    j = np.arange(terms + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(j == 0, 0.0, j * np.log(s)[:, None])
    return np.asarray(logsumexp(powers - gammaln(j + 1.0), axis=1))


class GramExponential:
    """One spec with its arrays."""

    def __init__(self, spec: SolveSpec, inputs: Inputs, threads: int) -> None:
        assert isinstance(spec.problem, GramExponentialProblem)
        self.spec, self.problem = spec, spec.problem
        self.design = DesignMatrix(matrix_of(inputs, "A"), threads=threads)
        self.target = vector_of(inputs, "b", self.design.width)
        self.ridge = spec.regulariser.ridge
        self._ones = np.ones(self.design.rows)
        self._check()

    def _check(self) -> None:
        if not np.isfinite(self.design.column_squares).all():
            raise InvalidSpec(
                "the squares of A's entries are beyond float64: scale A", source={"pointer": "/A"}
            )
        if self.problem.method == "eigen" and self.design.width > LARGEST_FACTOR:
            raise InvalidSpec(
                f"method 'eigen' takes at most {LARGEST_FACTOR} columns; 'lanczos' takes any number",
                source={"pointer": "/problem/method"},
            )

    @property
    def factor_flops(self) -> float:
        return 2.0 * self.design.rows * self.design.width**2 + 20.0 * self.design.width**3

    @property
    def by_eigenvalues(self) -> bool:
        if self.problem.method != "auto":
            return self.problem.method == "eigen"
        return self.design.width <= LARGEST_FACTOR and self.factor_flops <= MOST_FLOPS

    def function(self, s: Vector) -> Vector:
        """Return f(s)."""
        shrunk = np.exp(-log_growth(s, self.problem.terms))
        return shrunk / (1.0 + self.ridge * shrunk * shrunk)

    def loss(self, s: Vector, along: Vector) -> float:
        """Return F at the minimiser, of b's coordinates along the eigenvectors of these eigenvalues."""
        shrunk = np.exp(-log_growth(s, self.problem.terms))
        share = self.ridge * shrunk * shrunk / (1.0 + self.ridge * shrunk * shrunk)
        return 0.5 * float(np.sum(share * along * along))

    def product(self, vector: Vector) -> Vector:
        """Return AᵀA vector."""
        return self.design.normal(vector, self._ones)

    def eigenvalues(self) -> tuple[Vector, Vector, Vector]:
        """Return the eigenvalues of AᵀA and their vectors as columns, by the singular values of R of A = QR."""
        found = triangle(self.design)
        parts = spectrum(found.factor, self.design.rows)
        scaled = np.ldexp(parts.values, found.exponent)
        return scaled * scaled, parts.right, parts.right.T @ self.target


def plan(spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
    """Return what ``steps`` would do, and why."""
    exponential = GramExponential(spec, inputs, threads)
    n, d, exact = exponential.design.rows, exponential.design.width, exponential.by_eigenvalues
    asked = "asked for: " if exponential.problem.method != "auto" else ""
    cost = exponential.factor_flops * FLOP_NS if exact else PRODUCTS * 2 * ENTRY_NS * exponential.design.nnz
    return Plan(
        hessian="exact" if exact else "free",
        why=asked
        + (
            f"{d} columns: the eigenvalues of AᵀA, by the singular values of R of A = QR"
            if exact
            else f"{d} columns: Lanczos on AᵀA, no d × d array"
        ),
        start="x = 0",
        convex=True,
        convexity="convex: linear least squares on a positive definite matrix",
        memory_bytes=8 * (6 * d * d + 4 * n if exact else 2 * PRODUCTS * d + 4 * n),
        full_passes="a QR" if exact else f"about {2 * PRODUCTS}, more where ‖A‖ is large: its root counts",
        seconds=float(f"{cost / 1e9 / (1 if exact else threads):.2g}"),
    )


def steps(spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
    """Compute f(AᵀA) b by eigenvalues in one step, or by Lanczos, ten products a step."""
    exponential = GramExponential(spec, inputs, threads)
    if exponential.by_eigenvalues:
        return _by_eigenvalues(exponential, state)
    solver = spec.solver
    problem = lanczos.Problem(
        exponential.product,
        exponential.target,
        exponential.function,
        exponential.loss,
        solver.tolerance,
        solver.max_iterations,
    )
    return lanczos.solve(problem, state)


def _by_eigenvalues(exponential: GramExponential, state: State | None) -> Iterator[Step]:
    b = exponential.target
    loss = 0.5 * float(b @ b)
    if state is None or state.iteration == 0:
        start = State(0, {"x": np.zeros_like(b)}, {"loss": loss})
        if exponential.spec.solver.max_iterations == 0:
            record = Iteration(iteration=0, loss=loss, gradient_norm=float(np.linalg.norm(b)))
            yield Step(record, start, "max_iterations", "0 iterations")
            return
        values, vectors, along = exponential.eigenvalues()
        x = vectors @ (exponential.function(values) * along)
        record = Iteration(iteration=0, loss=loss, gradient_norm=float(np.linalg.norm(x)))
        state = State(1, {"x": x}, {"loss": exponential.loss(values, along)})
        yield Step(record, state)
    record = Iteration(iteration=1, loss=float(state.scalars["loss"]), gradient_norm=0.0)
    yield Step(record, state, "converged", "by eigenvalues: exact to rounding")


def solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
    """Return x, and in words what the condition number means for it."""
    exponential = GramExponential(spec, inputs, threads)
    if "x" in state.arrays:
        x, values = state.arrays["x"], exponential.eigenvalues()[0] if state.iteration else np.zeros(1)
    else:
        x, values = lanczos.vector(state), _ritz(exponential, state)
    return Solution({"x": x}, None, tuple(_remarks(exponential, values, x)))


def _ritz(exponential: GramExponential, state: State) -> Vector:
    """Return the Ritz values, and 0 where A has fewer rows than columns."""
    diagonal, beside = state.arrays["diagonal"], state.arrays["beside"]
    if len(diagonal) == 0:
        return np.zeros(1)
    values = lanczos.Krylov(state.arrays["basis"], diagonal, beside, False).ritz()[0]
    return np.append(values, 0.0) if exponential.design.rows < exponential.design.width else values


def _remarks(exponential: GramExponential, values: Vector, x: Vector) -> list[str]:
    growth = log_growth(np.array([values.min(), values.max()]), exponential.problem.terms)
    decades = float(growth[1] - growth[0]) / np.log(10.0)
    said = []
    if decades > np.log10(CERTAIN) and exponential.ridge == 0.0:
        said.append(
            f"the condition number of exp(AᵀA) is 10^{decades:.1f}: x is good to about 1e-16 of its size, but "
            "what lies along the largest eigenvalues is below that, so exp(AᵀA) x does not give b back; scale A down"
        )
    if exponential.target.any() and not x.any():
        said.append("x is below the smallest float64: scale A down")
    return said


def certify(spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate:
    """Return how far x is from f(AᵀA) b, computed by other means."""
    assert isinstance(spec.problem, GramExponentialProblem)
    A = inputs["A"]
    b = vector_of(inputs, "b", A.shape[1])
    terms = spec.problem.terms

    def log_of(s: Vector) -> Vector:
        return log_growth(s, terms)

    return certify_exponential(A, b, solution.arrays["x"], log_of, spec.regulariser.ridge)
