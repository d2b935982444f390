"""SciPy L-BFGS-B with hand-written value and gradient."""

import numpy as np
from scipy.optimize import minimize

from benchmarks.adapters.derivatives import Objective
from benchmarks.problem import Instance, Vector

ACCURACY = 1e-9
TOLERANCE = f"‖g‖∞ ≤ {ACCURACY:g} ‖g(0)‖, ftol 0"


def takes(instance: Instance) -> bool:
    return instance.link == "exp"


def solve(instance: Instance, threads: int, accuracy: float = ACCURACY) -> Vector:
    objective = Objective(instance)
    start = instance.start
    gradient = float(np.linalg.norm(instance.gradient(np.zeros_like(start))))
    options = {"maxiter": 3000, "maxfun": 6000, "ftol": 0.0, "gtol": accuracy * gradient, "maxcor": 20}
    return minimize(objective.value_gradient, start, jac=True, method="L-BFGS-B", options=options).x
