"""B: n = 2e5, d = 1000, 50 entries a row."""

from benchmarks.instances.sparse_rows import exponential
from benchmarks.problem import Instance


def make(seed: int, scale: float) -> Instance:
    n = int(200_000 * scale)
    return exponential("B", f"exp, n = {n:,}, d = 1,000, 50 entries a row", (n, 1_000), 50, seed)
