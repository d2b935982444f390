"""newtond's engine in process, by its public functions, with ``hessian: auto``.

The solver's tolerance is of the Newton decrement: the instance's own, chosen so that a relative gradient of
1e-10 or less is left. The table shows what was reached.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.problem import Instance, Vector
from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr

TOLERANCE = "a gradient of 1e-10, by its decrement"
ID = "sha256:" + "0" * 64
HESSIAN = "auto"


def takes(instance: Instance) -> bool:
    return True


def request(instance: Instance, **solver: Any) -> tuple[SolveSpec, dict[str, Any]]:
    """Return the spec, and the inputs without a copy of A's arrays where their types are the engine's."""
    problem = (
        {"kind": "hyperbolic", "function": "exp"} if instance.link == "exp" else {"kind": "least_squares"}
    )
    spec = SolveSpec.model_validate(
        {
            "problem": problem,
            "A": ID,
            "b": ID,
            "intercept": instance.intercept,
            "regulariser": {"ridge": instance.ridge},
            "solver": solver,
        }
    )
    return spec, {"A": csr(instance.A), "b": instance.b}


def csr(A: Any) -> Any:
    """Return A as the engine takes it."""
    if not sp.issparse(A):
        return A
    return Csr(A.indptr.astype(np.int64, copy=False), A.indices.astype(np.int32, copy=False), A.data, A.shape)


def solve(instance: Instance, threads: int, decrement: float | None = None, hessian: str = HESSIAN) -> Vector:
    spec, inputs = request(instance, tolerance=decrement or instance.decrement, hessian=hessian)
    *_, last = engine.steps(spec, inputs, threads)
    found = engine.solution(spec, inputs, last.state, threads)
    x = found.arrays["x"]
    return x if found.intercept is None else np.append(x, found.intercept)
