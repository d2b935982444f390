"""A2: as A, with column scales log-spaced over 1e3."""

import numpy as np

from benchmarks.instances.sparse_rows import exponential
from benchmarks.problem import Instance


def make(seed: int, scale: float) -> Instance:
    n = int(1_000_000 * scale)
    scales = np.geomspace(1.0, 1e-3, 200)
    title = f"as A, n = {n:,}, column scales over 1e3"
    return exponential("A2", title, (n, 200), 10, seed, column_scales=scales)
