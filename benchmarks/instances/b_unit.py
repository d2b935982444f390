"""B with columns brought to unit variance only: their means stay, so that all are correlated through them."""

from benchmarks.instances.sparse_rows import exponential
from benchmarks.problem import Instance


def make(seed: int, scale: float) -> Instance:
    n = int(200_000 * scale)
    title = f"B of columns of unit variance that keep their means, n = {n:,}"
    return exponential("B_UNIT", title, (n, 1_000), 50, seed, mean=1.0, unit_variance=True)
