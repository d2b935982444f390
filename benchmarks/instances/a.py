"""A: n = 1e6, d = 200, 10 normal entries a row."""

from benchmarks.instances.sparse_rows import exponential
from benchmarks.problem import Instance


def make(seed: int, scale: float) -> Instance:
    n = int(1_000_000 * scale)
    return exponential("A", f"exp, n = {n:,}, d = 200, 10 entries a row", (n, 200), 10, seed)
