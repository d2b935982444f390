"""Load every compiled kernel into the parent, so that a child starts with them instead of loading them again.

Tiny regressions on one thread: no pool is made that a fork would break. On a machine where the kernels have
not been compiled yet this compiles them, in pieces of a few seconds while the worker has nothing else to do.
"""

from collections.abc import Iterator
from importlib.resources import files
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from newtond import engine
from newtond.contract.array import ArrayInput, Coordinates
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr, Inputs

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
    """Solve and certify one tiny problem a step: each regression in every layout, each other kind's example."""
    for problem, rest, A in product(PROBLEMS, SOLVERS, _matrices()):
        if problem["kind"] == "hyperbolic" or "regulariser" not in rest:
            spec = SolveSpec.model_validate({"problem": problem, "A": UNUSED_ID, "b": UNUSED_ID, **rest})
            _solve(spec, {"A": A, "b": np.linspace(1.5, 2.5, ROWS)})
            yield
    for example in sorted(files("openapi").joinpath("examples").iterdir(), key=lambda path: path.name):
        spec = SolveSpec.model_validate_json(example.read_bytes())
        if spec.problem.kind not in {problem["kind"] for problem in PROBLEMS}:
            _solve(spec, {name: _inline(array) for name, array in spec.arrays().items()})
            yield


def _matrices() -> tuple[NDArray[np.float64], Csr]:
    dense = np.stack([np.ones(ROWS), np.linspace(-1.0, 1.0, ROWS)], axis=1)
    indptr = np.arange(0, ROWS * COLUMNS + 1, COLUMNS, dtype=np.int64)
    indices = np.tile(np.arange(COLUMNS, dtype=np.int32), ROWS)
    return dense, Csr(indptr, indices, dense.ravel(), (ROWS, COLUMNS))


def _inline(array: ArrayInput) -> NDArray[np.float64] | Csr:
    if not isinstance(array, Coordinates):
        return np.asarray(array, np.float64)
    A = sp.csr_array((array.value, (array.row, array.col)), shape=array.shape)
    A.sort_indices()
    return Csr(A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data, array.shape)


def _solve(spec: SolveSpec, inputs: Inputs) -> None:
    *_, last = engine.steps(spec, inputs)
    engine.certify(spec, inputs, engine.solution(spec, inputs, last.state))
