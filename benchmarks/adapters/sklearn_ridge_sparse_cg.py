"""scikit-learn's Ridge of alpha 0 by its solver sparse_cg."""

from benchmarks.adapters import sklearn_ridge_lsqr
from benchmarks.adapters.sklearn_ridge_lsqr import TOLERANCE, takes
from benchmarks.problem import Instance, Vector

__all__ = ["TOLERANCE", "solve", "takes"]


def solve(instance: Instance, threads: int) -> Vector:
    return sklearn_ridge_lsqr.solve(instance, threads, solver="sparse_cg")
