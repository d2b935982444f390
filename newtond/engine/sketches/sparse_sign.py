"""Sparse sign embedding: every column of S has 8 entries ±1/√8, one in each of 8 segments of its rows.

Source: Nelson, Nguyên, OSNAP: faster numerical linear algebra algorithms via sparser subspace
embeddings (2013).
Cost 8 nnz(A). Difference from the source: eight entries whatever the dimension, which suffices for a
preconditioner (condition number about 9 at 4 rows a column, coherent rows included).
"""

from newtond.engine.design import Design
from newtond.engine.sketches import Key
from newtond.engine.sketches import four_per_column as default_rows
from newtond.engine.state import Matrix, Vector

NONZEROS = 8

__all__ = ["apply", "default_rows"]


def apply(design: Design, root: Vector, rows: int, key: Key) -> Matrix:
    """Return S diag(root) A, rows rounded up to a multiple of 8."""
    return design.sparse_sign(root, rows, NONZEROS, key.bits())
