"""B with columns of Zipf-distributed frequency: a few hold most of the entries."""

from benchmarks.instances.sparse_rows import exponential
from benchmarks.problem import Instance


def make(seed: int, scale: float) -> Instance:
    n = int(200_000 * scale)
    title = f"B of Zipf(1.1) columns, n = {n:,}"
    return exponential("B_ZIPF", title, (n, 1_000), 50, seed, zipf=1.1)
