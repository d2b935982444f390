"""scikit-learn's TweedieRegressor with its newton-cholesky solver; it takes dense and CSR designs."""

from benchmarks.adapters import sklearn_tweedie
from benchmarks.adapters.sklearn_tweedie import takes
from benchmarks.problem import Instance, Vector

TOLERANCE = "tol 1e-10"

__all__ = ["TOLERANCE", "solve", "takes"]


def solve(instance: Instance, threads: int) -> Vector:
    return sklearn_tweedie.solve(instance, threads, solver="newton-cholesky")
