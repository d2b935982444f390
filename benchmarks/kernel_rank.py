"""Iterations of attention_kernel by columns and rank, against the best preconditioner of that rank.

    python -m benchmarks.kernel_rank

2000 normal points of standard deviation ½, λ = 1e-4 n, tolerance 1e-10. The best is that of the r leading
eigenvectors of the same scaled system, with the mean of the other eigenvalues for the rest, as `pcg` takes it.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine.hessians.conjugate_gradients import conjugate_gradients
from newtond.engine.problems.attention_kernel import Kernel

POINTS, RIDGE, TOLERANCE, MOST = 2000, 1e-4, 1e-10, 1000
ID = "sha256:" + "0" * 64
Array = NDArray[np.float64]
Inputs = dict[str, Array]


def problem(columns: int, rank: int) -> tuple[SolveSpec, Inputs]:
    """Return spec and arrays of one problem."""
    rng = np.random.default_rng(0)
    inputs = {"A": 0.5 * rng.normal(size=(POINTS, columns)), "b": rng.normal(size=POINTS)}
    body = {
        "problem": {"kind": "attention_kernel", "method": "pcg", "rank": rank},
        "regulariser": {"ridge": RIDGE * POINTS},
        "solver": {"tolerance": TOLERANCE},
        "A": ID,
        "b": ID,
    }
    return SolveSpec.model_validate(body), inputs


def by_pivots(columns: int, rank: int) -> int:
    """Return the iterations of ``pcg``."""
    *_, last = engine.steps(*problem(columns, rank))
    return last.state.iteration


def at_best(columns: int, ranks: list[int]) -> list[int]:
    """Return the iterations with the leading eigenvectors, at each rank."""
    spec, inputs = problem(columns, ranks[0])
    kernel = Kernel(spec, inputs, 1)
    M = kernel.matrix()
    M[np.diag_indices(POINTS)] -= kernel.shift
    values, vectors = np.linalg.eigh(M)
    found = []
    for rank in ranks:
        rest = 0.3 * float(np.mean(values[:-rank])) + kernel.shift
        F = vectors[:, -rank:] * np.sqrt(values[-rank:])
        core = np.linalg.inv(np.eye(rank) + F.T @ (F / rest[:, None]))

        inverse = partial(_inverse, F, rest, core)
        answer = conjugate_gradients(kernel.product, kernel.right, inverse, TOLERANCE, MOST)
        found.append(answer.iterations)
    return found


def _inverse(F: Array, rest: Array, core: Array, r: Array) -> Array:
    scaled = r / rest
    return scaled - (F @ (core @ (F.T @ scaled))) / rest


def main() -> None:
    """Print the table."""
    ranks = [80, 200, 400]
    print("columns  rank  pcg  best of that rank")
    for columns in (2, 3, 4, 5, 6):
        for rank, best in zip(ranks, at_best(columns, ranks), strict=True):
            print(f"{columns:7}  {rank:4}  {by_pivots(columns, rank):3}  {best:3}")


if __name__ == "__main__":
    main()
