"""SciPy trust-ncg with hand-written derivatives and Hessian products."""

import numpy as np
from scipy.optimize import minimize

from benchmarks.adapters.derivatives import Objective
from benchmarks.problem import Instance, Vector

ACCURACY = 1e-8
TOLERANCE = f"‖g‖ ≤ {ACCURACY:g} ‖g(0)‖"


def takes(instance: Instance) -> bool:
    return instance.link == "exp"


def solve(instance: Instance, threads: int, accuracy: float = ACCURACY) -> Vector:
    objective = Objective(instance)
    start = instance.start
    gradient = float(np.linalg.norm(instance.gradient(np.zeros_like(start))))
    return minimize(
        objective.value_gradient,
        start,
        jac=True,
        hessp=objective.product,
        method="trust-ncg",
        options={"gtol": accuracy * gradient, "maxiter": 500},
    ).x
