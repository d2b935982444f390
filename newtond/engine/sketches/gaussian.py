"""Dense Gaussian sketch: entries of S are independent N(0, 1/m).

The reference that others are measured against: condition number ((1 + 1/√c)/(1 − 1/√c))² at m = c d rows
(Davidson, Szarek 2001). Cost m n d, so refused where that is past 10¹² multiplications.
"""

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.engine.design import Design
from newtond.engine.sketches import Key
from newtond.engine.sketches import four_per_column as default_rows
from newtond.engine.state import Matrix, Vector

TILE = 1024
MOST_PRODUCTS = 10**12

__all__ = ["apply", "default_rows"]


def apply(design: Design, root: Vector, rows: int, key: Key) -> Matrix:
    """Return S diag(root) A (rows, width); raises InvalidSpec where it would cost more than 10¹² products."""
    if rows * design.rows * design.width > MOST_PRODUCTS:
        raise InvalidSpec(
            f"a gaussian sketch of {rows} rows costs {rows * design.rows * design.width:.1e} products; "
            "sparse_sign costs 8 nnz(A)",
            source={"pointer": "/solver/sketch/kind"},
        )
    out = np.zeros((rows, design.width))
    for stream, first in enumerate(range(0, design.rows, TILE)):
        last = min(first + TILE, design.rows)
        draw = key.generator(stream).standard_normal((rows, last - first))
        out += (draw * root[first:last]) @ design.take(np.arange(first, last))
    return out / np.sqrt(rows)
