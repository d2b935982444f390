"""The formulas of MATHS S1 once more, in plain NumPy that also takes complex numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.state import Csr, Inputs

FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any], float]] = {
    "exp": (np.exp, np.exp, 0.0),
    "cosh": (np.cosh, np.sinh, -1.0),
    "sinh": (np.sinh, np.cosh, 1.0),
    "identity": (lambda z: z, np.ones_like, 0.0),
}
"""f, f′, and the c of f′² + f f″ = 2f² + c (not for the identity)."""


@dataclass(frozen=True)
class PlainLoss:
    """½ Σ v (f(z) − b)² + ½ Σ w² (z − z̄)², with the bounds that a certificate asks for."""

    function: str
    b: Any
    v: Any = 1.0
    w: Any = 0.0
    offset: Any = 0.0

    def value(self, z: Any) -> Any:
        f = FUNCTIONS[self.function][0]
        return 0.5 * np.sum(self.v * (f(z) - self.b) ** 2) + 0.5 * np.sum(self.w**2 * (z - self.offset) ** 2)

    def gradient(self, z: Any) -> Any:
        f, slope, _ = FUNCTIONS[self.function]
        return self.v * slope(z) * (f(z) - self.b) + self.w**2 * (z - self.offset)

    def weights(self, z: Any) -> Any:
        return self._curvature(FUNCTIONS[self.function][0](z)) + 0.0 * z

    def _curvature(self, t: Any) -> Any:
        c = FUNCTIONS[self.function][2]
        quadratic = 1.0 if self.function == "identity" else 2.0 * t**2 + c - self.b * t
        return self.v * quadratic + self.w**2 + 0.0 * t

    def expand(self, z: Any) -> SimpleNamespace:
        return SimpleNamespace(value=self.value(z), gradient=self.gradient(z), weights=self.weights(z))

    def _levels(self, low: Any, high: Any) -> tuple[Any, Any]:
        if self.function != "cosh":
            f = FUNCTIONS[self.function][0]
            return f(low), f(high)
        inside = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
        return np.cosh(inside), np.cosh(np.maximum(np.abs(low), np.abs(high)))

    def curvature_floor(self, low: Any, high: Any) -> Any:
        small, large = self._levels(low, high)
        t = np.clip(np.asarray(self.b) / 4.0, small, large)
        return self._curvature(t) - self._slack(t)

    def curvature_ceiling(self, low: Any, high: Any) -> Any:
        ends = self._levels(low, high)
        return np.maximum(*(self._curvature(t) + self._slack(t) for t in ends))

    def _slack(self, t: Any) -> Any:
        return 1e-14 * (self.v * (2.0 * t**2 + 1.0 + np.abs(self.b * t)) + self.w**2)

    def gradient_scale(self, z: Any) -> Any:
        f, slope, _ = FUNCTIONS[self.function]
        data = self.v * np.abs(slope(z)) * (np.abs(f(z)) + np.abs(self.b))
        return data + self.w**2 * (np.abs(z) + np.abs(self.offset))


def csr(matrix: Any) -> Csr:
    """Return a dense or SciPy matrix as the engine's canonical CSR."""
    a = sp.csr_array(matrix, dtype=np.float64)
    a.sum_duplicates()
    a.eliminate_zeros()
    return Csr(a.indptr.astype(np.int64), a.indices.astype(np.int32), a.data, a.shape)


@pytest.fixture
def plain_loss() -> type[PlainLoss]:
    return PlainLoss


@pytest.fixture
def as_csr() -> Callable[[Any], Csr]:
    return csr


def bits(steps: list[engine.Step]) -> list[Any]:
    """What must not depend on threads or interruptions: all of each step but its clocks."""
    return [
        (
            step.record.model_copy(update={"phases": {}}),
            {name: array.tobytes() for name, array in step.state.arrays.items()},
            dict(step.state.scalars),
            step.termination,
        )
        for step in steps
    ]


def problem(kind: str | dict[str, Any], A: Any, b: Any, **options: Any) -> tuple[SolveSpec, Inputs]:
    """Return spec and inputs of a regression; ``kind`` is a function of ``hyperbolic``, "identity" or a problem.

    Arrays among the options (weights, offset, row_weights, warm_start) become inputs, the rest the spec.
    """
    family: dict[str, Any] = {"kind": "hyperbolic", "function": kind}
    if kind == "identity" or isinstance(kind, dict):
        family = kind if isinstance(kind, dict) else {"kind": "least_squares"}
    inputs: dict[str, Any] = {
        "A": csr(A) if sp.issparse(A) else np.asarray(A, float),
        "b": np.asarray(b, float),
    }
    request: dict[str, Any] = {"problem": family, "A": ID, "b": ID, "regulariser": {}}
    for name, value in options.items():
        place = request["regulariser"] if name in ("weights", "offset", "ridge", "margin") else request
        place[name] = value
        if isinstance(value, np.ndarray):
            inputs[name], place[name] = value, ID
    return SolveSpec.model_validate(request), inputs


ID = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Solved:
    """Everything the engine says of one solve."""

    plan: Plan
    steps: list[engine.Step]
    solution: engine.Solution
    certificate: Certificate

    @property
    def x(self) -> Any:
        return self.solution.arrays["x"]

    @property
    def y(self) -> Any:
        return self.x if self.solution.intercept is None else np.append(self.x, self.solution.intercept)

    @property
    def last(self) -> engine.Step:
        return self.steps[-1]

    @property
    def warnings(self) -> str:
        return "; ".join(self.solution.warnings)


def run(kind: str | dict[str, Any], A: Any, b: Any, **options: Any) -> Solved:
    """Solve through the engine's four public functions."""
    spec, inputs = problem(kind, A, b, **options)
    steps = list(engine.steps(spec, inputs))
    solution = engine.solution(spec, inputs, steps[-1].state)
    return Solved(engine.plan(spec, inputs), steps, solution, engine.certify(spec, inputs, solution))


@pytest.fixture
def solve() -> Callable[..., Solved]:
    return run


@pytest.fixture
def make_problem() -> Callable[..., tuple[SolveSpec, Inputs]]:
    return problem
