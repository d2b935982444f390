"""Ridge regression on the attention kernel K = exp(A Aᵀ), exp taken of every entry.

    F(x) = ½‖Kx − b‖² + ½ λ xᵀKx                                                                (1)
    ∇F = K((K + λI)x − b),   ∇²F = K(K + λI)                                                    (2)
    (K + λI) x = b,   K = D G D,  D = diag(exp(½‖aᵢ‖²)),  Gᵢⱼ = exp(−½‖aᵢ − aⱼ‖²)               (3)

Neither K nor D is formed. With Sᵢ = (Dᵢᵢ² + λ)^{-½}, taken in logarithms, x = S v and

    M v = S b,   M = T G T + diag(λ S²),   T = S D ≤ 1,   λ S² ≤ 1                              (4)

M has a unit diagonal, so its condition number is within a factor n of the best that scaling can do. The
trace's gradient_norm is ‖(K + λI)x − b‖, the gradient of F in the metric of K; a solve ends on it.

Source: Song, Yin, Zhang: Solving Attention Kernel Regression Problem via Pre-conditioner, arXiv:2308.14304.
Differences from the source: D G D instead of a sketched polynomial kernel, a ridge, a randomly pivoted Cholesky
preconditioner, an exact factorisation where n is small.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import AttentionKernelProblem
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.arrays import matrix_of, vector_of
from newtond.engine.certificate.kernel import certify_kernel
from newtond.engine.gaussian import GaussianMatrix, halves
from newtond.engine.hessians.conjugate_gradients import Operator
from newtond.engine.methods.cholesky import CholeskySolver
from newtond.engine.methods.preconditioned_cg import Rule, solve
from newtond.engine.methods.randomly_pivoted_cholesky import LowRankPreconditioner, randomly_pivoted_cholesky
from newtond.engine.sketches import Key
from newtond.engine.state import Inputs, Matrix, Solution, State, Step, Vector

EXACT = 6000
"""Points up to which the factorisation is the faster: see docs/maths/attention_kernel.md."""
MEASURED = 20_000
"""Points up to which a plan spends a product on the condition number; beyond, the result does."""
RANK_ENTRIES, LEAST_RANK = 1 << 27, 200
LARGEST_EXPONENT = 700.0
ROUNDING = float(np.finfo(np.float64).eps)
LARGEST = float(np.finfo(np.float64).max)
EXPONENTIAL_NS, MULTIPLICATION_NS, FLOP_NS = 3.0, 0.25, 0.05
PRODUCTS = 25


class Kernel:
    """One spec with its arrays: the scaled system (4), and what its vectors mean."""

    def __init__(self, spec: SolveSpec, inputs: Inputs, threads: int) -> None:
        assert isinstance(spec.problem, AttentionKernelProblem)
        self.spec, self.problem = spec, spec.problem
        self.gaussian = GaussianMatrix(matrix_of(inputs, "A"), threads)
        self.size = self.gaussian.size
        self.target = vector_of(inputs, "b", self.size)
        self.ridge = spec.regulariser.ridge
        self._check_exponents()
        log_ridge = np.log(self.ridge) if self.ridge > 0.0 else -np.inf
        self._log_scale = -0.5 * np.logaddexp(2.0 * self.gaussian.half, log_ridge)
        self._log_unit = self._largest_logarithm()
        self.taper = np.exp(self.gaussian.half + self._log_scale)
        self.shift = np.exp(log_ridge + 2.0 * self._log_scale)
        self.right = self._scaled(self.target)

    def _check_exponents(self) -> None:
        worst = int(np.argmax(self.gaussian.half))
        if not self.gaussian.half[worst] <= LARGEST_EXPONENT:
            raise InvalidSpec(
                f"⟨a, a⟩ of row {worst} is {2 * self.gaussian.half[worst]:.4g}: even the square root of its exp "
                f"is beyond float64 (⟨a, a⟩ ≤ {2 * LARGEST_EXPONENT:g}); scale A down",
                source={"pointer": "/A", "row": worst},
            )

    def _largest_logarithm(self) -> float:
        used = self.target != 0.0
        if not used.any():
            return 0.0
        return float(np.max(np.log(np.abs(self.target[used])) + self._log_scale[used]))

    def _scaled(self, values: Vector) -> Vector:
        return values * np.exp(np.minimum(self._log_scale - self._log_unit, LARGEST_EXPONENT))

    def product(self, vector: Vector) -> Vector:
        """Return M vector."""
        return self.taper * self.gaussian.product(self.taper * vector) + self.shift * vector

    def coefficients(self, vector: Vector) -> Vector:
        """Return x."""
        return vector * np.exp(self._log_scale + self._log_unit)

    def predictors(self, vector: Vector) -> Vector:
        """Return y = D x."""
        return vector * self.taper * np.exp(self._log_unit)

    def residual(self, scaled: Vector) -> Vector:
        """Return b − (K + λI)x of the scaled residual."""
        with np.errstate(over="ignore"):
            return np.clip(scaled * np.exp(self._log_unit - self._log_scale), -LARGEST, LARGEST)

    def residual_norm(self, scaled: Vector) -> float:
        """Return ‖b − (K + λI)x‖."""
        return norm(self.residual(scaled))

    def loss(self, vector: Vector, scaled: Vector) -> float:
        """Return F, the largest float where it is larger."""
        x, residual = self.coefficients(vector), self.residual(scaled)
        with np.errstate(over="ignore", invalid="ignore"):
            misfit = norm(residual + self.ridge * x)
            value = 0.5 * misfit * misfit + 0.5 * self.ridge * float(
                x @ (self.target - residual - self.ridge * x)
            )
        return min(value, LARGEST) if np.isfinite(value) else LARGEST

    def fitted(self, vector: Vector) -> Vector:
        """Return K x."""
        return np.exp(self.gaussian.half) * self.gaussian.product(self.predictors(vector))

    def matrix(self) -> Matrix:
        """Return M, for a factorisation."""
        out = self.gaussian.columns(np.arange(self.size))
        out *= self.taper
        out *= self.taper[:, None]
        out[np.diag_indices(self.size)] = 1.0
        return out

    @property
    def exact(self) -> bool:
        if self.problem.method == "auto":
            return self.size <= EXACT and self.problem.rank is None
        return self.problem.method == "cholesky"

    @property
    def rank(self) -> int:
        """The largest rank of the preconditioner."""
        fitting = max(1, RANK_ENTRIES // self.size)
        return min(self.problem.rank or min(max(LEAST_RANK, self.size // 10), fitting), self.size)

    def preconditioner(self) -> Operator:
        """Return P⁻¹: M⁻¹ itself, or that of a low-rank factor and a diagonal."""
        if self.exact:
            return CholeskySolver(self.matrix)
        enough = float(np.mean(self.shift)) if self.problem.rank is None else 0.0

        def columns(chosen: np.ndarray) -> Matrix:
            return self.gaussian.columns(chosen) * self.taper[:, None] * self.taper[chosen]

        key = Key(self.spec.solver.seed, 0)
        low_rank = randomly_pivoted_cholesky(columns, self.taper**2, self.rank, enough, key)
        return LowRankPreconditioner(low_rank, self.shift)

    @cached_property
    def condition(self) -> float:
        """An upper bound of the condition number of M: ‖M‖∞ over the least of λS², or over Gershgorin's bound."""
        most = float(self.product(np.ones(self.size)).max())
        least = max(float(self.shift.min()), 2.0 - most)
        return most / least if least > 0.0 else np.inf

    def remarks(self, vector: Vector) -> list[str]:
        """Return what the caller should know of the answer, in words."""
        said = []
        lost = int(np.count_nonzero((self.coefficients(vector) == 0.0) & (self.predictors(vector) != 0.0)))
        if lost:
            said.append(
                f"{lost} entries of x are below the smallest float64 and are 0; y = Dx has them: predict from y"
            )
        return said + self.of_condition()

    def of_condition(self) -> list[str]:
        """Say what the condition number leaves of the accuracy asked for."""
        if self.ridge == 0.0:
            return [
                "no ridge: wherever the points are distinct the exact residual is 0, but the condition number of "
                "exp(AAᵀ) is soon beyond float64, and x then has no correct digit; a ridge makes the problem well posed"
            ]
        condition, tolerance = self.condition, self.spec.solver.tolerance
        if condition * ROUNDING <= tolerance:
            return []
        reach = (
            f"beyond about {condition * ROUNDING:.0e}" if condition * ROUNDING < 0.1 else "of even one digit"
        )
        return [
            f"the condition number of K + λI, rows scaled, may be as large as {condition:.1e}: it may forbid an "
            f"accuracy of x {reach}; tolerance {tolerance:g} is of the residual"
        ]


