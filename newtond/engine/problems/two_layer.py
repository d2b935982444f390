"""Two-layer regression, softmax first or last.

    F(x) = ½‖h(x) − b‖² + ½ Σ wᵢ² (zᵢ − z̄ᵢ)² + ½ λ‖x‖²,   z = A₁x                                        (1)
    h = φ(A₂ softmax(z))  or  softmax(A₂ φ(z)),   φ = relu, softplus ln(1 + e^{βt})/β or identity           (2)

Gradient and Hessian: `methods.two_layers`. F is convex for no w. Where relu comes first x = 0 is a kink of every
row, with a computed gradient of exactly 0, so starts are random; each goes through softplus of growing β.

Sources: Li, Song, Wang, Yin, arXiv:2311.15390 (2023), softmax first; Deng, Song, Xie, arXiv:2308.08358 (2023),
softmax last. Of both only the abstracts were at hand. Differences: w optional, z̄, λ, other activations, several
starts, continuation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import TwoLayerProblem
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import ARRAY_POINTERS, SolveSpec
from newtond.engine.arrays import matrix_of, vector_of
from newtond.engine.certificate.two_layer import TwoLayerPoint, certify_two_layer
from newtond.engine.methods.multistart import Search, Stage, spread
from newtond.engine.methods.standard_errors import StandardErrors, standard_errors, without
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.methods.two_layers import DENSE_UNKNOWNS, Activation, LayersFit, Rows, TwoLayers
from newtond.engine.sketches import Key
from newtond.engine.state import Csr, Inputs, Matrix, Solution, State, Step, Vector

STREAM = 8
SPREAD = 0.5
SOFTNESS = (4.0, 16.0, 50.0)
"""β of the softplus stages, in units of 1/z for coefficients of order 1."""
STAGE_TOLERANCE, STAGE_ITERATIONS = 1e-3, 30
FLOPS, STEPS = 2e9, 40


@dataclass(frozen=True)
class TwoLayer:
    """One spec with its arrays, read and checked."""

    spec: SolveSpec
    inputs: Inputs

    @property
    def problem(self) -> TwoLayerProblem:
        assert isinstance(self.spec.problem, TwoLayerProblem)
        return self.spec.problem

    @property
    def softmax_first(self) -> bool:
        return self.problem.order == "softmax_first"

    @property
    def activation(self) -> Activation:
        return Activation(self.problem.activation, self.problem.beta or 1.0)

    @cached_property
    def layers(self) -> TwoLayers:
        """F of (1)."""
        A1, A2 = _matrix(self.inputs, "A1"), _matrix(self.inputs, "A2")
        (n, d), m = A1.shape, A2.shape[0]
        if A2.shape[1] != n:
            raise _misfit("A2", f"A2 has {A2.shape[1]} columns, A1 has {n} rows")
        names = self.spec.column_names
        if names is not None and len(names) != d:
            detail = f"column_names has {len(names)} names, A1 has {d} columns"
            raise InvalidSpec(detail, source={"pointer": "/column_names"})
        offset = vector_of(self.inputs, "offset", n) if "offset" in self.inputs else np.zeros(n)
        return TwoLayers(
            A1,
            A2,
            vector_of(self.inputs, "b", m),
            self.activation,
            self.softmax_first,
            self._omega(n),
            offset,
            self.spec.regulariser.ridge,
        )

    def _omega(self, n: int) -> Vector:
        weights = self.spec.regulariser.weights
        if isinstance(weights, float):
            return np.full(n, weights**2)
        w = vector_of(self.inputs, "weights", n)
        if (w < 0.0).any():
            raise _misfit(
                "weights", f"weights must not be negative: entry {int(np.argmin(w))} is {w.min():g}"
            )
        return w**2

    @cached_property
    def unit(self) -> float:
        """The size of a coefficient that makes z of the size that a standard normal A₁ and x make it."""
        n, d = self.layers.first.shape
        row = np.sqrt(float(self.layers.column_squares.sum()) / n)
        return float(np.sqrt(d) / row)

    @cached_property
    def search(self) -> Search:
        """The starts, and the functions each goes through."""
        solver, layers = self.spec.solver, self.layers
        size = float(np.linalg.norm(layers.target))
        rule = StoppingRule(solver.tolerance, solver.max_iterations, size)
        early = StoppingRule(STAGE_TOLERANCE, min(STAGE_ITERATIONS, solver.max_iterations), size)
        stages = [
            Stage(layers.smoothed(beta), early, f"softplus, β = {beta:.3g}") for beta in self._softness()
        ]
        warm = "warm_start" in self.inputs and not layers.at(self._start(0)).kink
        stages.append(Stage(layers, rule))
        return Search(self._start, self.problem.starts, lambda _: stages, warm)

    def _softness(self) -> list[float]:
        """Return the β's towards relu; none where it is outermost, where x = 0 is a start good enough."""
        if self.problem.activation != "relu" or self.softmax_first:
            return []
        return [beta * self.unit for beta in SOFTNESS]

    def _start(self, number: int) -> Vector:
        d = self.layers.first.shape[1]
        if number == 0 and "warm_start" in self.inputs:
            return vector_of(self.inputs, "warm_start", d)
        if number == 0 and (self.softmax_first or self.problem.activation != "relu"):
            return np.zeros(d)
        random = Key(self.spec.solver.seed, number).generator(STREAM).standard_normal(d)
        return np.asarray(SPREAD * self.unit * random)


