"""Rows that belong together: a partition of 0 … n − 1 into runs, and what is summed over each of them.

Rows of one group stand next to each other; where an input has them scattered, ``order`` says which permutation
brings them together, and A is permuted once. Sums run through a group in the order of its rows, and groups
are dealt to threads whole, so that no sum depends on their number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from newtond.engine.kernels import group_sums
from newtond.engine.state import Vector

MOST_CHUNKS = 64
CHUNK_ROWS = 4096
PANEL_ENTRIES = 1 << 22


@dataclass(frozen=True)
class Groups:
    """Group g holds the rows edges[g] … edges[g + 1] − 1, at least one."""

    edges: NDArray[np.int64]

    @property
    def count(self) -> int:
        return len(self.edges) - 1

    @property
    def rows(self) -> int:
        return int(self.edges[-1])

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.edges)

    @cached_property
    def of_row(self) -> NDArray[np.int64]:
        """The group of each row (n)."""
        return np.repeat(np.arange(self.count), self.sizes)

    @cached_property
    def chunks(self) -> list[tuple[int, int]]:
        """Runs of groups of about as many rows each, for a thread at a time; cut by the edges only."""
        wanted = max(1, min(MOST_CHUNKS, -(-self.rows // CHUNK_ROWS)))
        marks = np.searchsorted(self.edges, np.linspace(0, self.rows, wanted + 1)[1:-1])
        cuts = [0, *sorted({int(mark) for mark in marks} - {0, self.count}), self.count]
        return list(pairwise(cuts))

    def panels(self, width: int) -> Iterator[tuple[int, int]]:
        """Yield runs of groups of which an array (groups, width) stays at some thirty megabytes."""
        step = max(1, PANEL_ENTRIES // width)
        for low in range(0, self.count, step):
            yield low, min(low + step, self.count)

    def sums(self, values: Vector) -> Vector:
        """Return the sum of ``values`` (n) over each group (count)."""
        out = np.empty(self.count)
        group_sums(values, self.edges, out)
        return out

    def spread(self, values: Vector) -> Vector:
        """Return a group's value at each of its rows (n)."""
        return np.repeat(values, self.sizes)


def single(rows: int) -> Groups:
    """Return all rows as one group."""
    return Groups(np.array([0, rows], np.int64))


def gathered(labels: Vector) -> tuple[Groups, NDArray[np.int64] | None]:
    """Return the groups of equal labels (n), and the order that makes each a run; None where each is one.

    Runs keep their order; scattered labels are sorted, rows of equal label staying in theirs.
    """
    order = None
    starts = _starts(labels)
    if len(starts) != len(np.unique(labels)):
        order = np.argsort(labels, kind="stable")
        starts = _starts(labels[order])
    return Groups(np.append(starts, len(labels)).astype(np.int64)), order


def _starts(labels: Vector) -> NDArray[np.int64]:
    return np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
