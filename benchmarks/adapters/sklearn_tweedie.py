"""scikit-learn's TweedieRegressor of power 0 and log link, which minimises the same objective over n."""

import numpy as np

from benchmarks.problem import Instance, Vector

SOLVER = "lbfgs"
TOLERANCE = "tol 1e-10"


def takes(instance: Instance) -> bool:
    return instance.link == "exp"


def solve(instance: Instance, threads: int, solver: str = SOLVER) -> Vector:
    from sklearn.linear_model import TweedieRegressor

    model = TweedieRegressor(
        power=0,
        link="log",
        alpha=instance.ridge / len(instance.b),
        fit_intercept=instance.intercept,
        solver=solver,
        tol=1e-10,
        max_iter=3000,
    ).fit(instance.A, instance.b)
    return np.append(model.coef_, model.intercept_) if instance.intercept else model.coef_
