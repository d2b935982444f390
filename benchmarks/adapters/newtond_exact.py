"""newtond with ``hessian: exact``, a fixed choice to hold ``auto`` against: AᵀDA factorised in each iteration."""

from benchmarks.adapters import newtond
from benchmarks.adapters.newtond import TOLERANCE
from benchmarks.problem import Instance, Vector

__all__ = ["TOLERANCE", "solve", "takes"]

LARGEST = 1_000


def takes(instance: Instance) -> bool:
    return instance.A.shape[1] <= LARGEST


def solve(instance: Instance, threads: int) -> Vector:
    return newtond.solve(instance, threads, hessian="exact")
