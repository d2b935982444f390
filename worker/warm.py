"""Load every compiled kernel into the parent, so that a child starts with them instead of loading them again.

Tiny regressions on one thread: no pool is made that a fork would break. On a machine where the kernels have
not been compiled yet this compiles them, in pieces of a few seconds while the worker has nothing else to do.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr

PROBLEMS: tuple[dict[str, str], ...] = (
    {"kind": "hyperbolic", "function": "exp"},
    {"kind": "hyperbolic", "function": "cosh"},
    {"kind": "hyperbolic", "function": "sinh"},
    {"kind": "least_squares"},
)
SOLVERS: tuple[dict[str, Any], ...] = (
    {"solver": {"hessian": "exact"}},
    {"solver": {"hessian": "sketch"}},
    {"solver": {"hessian": "paper"}, "regulariser": {"weights": "convex", "margin": 1.0}},
)
ROWS, COLUMNS = 24, 2
UNUSED_ID = "sha256:" + "0" * 64


def warm() -> Iterator[None]:
    """Solve and certify one tiny regression a step, for every problem, matrix layout and Hessian."""
    for problem, rest, A in product(PROBLEMS, SOLVERS, _matrices()):
        if problem["kind"] == "hyperbolic" or "regulariser" not in rest:
            _solve(SolveSpec.model_validate({"problem": problem, "A": UNUSED_ID, "b": UNUSED_ID, **rest}), A)
            yield


def _matrices() -> tuple[NDArray[np.float64], Csr]:
    dense = np.stack([np.ones(ROWS), np.linspace(-1.0, 1.0, ROWS)], axis=1)
    indptr = np.arange(0, ROWS * COLUMNS + 1, COLUMNS, dtype=np.int64)
    indices = np.tile(np.arange(COLUMNS, dtype=np.int32), ROWS)
    return dense, Csr(indptr, indices, dense.ravel(), (ROWS, COLUMNS))


def _solve(spec: SolveSpec, A: NDArray[np.float64] | Csr) -> None:
    inputs = {"A": A, "b": np.linspace(1.5, 2.5, ROWS)}
    *_, last = engine.steps(spec, inputs)
    engine.certify(spec, inputs, engine.solution(spec, inputs, last.state))
