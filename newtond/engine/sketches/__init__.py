"""S·J·A for random S: one file a kind, named as it; each has ``apply`` and ``default_rows``.

A sketch is a value: distribution, rows and key. ``apply(design, root, rows, key)`` returns S diag(root) A
(about rows, width), E[SᵀS] = I, and the same bits for the same key on any number of threads.
"""

from importlib import import_module
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from newtond.contract.solve import SketchKind
from newtond.engine.design import Design
from newtond.engine.state import Matrix, Vector

SAMPLE_STREAM = 5


class Key(NamedTuple):
    """What a draw depends on: the seed of the spec and the iteration that draws."""

    seed: int
    iteration: int

    def bits(self) -> int:
        """Return 64 bits of the key."""
        return int(np.random.SeedSequence([self.seed, self.iteration]).generate_state(1, np.uint64)[0])

    def generator(self, stream: int = 0) -> np.random.Generator:
        """Return a counter-based generator of this key; streams are independent."""
        sequence = np.random.SeedSequence([self.seed, self.iteration, stream])
        return np.random.Generator(np.random.Philox(sequence))


def stratified(n: int, size: int, key: Key) -> NDArray[np.int64]:
    """Return one row of each of ``size`` strata of equal length, ascending."""
    edges = np.arange(size + 1) * n // size
    return edges[:-1] + (key.generator(SAMPLE_STREAM).random(size) * np.diff(edges)).astype(np.int64)


class Sketch(Protocol):
    """One distribution of S."""

    def apply(self, design: Design, root: Vector, rows: int, key: Key) -> Matrix: ...

    def default_rows(self, n: int, width: int) -> int: ...


def sketch(kind: SketchKind) -> Sketch:
    """Return the sketch of a kind."""
    return cast(Sketch, import_module(f"{__name__}.{kind}"))


def four_per_column(n: int, width: int) -> int:
    """Return 4 rows a column, at least 50 more than columns: condition number about 9."""
    return max(4 * width, width + 50)