def _matrix(inputs: Inputs, name: str) -> Rows:
    array = matrix_of(inputs, name)
    if isinstance(array, Csr):
        return sp.csr_array((array.data, array.indices.astype(np.int64), array.indptr), shape=array.shape)
    return array


def _misfit(name: str, detail: str) -> InvalidSpec:
    return InvalidSpec(detail, source={"pointer": ARRAY_POINTERS[name]})


def _dense(rows: Rows) -> Matrix:
    return np.asarray(rows if isinstance(rows, np.ndarray) else rows.toarray())


def plan(spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
    """Return what ``steps`` would do, and why."""
    two = TwoLayer(spec, inputs)
    (n, d), m = two.layers.first.shape, len(two.layers.target)
    stages, starts = len(two.search.stages(0)), two.problem.starts
    dense = d <= DENSE_UNKNOWNS
    zero = two.softmax_first or two.problem.activation != "relu"
    first = "warm_start" if "warm_start" in inputs else "x = 0" if zero else "random"
    return Plan(
        hessian="exact" if dense else "free",
        why=f"{d} unknowns: " + ("the Hessian is formed" if dense else "exact Hessian products"),
        start=f"{starts} starts: {first}, then random by the seed"
        + (f"; each through {stages - 1} softplus problems of growing β" if stages > 1 else ""),
        convex=False,
        convexity="not convex, whatever the weights: minima are local, and starts may differ",
        memory_bytes=8 * (m * d + (3 * d * d if dense else 30 * d) + 20 * (n + m)),
        full_passes=f"about {STEPS} steps a start",
        seconds=float(f"{starts * stages * STEPS * (2.0 * n * m * d + 2.0 * m * d * d) / FLOPS:.2g}"),
        warnings=["the computation runs on one thread"] if threads > 1 else [],
    )


def steps(spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
    """Iterate over starts and stages by Levenberg-Marquardt, on one thread whatever ``threads``."""
    return TwoLayer(spec, inputs).search.steps(state)


def solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
    """Return x and the losses of the starts, and the outputs asked for."""
    two = TwoLayer(spec, inputs)
    x = two.search.best(state)
    place = two.layers.at(x)
    losses = state.arrays["losses"]
    arrays = {"x": x, "losses": losses if losses.size else np.array([place.value])}
    made = {"fitted": place.fitted, "residual": place.r}
    arrays |= {name: made[name] for name in spec.outputs if name in made}
    said = spread(losses, two.problem.starts) + ([place.kink] if place.kink else [])
    if "standard_errors" in spec.outputs:
        errors = _errors(place)
        named = {"standard_errors": errors.classical, "sandwich_errors": errors.sandwich}
        arrays |= {name: values for name, values in named.items() if values is not None}
        said += errors.remarks
    return Solution(arrays, None, tuple(said))


def _errors(place: LayersFit) -> StandardErrors:
    if place.kink:
        return without("F has no Hessian at a kink")
    if place.x.size > DENSE_UNKNOWNS:
        return without(f"{place.x.size} columns are too many to factorise the Hessian")
    return standard_errors(place.moments())


def predict(spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs, threads: int) -> Vector:
    """Return h(x) at new rows of A₂ (m), softmax last taken over them alone."""
    two, A1, A2 = TwoLayer(spec, rows), _matrix(rows, "A1"), _matrix(rows, "A2")
    (n, _), m = A1.shape, A2.shape[0]
    layers = TwoLayers(
        A1, A2, np.zeros(m), two.activation, two.softmax_first, np.zeros(n), np.zeros(n), ridge=0.0
    )
    return layers.at(solution.arrays["x"]).fitted


def certify(spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate:
    """Return what is proven of the solution, from the input arrays and (1), (2) alone."""
    two = TwoLayer(spec, inputs)
    layers, problem = two.layers, two.problem
    return certify_two_layer(
        TwoLayerPoint(
            _dense(layers.first),
            _dense(layers.second),
            layers.target,
            solution.arrays["x"],
            two.softmax_first,
            problem.activation,
            problem.beta or 1.0,
            layers.omega,
            layers.offset,
            layers.ridge,
        )
    )
