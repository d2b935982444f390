"""glum, a normal family with log link, on the matrix as it is."""

import numpy as np

from benchmarks.problem import Instance, Vector

TOLERANCE = "gradient_tol 1e-9"


def takes(instance: Instance) -> bool:
    return instance.link == "exp"


def solve(instance: Instance, threads: int) -> Vector:
    return fit(instance, instance.A)


def fit(instance: Instance, A: object) -> Vector:
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family="normal",
        link="log",
        alpha=instance.ridge / len(instance.b),
        l1_ratio=0,
        fit_intercept=instance.intercept,
        gradient_tol=1e-9,
        max_iter=300,
    ).fit(A, instance.b)
    return np.append(model.coef_, model.intercept_) if instance.intercept else model.coef_
