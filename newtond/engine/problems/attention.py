"""One-layer attention: the weights X of the scores and Y of the values, from inputs and outputs of a layer.

    F(X, Y) = ½‖P A₃ Y − B‖² + ½ λ_X‖X‖² + ½ λ_Y‖Y‖²,   P = rowsoftmax(A₁ X A₂ᵀ)                          (1)
    ∇_X F = A₁ᵀ G A₂ + λ_X X,   G = P∘(E − ρ),  E = R (A₃Y)ᵀ,  ρ the row means of E under P,  R = PA₃Y − B  (2)
    ∇_Y F = (P A₃)ᵀ R + λ_Y Y                                                                              (3)

Target 'map' is ½‖P − B‖² + ½ λ_X‖X‖², with E = R = P − B in (2).

X is sought in white coordinates: A₁ = U₁S₁W₁ᵀ and A₂ less its mean row = U₂S₂W₂ᵀ, X = W₁ √n S₁⁻¹ X̃ √s S₂⁻¹ W₂ᵀ.
Nothing is lost: adding a row to A₂ changes no softmax, and what A₁ or A₂ less its mean do not see of X is
null (where A₂ t = 1, X + v tᵀ has the loss of X); so X is of least norm and the ridge stays diagonal.

Source: Gao, Song, Wang, Yin, arXiv:2309.07418 (2023); the map: Gao, Song, Xie, arXiv:2307.02419 (2023).
Differences: the factor ½; variable projection and several starts in place of the paper's Newton in (X, Y).
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import AttentionProblem
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.arrays import dense_of
from newtond.engine.certificate.attention import AttentionPoint, certify_attention
from newtond.engine.methods.attention_errors import layer_moments, map_moments, outward
from newtond.engine.methods.matrix_softmax import MapFit, Maps
from newtond.engine.methods.multistart import Search, Stage, spread
from newtond.engine.methods.standard_errors import StandardErrors, standard_errors, without
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.methods.variable_projection import Layer, Projection
from newtond.engine.methods.white import White
from newtond.engine.rowblocks.scores import Scores
from newtond.engine.sketches import Key, stratified
from newtond.engine.state import Inputs, Matrix, Solution, State, Step, Vector

DENSE_UNKNOWNS = 2000
RESTRAINT = 1e-3
SAMPLE = 512
RESTRAINED, RESTRAINED_ITERATIONS, SAMPLED_ITERATIONS = 1e-2, 20, 40
OWN_NOISE = 0.5
"""A sample is left where the decrement is this share of what the noise of its rows alone would make it."""
STREAM = 7
STEEPNESS = (1.0, 3.0)
"""The standard deviations of the scores at random starts, in turn: soft maps and sharp ones."""
FLOPS = 2e10
PRODUCTS, STEPS = 30, 40


class Attention:
    """One spec with its arrays, read and checked."""

    def __init__(self, spec: SolveSpec, inputs: Inputs, threads: int) -> None:
        assert isinstance(spec.problem, AttentionProblem)
        self.spec, self.problem, self.threads = spec, spec.problem, threads
        self.A1 = dense_of(inputs, "A1")
        self.A2 = dense_of(inputs, "A2") if "A2" in inputs else self.A1
        self.B = dense_of(inputs, "B")
        self.A3 = self._values(inputs)
        self._check_shapes()
        self.X0 = self._first(inputs)

    @property
    def is_map(self) -> bool:
        return self.problem.target == "map"

    def _values(self, inputs: Inputs) -> Matrix:
        if self.is_map:
            return np.empty((len(self.A2), 0))
        return dense_of(inputs, "A3") if "A3" in inputs else self.A2

    def _check_shapes(self) -> None:
        n, s = len(self.A1), len(self.A2)
        if len(self.A3) != s:
            raise _misfit("A3", f"A3 has {len(self.A3)} rows, but there are {s} keys, the rows of A2")
        if len(self.B) != n:
            raise _misfit("B", f"B has {len(self.B)} rows, A1 has {n}")
        if self.is_map and self.B.shape[1] != s:
            raise _misfit(
                "B", f"a map is {n} by {s}, one column a row of A2; B has {self.B.shape[1]} columns"
            )
        if self.problem.causal and n != s:
            raise _misfit("A2", f"a causal mask needs as many keys as queries; A2 has {s} rows, A1 {n}")

    def _first(self, inputs: Inputs) -> Matrix | None:
        if "X0" not in inputs:
            return None
        X0 = dense_of(inputs, "X0")
        expected = (self.A1.shape[1], self.A2.shape[1])
        if X0.shape != expected:
            raise _misfit("X0", f"X0 has shape {X0.shape}, expected {expected}")
        return X0

    @cached_property
    def rows(self) -> White:
        """A₁ in white coordinates."""
        return White.of(self.A1, centred=False)

    @cached_property
    def columns(self) -> White:
        """A₂ less its mean row, in white coordinates."""
        return White.of(self.A2, centred=True)

    @property
    def unknowns(self) -> int:
        """The entries of X̃ and of Y."""
        values = self.A3.shape[1] * self.B.shape[1]
        return self.rows.design.shape[1] * self.columns.design.shape[1] + (0 if self.is_map else values)

    @property
    def dense(self) -> bool:
        """Whether Hessians are formed as matrices."""
        return self.unknowns <= (DENSE_UNKNOWNS // 2 if self.is_map else DENSE_UNKNOWNS)

    @cached_property
    def terrain(self) -> Layer | Maps:
        """F as a function of vec(X̃), Y projected out."""
        keys = np.ascontiguousarray(self.columns.design)
        places = np.arange(len(self.A1))
        scores = Scores(keys, places, causal=self.problem.causal, threads=self.threads)
        ridge = self.problem.ridge_x * np.outer(self.rows.squares, self.columns.squares)
        if self.is_map:
            return Maps(self.rows.design, scores, self.B, ridge, self.dense)
        return Layer(self.rows.design, scores, self.A3, self.B, ridge, self.problem.ridge_y, self.dense)

    @cached_property
    def search(self) -> Search:
        """The starts, and when each has ended."""
        return Search(self._start, self.problem.starts, self._stages, warm=self.X0 is not None)

    def _stages(self, start: int) -> list[Stage]:
        """Return the functions that a start descends on: a sample of the rows before all of them."""
        solver, rows = self.spec.solver, self._sample(start)
        rule = StoppingRule(solver.tolerance, solver.max_iterations, float(np.linalg.norm(self.B)))
        few = self.terrain if rows is None else self.terrain.of_rows(rows)
        where = "" if rows is None else f"on {len(rows)} rows"
        stages, enough = [Stage(self.terrain, rule)], RESTRAINED
        if rows is not None:
            noise = float(np.sqrt(self.unknowns / (len(rows) * self.B.shape[1])))
            enough = max(RESTRAINED, OWN_NOISE * noise)
            stages.insert(0, Stage(few, _early(rule, enough, SAMPLED_ITERATIONS), where))
        if isinstance(few, Layer):
            name = ", ".join(part for part in (where, "with a ridge on Y") if part)
            stages.insert(0, Stage(self._restrained(few), _early(rule, enough, RESTRAINED_ITERATIONS), name))
        return stages

    @property
    def sampled(self) -> int:
        """How many rows a start descends on before it takes all of them; n where a sample would save little."""
        n, outputs = self.B.shape
        rows = max(SAMPLE, 8 * self.rows.design.shape[1], -(-4 * self.unknowns // outputs))
        return rows if 4 * rows <= n else n

    @property
    def large(self) -> bool:
        """Whether starts descend on a sample of the rows first."""
        return self.sampled < len(self.A1)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The names of the first starts; of many unknowns and rows only X0, since 0 and 0.1 I lead nowhere there."""
        if self.large and not self.dense:
            return ("X0",) if self.X0 is not None else ()
        return ("X0" if self.X0 is not None else "0", "0.1 I")

    @property
    def starts(self) -> str:
        """The starts in words."""
        random = ("then random by the seed",) if self.fixed else ("random by the seed",)
        first = f"; each on {self.sampled} rows by the seed first" if self.large else ""
        return ", ".join((*self.fixed, *random)) + first

    def _sample(self, start: int) -> NDArray[np.int64] | None:
        """Return the rows that a start descends on first, drawn by the seed and its number."""
        n = len(self.A1)
        return stratified(n, self.sampled, Key(self.spec.solver.seed, start)) if self.large else None

    def _restrained(self, layer: Layer) -> Layer:
        """Return the layer with a ridge on Y: where X is small or of low rank, Y would make up for it by size."""
        size = float(np.mean(self.A3**2)) * len(layer.queries)
        return replace(layer, ridge_y=layer.ridge_y + RESTRAINT * size)

    def _start(self, number: int) -> Vector:
        shape, name = self.terrain.shape, dict(enumerate(self.fixed)).get(number)
        if name == "X0" and self.X0 is not None:
            return self._inward(self.X0)
        if name == "0":
            return np.zeros(shape).ravel()
        if name == "0.1 I":
            return self._inward(0.1 * np.eye(self.A1.shape[1], self.A2.shape[1]))
        random = Key(self.spec.solver.seed, number).generator(STREAM).standard_normal(shape)
        return (STEEPNESS[number % len(STEEPNESS)] / np.sqrt(random.size) * random).ravel()

    def _inward(self, X: Matrix) -> Vector:
        return self.columns.coordinates(self.rows.coordinates(X).T).T.ravel()

    def outward(self, x: Vector) -> Matrix:
        """Return X of vec(X̃)."""
        return self.rows.back @ x.reshape(self.terrain.shape) @ self.columns.back.T

    def errors(self, place: Projection | MapFit) -> StandardErrors:
        """Return the standard errors of vec(X) and vec(Y), or why there are none."""
        if not self.dense:
            return without(f"{self.unknowns} unknowns are too many to factorise the joint Hessian")
        if self.problem.ridge_x == 0.0 and (self.rows.nullity or self.columns.nullity):
            return without("X is not identified: some directions of it change no score")
        moments = layer_moments(place) if isinstance(place, Projection) else map_moments(place)
        values = place.Y.size if isinstance(place, Projection) else 0
        return standard_errors(moments, outward(self.rows.back, self.columns.back, values))

    def split(self, errors: StandardErrors) -> dict[str, Matrix]:
        """Return the errors in the shapes of X and of Y, by the names of the results."""
        shape = (self.A1.shape[1], self.A2.shape[1])
        size, arrays = shape[0] * shape[1], dict[str, Matrix]()
        for name, values in (("standard_errors", errors.classical), ("sandwich_errors", errors.sandwich)):
            if values is not None:
                arrays[f"{name}_X"] = values[:size].reshape(shape)
                if not self.is_map:
                    arrays[f"{name}_Y"] = values[size:].reshape(self.A3.shape[1], -1)
        return arrays

    def remarks(self, losses: Vector) -> list[str]:
        """Return what the caller should know of the answer, in words."""
        said = spread(losses, self.problem.starts)
        if self.problem.ridge_x == 0.0 and (self.rows.nullity or self.columns.nullity):
            said.append(
                f"X is determined up to {self.rows.nullity} directions of A1 and {self.columns.nullity} of A2 "
                "that no score depends on, a constant column of A2 among them; X is of least norm"
            )
        return said


