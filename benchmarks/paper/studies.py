"""Three measurements of the papers' own iteration (``hessian: paper``) on convex exponential regression."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr
from newtond.engine.problems import family
from newtond.engine.regression import Regression
from newtond.engine.sketches import Key
from newtond.engine.sketches.leverage import sample, scores

ID = "sha256:" + "0" * 64
REACHED = 1e-12


@dataclass(frozen=True)
class Problem:
    """A convex instance: spec, inputs, and its minimiser by exact Newton."""

    spec: SolveSpec
    inputs: dict

    @classmethod
    def draw(cls, n: int, d: int, entries: int, seed: int, **solver: object) -> "Problem":
        """Return exp regression with std(A x) = 0.5, convex by its weights."""
        rng = np.random.default_rng(seed)
        indices = rng.integers(0, d, (n, entries))
        values = rng.standard_normal((n, entries))
        A = sp.csr_array((values.ravel(), indices.ravel(), np.arange(0, n * entries + 1, entries)), (n, d))
        A.sum_duplicates()
        z = A @ rng.standard_normal(d)
        b = np.exp(0.5 * z / z.std()) * (1.0 + 0.1 * rng.standard_normal(n))
        spec = SolveSpec.model_validate(
            {
                "problem": {"kind": "hyperbolic", "function": "exp"},
                "A": ID,
                "b": ID,
                "regulariser": {"weights": "convex", "margin": 0.1},
                "solver": {"hessian": "paper", "seed": seed, **solver},
            }
        )
        matrix = Csr(A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data, A.shape)
        return cls(spec, {"A": matrix, "b": b})

    def regression(self) -> Regression:
        return Regression(self.spec, self.inputs, family(self.spec).link(self.spec), 1)

    def with_solver(self, **solver: object) -> "Problem":
        changed = self.spec.solver.model_copy(update=solver)
        return Problem(self.spec.model_copy(update={"solver": changed}), self.inputs)

    def minimiser(self) -> np.ndarray:
        exact = self.with_solver(hessian="exact", tolerance=1e-15)
        *_, last = engine.steps(exact.spec, exact.inputs)
        return last.state.arrays["x"]

    def iterates(self) -> Iterator[np.ndarray]:
        yield from (step.state.arrays["x"] for step in engine.steps(self.spec, self.inputs))


def rows_of(spec: SolveSpec, rows: int) -> dict:
    return {"sketch": spec.solver.sketch.model_copy(update={"rows": rows})}


def errors(problem: Problem, exact: np.ndarray) -> np.ndarray:
    """Return ‖x_k − x*‖_H, H the Hessian at x*, until it is at the level of rounding."""
    regression = problem.regression()
    weights = regression.objective.expand(exact).curvature.weights
    found = []
    for x in problem.iterates():
        away = regression.design.matvec(x - exact)
        found.append(float(np.sqrt(away @ (weights * away))))
    return np.array(found)


def iterations_against_accuracy(rows: list[int], n: int = 20_000, d: int = 20) -> list[dict]:
    """Return, for each number of sampled rows, the iterations until the error has fallen by 10^-2 … 10^-12."""
    base = Problem.draw(n, d, 8, seed=1, tolerance=1e-15, max_iterations=60)
    exact = base.minimiser()
    table = []
    for count in rows:
        path = errors(base.with_solver(**rows_of(base.spec, count)), exact)
        falls = {
            digits: int(np.argmax(path <= path[0] * 10.0**-digits)) + 1
            for digits in range(2, 13, 2)
            if (path <= path[0] * 10.0**-digits).any()
        }
        slope = np.polyfit(list(falls), list(falls.values()), 1)[0] if len(falls) > 2 else float("nan")
        table.append({"rows": count, "iterations": falls, "iterations_a_digit": float(slope)})
    return table


def rate_against_distortion(rows: list[int], n: int = 20_000, d: int = 20) -> list[dict]:
    """Return the measured distortion ε₀ of H̃ at x*, the measured rate, and the bound ε₀/(1 − ε₀)."""
    base = Problem.draw(n, d, 8, seed=2, tolerance=1e-15, max_iterations=60)
    exact, regression = base.minimiser(), base.regression()
    weights = regression.objective.expand(exact).curvature.weights
    root = np.sqrt(weights)
    A = regression.design.take(np.arange(n)) * root[:, None]
    R = np.linalg.qr(A)[1]
    table = []
    for count in rows:
        bounds = []
        for draw in range(10):
            key = Key(2, draw)
            kept, chance = sample(scores(regression.design, root, key), count, key)
            half = np.linalg.solve(R.T, (A[kept] / np.sqrt(chance)[:, None]).T)
            values = np.linalg.eigvalsh(half @ half.T)
            bounds.append(max(1.0 - values[0], values[-1] - 1.0))
        path = errors(base.with_solver(**rows_of(base.spec, count)), exact)
        useful = path[path > REACHED * path[0]]
        rate = float((useful[-1] / useful[1]) ** (1.0 / max(len(useful) - 2, 1)))
        epsilon = float(np.median(bounds))
        bound = epsilon / (1.0 - epsilon) if epsilon < 1.0 else float("inf")
        table.append({"rows": count, "distortion": epsilon, "rate": rate, "bound": bound})
    return table


def time_against_nonzeros(sizes: list[int], d: int = 50, entries: int = 10, repeats: int = 3) -> list[dict]:
    """Return seconds an iteration (median over iterations and repeats) against nnz(A), rows of the sample fixed."""
    table = []
    for n in sizes:
        problem = Problem.draw(n, d, entries, seed=3, max_iterations=6, tolerance=1e-15)
        problem = problem.with_solver(**rows_of(problem.spec, 4_000))
        seconds = []
        for _ in range(repeats):
            stamps = [time.perf_counter()]
            for _ in problem.iterates():
                stamps.append(time.perf_counter())
            seconds += list(np.diff(stamps)[1:])
        nonzeros = len(problem.inputs["A"].data)
        table.append({"n": n, "nnz": nonzeros, "seconds": float(np.median(seconds))})
    return table
