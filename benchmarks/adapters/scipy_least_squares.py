"""SciPy least_squares (trust region reflective) with the analytic Jacobian, where that is small enough."""

import numpy as np
import scipy.sparse as sp
from scipy.optimize import least_squares

from benchmarks.problem import Instance, Vector

TOLERANCE = "ftol, xtol, gtol 1e-12; no ridge"
LARGEST = 3e7


def takes(instance: Instance) -> bool:
    dense = not sp.issparse(instance.A)
    return instance.link == "exp" and dense and instance.nnz <= LARGEST


def solve(instance: Instance, threads: int) -> Vector:
    A, b = instance.A, instance.b

    def residual(x: Vector) -> Vector:
        with np.errstate(over="ignore"):
            return np.exp(A @ x) - b

    def jacobian(x: Vector) -> np.ndarray:
        return np.exp(A @ x)[:, None] * A

    limits = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12, "max_nfev": 100}
    return least_squares(residual, instance.start, jacobian, method="trf", **limits).x
