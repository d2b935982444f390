"""E by column scales: least squares, n = 1e6, d = 300, 10 entries a row, kappa 1e8 from column scales alone."""

import numpy as np

from benchmarks.instances.ill_conditioned import IllConditioned
from benchmarks.instances.sparse_rows import scaled, scattered


def make(seed: int, scale: float) -> IllConditioned:
    n, d = int(1_000_000 * scale), 300
    rng = np.random.default_rng(seed)
    scales = np.geomspace(1.0, 1e-8, d)
    rng.shuffle(scales)
    A = scaled(scattered(rng, (n, d), 10), scales)
    z = A @ (rng.standard_normal(d) / scales)
    b = z + 0.05 * z.std() * rng.standard_normal(n)
    title = f"least squares, n = {n:,}, d = 300, 10 entries a row, kappa 1e8 by column scales"
    key = f"e_scaled-{n}-{seed}"
    return IllConditioned("E_SCALED", title, A, b, link="identity", ridge=0.0, key=key)
