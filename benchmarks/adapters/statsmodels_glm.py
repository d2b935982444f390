"""statsmodels' GLM, a normal family with log link, by IRLS; it takes dense designs of its size and has no ridge."""

import scipy.sparse as sp

from benchmarks.problem import Instance, Vector

TOLERANCE = "tol 1e-12 of the deviance, no ridge"
LARGEST = 3e7


def takes(instance: Instance) -> bool:
    return instance.link == "exp" and not sp.issparse(instance.A) and instance.nnz <= LARGEST


def solve(instance: Instance, threads: int) -> Vector:
    import statsmodels.api as sm

    family = sm.families.Gaussian(sm.families.links.Log())
    model = sm.GLM(instance.b, instance.A, family=family)
    return model.fit(start_params=instance.start, maxiter=100, tol=1e-12, tol_criterion="deviance").params
