"""B with correlated columns: condition number of the Hessian about 1e4, whatever columns are scaled by."""

import numpy as np

from benchmarks.instances.sparse_rows import grouped, target
from benchmarks.problem import Instance


def make(seed: int, scale: float) -> Instance:
    n = int(200_000 * scale)
    rng = np.random.default_rng(seed)
    A = grouped(rng, (n, 1_000), 50, spectrum=1e-2)
    return Instance("B_CORRELATED", f"B of correlated columns, kappa(H) 1e4, n = {n:,}", A, target(rng, A))
