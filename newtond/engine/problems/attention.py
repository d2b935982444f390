"""One-layer attention: the weights X of the scores and Y of the values, from inputs and outputs of a layer.

    F(X, Y) = ½‖P A₃ Y − B‖² + ½ λ_X‖X‖² + ½ λ_Y‖Y‖²,   P = rowsoftmax(A₁ X A₂ᵀ)                          (1)
    ∇_X F = A₁ᵀ G A₂ + λ_X X,   G = P∘(E − ρ),  E = R (A₃Y)ᵀ,  ρ the row means of E under P,  R = PA₃Y − B  (2)
    ∇_Y F = (P A₃)ᵀ R + λ_Y Y                                                                              (3)

Target 'map' is ½‖P − B‖² + ½ λ_X‖X‖², with E = R = P − B in (2).

X is sought in white coordinates, from several starts, Y projected out.

Source: Gao, Song, Wang, Yin, arXiv:2309.07418 (2023); the map: Gao, Song, Xie, arXiv:2307.02419 (2023).
Differences: the factor ½; variable projection and several starts in place of the paper's Newton in (X, Y).
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from newtond.contract.problem import AttentionProblem
from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.arrays import dense_of
from newtond.engine.attention import WhiteAttention
from newtond.engine.certificate.attention import AttentionPoint, certify_attention
from newtond.engine.methods.attention_errors import layer_moments, map_moments, outward
from newtond.engine.methods.attention_starts import Starts
from newtond.engine.methods.matrix_softmax import MapFit
from newtond.engine.methods.multistart import spread
from newtond.engine.methods.standard_errors import StandardErrors, standard_errors, without
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.methods.variable_projection import Projection
from newtond.engine.rowblocks.scores import Scores
from newtond.engine.state import Inputs, Matrix, Solution, State, Step, Vector

FLOPS = 2e10
PRODUCTS, STEPS = 30, 40


class Attention:
    """One spec with its arrays, read and checked."""

    def __init__(self, spec: SolveSpec, inputs: Inputs, threads: int) -> None:
        assert isinstance(spec.problem, AttentionProblem)
        self.spec, self.problem = spec, spec.problem
        self.white = WhiteAttention(spec.problem, inputs, threads)

    @cached_property
    def starts(self) -> Starts:
        """The starts that are asked for."""
        white, solver, X0 = self.white, self.spec.solver, self.white.X0
        rule = StoppingRule(solver.tolerance, solver.max_iterations, float(np.linalg.norm(white.B)))
        own = None if X0 is None else white.inward(X0)
        tenth = white.inward(0.1 * np.eye(white.A1.shape[1], white.A2.shape[1]))
        return Starts(white.terrain, rule, self.problem.starts, solver.seed, white.unknowns, own, tenth)

    def errors(self, place: Projection | MapFit) -> StandardErrors:
        """Return the standard errors of vec(X) and vec(Y), or why there are none."""
        if not self.white.dense:
            return without(f"{self.white.unknowns} unknowns are too many to factorise the joint Hessian")
        if not self.white.identified:
            return without("X is not identified: some directions of it change no score")
        moments = layer_moments(place) if isinstance(place, Projection) else map_moments(place)
        values = place.Y.size if isinstance(place, Projection) else 0
        return standard_errors(moments, outward(self.white.rows.back, self.white.columns.back, values))

    def split(self, errors: StandardErrors) -> dict[str, Matrix]:
        """Return the errors in the shapes of X and of Y, by the names of the results."""
        shape = (self.white.A1.shape[1], self.white.A2.shape[1])
        size, arrays = shape[0] * shape[1], dict[str, Matrix]()
        for name, values in (("standard_errors", errors.classical), ("sandwich_errors", errors.sandwich)):
            if values is not None:
                arrays[f"{name}_X"] = values[:size].reshape(shape)
                if not self.white.is_map:
                    arrays[f"{name}_Y"] = values[size:].reshape(self.white.A3.shape[1], -1)
        return arrays

    def remarks(self, losses: Vector) -> list[str]:
        """Return what the caller should know of the answer, in words."""
        said = spread(losses, self.problem.starts)
        white = self.white
        if not white.identified:
            said.append(
                f"X is determined up to {white.rows.nullity} directions of A1 and {white.columns.nullity} of A2 "
                "that no score depends on, a constant column of A2 among them; X is of least norm"
            )
        return said


def plan(spec: SolveSpec, inputs: Inputs, threads: int) -> Plan:
    """Return what ``steps`` would do, and why."""
    attention = Attention(spec, inputs, threads)
    white = attention.white
    n, s, starts = len(white.A1), len(white.A2), attention.problem.starts
    block = max(white.terrain.scores.blocks, key=lambda rows: rows.stop - rows.start)
    widths = sum(A.shape[1] for A in (white.A1, white.A2, white.A3, white.B))
    product = 12.0 * n * s * max(white.terrain.shape) / FLOPS / threads
    each = (max(white.terrain.shape) / 3 if white.dense else PRODUCTS) * product
    return Plan(
        hessian="exact" if white.dense else "free",
        why=f"{white.unknowns} unknowns: "
        + ("the Hessian of X, Y projected out, is formed" if white.dense else "exact Hessian products"),
        start=f"{starts} starts: {attention.starts.words}",
        convex=False,
        convexity="not convex, whatever the ridges: minima are local, and starts may differ",
        memory_bytes=8 * (8 * (n + s) * widths + 4 * threads * (block.stop - block.start) * s),
        full_passes=f"about {STEPS} steps a start, each of {'a few' if white.dense else PRODUCTS} products",
        seconds=float(f"{starts * STEPS * each:.2g}"),
        warnings=[f"max_iterations = {spec.solver.max_iterations} counts for each start"]
        if starts > 1
        else [],
    )


def steps(spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]:
    """Iterate over the starts by Levenberg-Marquardt, Y projected out."""
    return Attention(spec, inputs, threads).starts.search.steps(state)


def solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution:
    """Return X, Y and the losses of the starts, and the outputs asked for."""
    attention = Attention(spec, inputs, threads)
    white = attention.white
    x = attention.starts.search.best(state)
    place = white.terrain.at(x)
    losses = state.arrays["losses"]
    arrays = {"X": white.outward(x), "losses": losses if losses.size else np.array([place.value])}
    if isinstance(place, Projection):
        arrays["Y"] = place.Y
    if spec.outputs:
        fitted = place.fitted()
        made = {"fitted": fitted, "residual": fitted - white.B}
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
    problem = spec.problem
    assert isinstance(problem, AttentionProblem)
    white = WhiteAttention(problem, inputs, 1)
    return certify_attention(
        AttentionPoint(
            white.A1,
            white.A2,
            None if white.is_map else white.A3,
            white.B,
            solution.arrays["X"],
            None if white.is_map else solution.arrays["Y"],
            problem.ridge_x,
            problem.ridge_y,
            problem.causal,
        )
    )
