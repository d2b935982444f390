"""Subsampled randomised Hadamard transform: S = √(1/m) R H diag(ε), H of order N = 2^k ≥ n, R m rows of it.

Source: Ailon, Chazelle (2006); Tropp, Improved analysis of the subsampled randomized Hadamard
transform (2011).
Cost n d (log₂ T + m/T) for tiles of T ≥ m rows, dense whatever A is. Difference from the source: H is applied
as H_{N/T} ⊗ H_T tile by tile, so memory is O(T d) and only the sampled rows are ever formed; the
rows are shuffled first, since neighbouring heavy rows would share their few low Hadamard bits.
"""

import numpy as np

from newtond.engine import kernels
from newtond.engine.design import Design
from newtond.engine.sketches import Key
from newtond.engine.sketches import four_per_column as default_rows
from newtond.engine.state import Matrix, Vector

__all__ = ["apply", "default_rows"]


def apply(design: Design, root: Vector, rows: int, key: Key) -> Matrix:
    """Return S diag(root) A (min(rows, N), width)."""
    n = design.rows
    order = 1 << max(0, n - 1).bit_length()
    draw = key.generator()
    signs = np.where(draw.random(n) < 0.5, -1.0, 1.0) * root
    shuffled = draw.permutation(n)
    sampled = np.sort(draw.choice(order, size=min(rows, order), replace=False))
    height = 1 << max(0, len(sampled) - 1).bit_length()
    out = np.zeros((len(sampled), design.width))
    tile = np.zeros((height, design.width))
    for number, first in enumerate(range(0, n, height)):
        part = shuffled[first : first + height]
        tile[: len(part)] = design.take(part) * signs[part, None]
        tile[len(part) :] = 0.0
        kernels.hadamard(tile)
        parity = np.bitwise_count((sampled // height) & number) & 1
        out += np.where(parity, -1.0, 1.0)[:, None] * tile[sampled % height]
    return out / np.sqrt(len(sampled))
