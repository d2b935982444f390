"""newtond's engine in process, by its public functions, with ``hessian: auto``."""

import numpy as np
import scipy.sparse as sp

from benchmarks.problem import Instance, Vector
from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr

TOLERANCE = "Newton decrement 1e-10 · √(2F)"
ID = "sha256:" + "0" * 64


def takes(instance: Instance) -> bool:
    return True


def request(instance: Instance, **solver: object) -> tuple[SolveSpec, dict]:
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
    A = instance.A
    if sp.issparse(A):
        A = Csr(A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data, A.shape)
    return spec, {"A": A, "b": instance.b}


def solve(instance: Instance, threads: int) -> Vector:
    spec, inputs = request(instance)
    *_, last = engine.steps(spec, inputs, threads)
    found = engine.solution(spec, inputs, last.state, threads)
    x = found.arrays["x"]
    return x if found.intercept is None else np.append(x, found.intercept)
