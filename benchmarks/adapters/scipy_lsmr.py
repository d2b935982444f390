"""SciPy's LSMR on the columns as they are."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import lsmr

from benchmarks.problem import Instance, Vector

MOST = 600
TOLERANCE = f"atol, btol 1e-14, at most {MOST} iterations"


def takes(instance: Instance) -> bool:
    return instance.link == "identity"


def solve(instance: Instance, threads: int) -> Vector:
    return fit(instance.A, instance.b)


def fit(A: Any, b: Vector) -> Vector:
    """Return the x at which LSMR stops."""
    return np.asarray(lsmr(A, b, atol=1e-14, btol=1e-14, conlim=0.0, maxiter=MOST)[0])