def norm(vector: Vector) -> float:
    """Return ‖vector‖ without overflow of its squares."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return min(largest, LARGEST)
    return min(largest * float(np.linalg.norm(vector / largest)), LARGEST)


def plan(spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
    """Return what ``steps`` would do, and why."""
    kernel = Kernel(spec, inputs, threads)
    n, exact = kernel.size, kernel.exact
    entry = EXPONENTIAL_NS + MULTIPLICATION_NS * kernel.gaussian.entry_cost
    products = 3 if exact else PRODUCTS
    build = n**3 / 3 * FLOP_NS if exact else 3 * n * kernel.rank**2 * FLOP_NS
    asked = "asked for: " if kernel.problem.method != "auto" else ""
    return Plan(
        hessian="exact" if exact else "sketch",
        why=asked + (_why_exact(n) if exact else _why_iterative(n, kernel.rank)),
        start="x = 0",
        sketch_rows=None if exact else kernel.rank,
        convex=True,
        convexity="convex: K is positive semidefinite"
        + (", and K + λI is definite" if kernel.ridge else "; not strictly, without a ridge"),
        memory_bytes=8 * (n * n + 12 * n if exact else n * (3 * kernel.rank + 20)),
        full_passes=f"about {products} products with K, formed tile by tile and never kept",
        seconds=float(f"{(build + products * n * n * entry / threads) / 1e9:.2g}"),
        warnings=kernel.of_condition() if n <= MEASURED or kernel.ridge == 0.0 else [],
    )


def _why_exact(n: int) -> str:
    return f"{n} points: Cholesky of the n × n system, refined by exact residuals"


def _why_iterative(n: int, rank: int) -> str:
    return f"{n} points: conjugate gradients, preconditioned by a randomly pivoted Cholesky factor of rank ≤ {rank}"


def steps(spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
    """Iterate by preconditioned conjugate gradients; with an exact factor these are refinement."""
    kernel = Kernel(spec, inputs, threads)
    rule = Rule(spec.solver.tolerance, spec.solver.max_iterations)
    return solve(kernel, kernel.preconditioner, rule, state)


def solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
    """Return x, y = Dx and the outputs asked for."""
    kernel = Kernel(spec, inputs, threads)
    vector = state.arrays["vector"]
    arrays = {"x": kernel.coefficients(vector), "y": kernel.predictors(vector)}
    if spec.outputs:
        fitted = kernel.fitted(vector)
        made = {"fitted": fitted, "residual": fitted - kernel.target}
        arrays |= {name: made[name] for name in spec.outputs}
    return Solution(arrays, None, tuple(kernel.remarks(vector)))


def predict(spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs, threads: int) -> Vector:
    """Return exp(½‖a‖²) Σⱼ exp(−½‖a − aⱼ‖²) yⱼ at each new point a (p)."""
    known, points = GaussianMatrix(matrix_of(inputs, "A"), threads), matrix_of(rows, "A")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.exp(halves(points)) * known.between(points, solution.arrays["y"])


def certify(spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate:
    """Return what is proven of the solution, from the input arrays and (3)."""
    return certify_kernel(
        inputs["A"], vector_of(inputs, "b", inputs["A"].shape[0]), solution.arrays, spec.regulariser.ridge
    )