def _early(rule: StoppingRule, tolerance: float, iterations: int) -> StoppingRule:
    """Return the rule of a stage that only leads to the next."""
    return replace(
        rule,
        tolerance=max(tolerance, rule.tolerance),
        max_iterations=min(iterations, rule.max_iterations),
    )


def _misfit(name: str, detail: str) -> InvalidSpec:
    return InvalidSpec(detail, source={"pointer": f"/{name}"})


def plan(spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
    """Return what ``steps`` would do, and why."""
    attention = Attention(spec, inputs, threads)
    n, s, starts = len(attention.A1), len(attention.A2), attention.problem.starts
    block = max(attention.terrain.scores.blocks, key=lambda rows: rows.stop - rows.start)
    widths = sum(A.shape[1] for A in (attention.A1, attention.A2, attention.A3, attention.B))
    product = 12.0 * n * s * max(attention.terrain.shape) / FLOPS / threads
    each = (max(attention.terrain.shape) / 3 if attention.dense else PRODUCTS) * product
    return Plan(
        hessian="exact" if attention.dense else "free",
        why=f"{attention.unknowns} unknowns: "
        + ("the Hessian of X, Y projected out, is formed" if attention.dense else "exact Hessian products"),
        start=f"{starts} starts: {attention.starts}",
        convex=False,
        convexity="not convex, whatever the ridges: minima are local, and starts may differ",
        memory_bytes=8 * (8 * (n + s) * widths + 4 * threads * (block.stop - block.start) * s),
        full_passes=f"about {STEPS} steps a start, each of {'a few' if attention.dense else PRODUCTS} products",
        seconds=float(f"{starts * STEPS * each:.2g}"),
        warnings=[f"max_iterations = {spec.solver.max_iterations} counts for each start"]
        if starts > 1
        else [],
    )


def steps(spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
    """Iterate over the starts by Levenberg-Marquardt, Y projected out."""
    return Attention(spec, inputs, threads).search.steps(state)


def solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
    """Return X, Y and the losses of the starts, and the outputs asked for."""
    attention = Attention(spec, inputs, threads)
    x = attention.search.best(state)
    place = attention.terrain.at(x)
    losses = state.arrays["losses"]
    arrays = {"X": attention.outward(x), "losses": losses if losses.size else np.array([place.value])}
    if isinstance(place, Projection):
        arrays["Y"] = place.Y
    if spec.outputs:
        fitted = place.fitted()
        made = {"fitted": fitted, "residual": fitted - attention.B}
        arrays |= {name: made[name] for name in spec.outputs if name in made}
    said = attention.remarks(losses)
    if "standard_errors" in spec.outputs:
        errors = attention.errors(place)
        arrays |= attention.split(errors)
        said += errors.remarks
    return Solution(arrays, None, tuple(said))


def predict(spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs, threads: int) -> Matrix:
    """Return P A₃ Y (n, m) of new tokens, or their map P (n, s)."""
    assert isinstance(spec.problem, AttentionProblem)
    A1, X = dense_of(rows, "A1"), solution.arrays["X"]
    A2 = dense_of(rows, "A2") if "A2" in rows else A1
    scores = Scores(A2, np.arange(len(A1)), causal=spec.problem.causal, threads=threads)
    if spec.problem.target == "map":
        return scores.product(A1 @ X, None)
    A3 = dense_of(rows, "A3") if "A3" in rows else A2
    return scores.product(A1 @ X, A3 @ solution.arrays["Y"])


def certify(spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate:
    """Return what is proven of the solution, from the input arrays and (1) to (3) alone."""
    attention = Attention(spec, inputs, 1)
    problem = attention.problem
    return certify_attention(
        AttentionPoint(
            attention.A1,
            attention.A2,
            None if attention.is_map else attention.A3,
            attention.B,
            solution.arrays["X"],
            None if attention.is_map else solution.arrays["Y"],
            problem.ridge_x,
            problem.ridge_y,
            problem.causal,
        )
    )
