"""CountSketch: every column of S has one entry ±1.

Source: Clarkson, Woodruff, Low rank approximation and regression in input sparsity time (2013). Cost nnz(A).
It needs more than d² rows: two rows that alone hold a direction meet with probability about d²/(2m), and then
it is singular (at 4 to 8 rows a column it always is, for a coherent A), so fewer than d² are refused.
"""

from newtond.contract.errors import InvalidSpec
from newtond.engine.design import Design
from newtond.engine.sketches import Key
from newtond.engine.state import Matrix, Vector


def default_rows(n: int, width: int) -> int:
    """Return 4 d² rows, which a coherent A spoils in about one draw of eight."""
    return max(4 * width * width, width + 50)


def apply(design: Design, root: Vector, rows: int, key: Key) -> Matrix:
    """Return S diag(root) A; raises InvalidSpec for fewer than d² rows."""
    if rows < design.width**2:
        raise InvalidSpec(
            f"count_sketch needs at least d² = {design.width**2} rows (asked for {rows}); "
            "sparse_sign needs 4 d",
            source={"pointer": "/solver/sketch/rows"},
        )
    return design.sparse_sign(root, rows, 1, key.bits())
