"""E by its spectrum: least squares, n = 1e6, d = 300, 10 entries a row, singular values all over [1e-8, 1]."""

import numpy as np

from benchmarks.instances.ill_conditioned import IllConditioned
from benchmarks.instances.sparse_rows import grouped

NOISE = 1e-4


def make(seed: int, scale: float) -> IllConditioned:
    n, d = int(1_000_000 * scale), 300
    rng = np.random.default_rng(seed)
    A = grouped(rng, (n, d), 10, spectrum=1e-8)
    z = A @ rng.standard_normal(d)
    b = z + NOISE * z.std() * rng.standard_normal(n)
    title = f"least squares, n = {n:,}, d = 300, 10 entries a row, continuous spectrum to kappa 1e8"
    key = f"e_spectrum-{n}-{seed}"
    return IllConditioned("E_SPECTRUM", title, A, b, link="identity", ridge=0.0, key=key)
