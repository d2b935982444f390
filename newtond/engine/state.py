"""The engine's own data: input arrays, the state of a solve, what a step and a solution are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtond.contract.result import Termination
from newtond.contract.trace import Iteration

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


class Prepared(NamedTuple):
    """What is counted of a sparse matrix (n, d) once, whatever is solved with it.

    ``products``: the products that each row of a Gram's upper triangle takes (d). ``exclusive``: columns of which
    no row holds two, ascending; none where they are not most of the columns.
    """

    products: Vector
    exclusive: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Csr:
    """A canonical sparse matrix (n, d): indices sorted in each row, no explicit zeros.

    indptr int64, data float64, indices int32 (row blocks view them as uint32, which is faster to index by).
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32] | NDArray[np.uint32]
    data: Vector
    shape: tuple[int, int]
    prepared: Prepared | None = None


Inputs = Mapping[str, Csr | NDArray[np.float64]]
"""The arrays of a spec by the names that ``SolveSpec.arrays`` gives: A, b, weights, offset, row_weights …"""


Share = tuple[Vector, float]
"""What one row block adds to the gradient of the loss: Aᵀg (d) and the sum of g, an intercept's share."""
ITERATES = ("x", "X", "vector", "coefficients")


@dataclass(frozen=True, slots=True)
class State:
    """All that continues a solve: what a checkpoint holds, and nothing else."""

    iteration: int
    arrays: Mapping[str, NDArray[np.float64]]
    scalars: Mapping[str, float | int | str]

    @property
    def iterate(self) -> NDArray[np.float64]:
        """The array that says where the solve stands."""
        return next(self.arrays[name] for name in ITERATES if name in self.arrays)


@dataclass(frozen=True, slots=True)
class Measured:
    """Where a record was measured: x (width) and every row block's share of the gradient of the loss there."""

    x: Vector
    shares: Sequence[Share]

    @property
    def nbytes(self) -> int:
        """The bytes of all shares."""
        return sum(part.nbytes for part, _ in self.shares)


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration: its record, the state it leaves, and the reason to stop once there is one.

    ``measured`` is what the record was made from, where the method sums over row blocks and has them at hand.
    """

    record: Iteration
    state: State
    termination: Termination | None = None
    stopping_rule: str = ""
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class Solution:
    """What a state means to the caller: result arrays by name, intercept, warnings in words."""

    arrays: Mapping[str, NDArray[np.float64]]
    intercept: float | None
    warnings: tuple[str, ...]
