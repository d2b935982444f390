"""scikit-learn's Ridge of alpha 0 by its solver lsqr, which takes sparse designs."""

from benchmarks.problem import Instance, Vector

SOLVER = "lsqr"
TOLERANCE = "tol 1e-12, at most 600 iterations"


def takes(instance: Instance) -> bool:
    return instance.link == "identity"


def solve(instance: Instance, threads: int, solver: str = SOLVER) -> Vector:
    from sklearn.linear_model import Ridge

    model = Ridge(
        alpha=instance.ridge, fit_intercept=instance.intercept, solver=solver, tol=1e-12, max_iter=600
    )
    return model.fit(instance.A, instance.b).coef_
