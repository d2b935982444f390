"""C: dense, n = 2e5, d = 100."""

import numpy as np

from benchmarks.problem import Instance


def make(seed: int, scale: float) -> Instance:
    n = int(200_000 * scale)
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, 100))
    z = A @ rng.standard_normal(100)
    z *= 0.6 / z.std()
    b = np.exp(z) * (1.0 + 0.05 * rng.standard_normal(n))
    return Instance("C", f"exp, dense, n = {n:,}, d = 100", A, b)
