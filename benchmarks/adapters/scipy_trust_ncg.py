"""SciPy trust-ncg with hand-written derivatives and Hessian products."""

import numpy as np
from scipy.optimize import minimize

from benchmarks.adapters.derivatives import Objective
from benchmarks.problem import Instance, Vector

TOLERANCE = "‖g‖ ≤ 1e-8 ‖g(0)‖"


def takes(instance: Instance) -> bool:
    return True


def solve(instance: Instance, threads: int) -> Vector:
    objective = Objective(instance)
    start = instance.start
    gradient = float(np.linalg.norm(instance.gradient(np.zeros_like(start))))
    return minimize(
        objective.value_gradient,
        start,
        jac=True,
        hessp=objective.product,
        method="trust-ncg",
        options={"gtol": 1e-8 * gradient, "maxiter": 500},
    ).x
