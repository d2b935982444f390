"""Uniform row sampling without replacement: S selects m rows and scales them by √(n/m).

The cheapest sketch and the only one that fails by design: a coherent A leaves it near singular.
"""

import numpy as np

from newtond.engine.design import Design
from newtond.engine.sketches import Key
from newtond.engine.sketches import four_per_column as default_rows
from newtond.engine.state import Matrix, Vector

__all__ = ["apply", "default_rows"]


def apply(design: Design, root: Vector, rows: int, key: Key) -> Matrix:
    """Return S diag(root) A (min(rows, n), width)."""
    size = min(rows, design.rows)
    chosen = np.sort(key.generator().choice(design.rows, size=size, replace=False))
    return design.take(chosen) * (root[chosen] * np.sqrt(design.rows / size))[:, None]
