"""Averages Z = P A₃ of values under P = rowsoftmax(queries Kᵀ): their change with the scores, and the way back.

In double precision, or with blocks in single: half the time, for products that need a few digits only. What goes
in and comes out is double, and scaled by powers of two so that no unit of the data leaves the range of single.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.engine.rowblocks.scores import Scores
from newtond.engine.state import Matrix, Vector


@dataclass(frozen=True)
class Averages:
    """Queries (n, c), keys (s, c) in ``scores`` and values A₃ / scale (s, e), all of one precision."""

    scores: Scores
    queries: NDArray[Any]
    values: NDArray[Any]
    scale: float = 1.0

    def single(self) -> "Averages":
        """Return the same with blocks in single precision."""
        scale = _power_of_two(self.values)
        values = (self.values / scale).astype(np.float32)
        return Averages(self.scores.single, self.queries.astype(np.float32), values, scale)

    def change(self, turned: Matrix, mean: Vector) -> Matrix:
        """Return dP A₃ (n, e), dP = P∘(turned Kᵀ − mean)."""
        size = _power_of_two(turned)
        turned, mean = self._like(size, turned, mean)
        dZ = np.empty((len(turned), self.values.shape[1]))

        def work(rows: slice, seen: slice, P: Matrix) -> None:
            S = turned[rows] @ self.scores.keys[seen].T
            S -= mean[rows, None]
            S *= P
            dZ[rows] = S @ self.values[seen]

        self.scores.each(self.queries, work)
        dZ *= size * self.scale
        return dZ

    def back(self, pull: Matrix, mean: Vector) -> Matrix:
        """Return (P∘(pull A₃ᵀ − mean)) K (n, c)."""
        pull = pull * self.scale
        size = _power_of_two(pull)
        pull, mean = self._like(size, pull, mean)
        T = np.empty((len(pull), self.scores.keys.shape[1]))

        def work(rows: slice, seen: slice, P: Matrix) -> None:
            E = pull[rows] @ self.values[seen].T
            E -= mean[rows, None]
            E *= P
            T[rows] = E @ self.scores.keys[seen]

        self.scores.each(self.queries, work)
        T *= size
        return T

    def back_twice(
        self, turned: Matrix, mean: Vector, first: Matrix, rho: Vector, pull: Matrix, dmean: Vector
    ) -> Matrix:
        """Return (P∘((turned Kᵀ − mean)∘(first A₃ᵀ − ρ) + pull A₃ᵀ − dmean)) K (n, c)."""
        first, pull = first * self.scale, pull * self.scale
        one, other = _power_of_two(turned), _power_of_two(first)
        size = one * other
        turned, mean = self._like(one, turned, mean)
        first, rho = self._like(other, first, rho)
        pull, dmean = self._like(size, pull, dmean)
        T = np.empty((len(pull), self.scores.keys.shape[1]))

        def work(rows: slice, seen: slice, P: Matrix) -> None:
            S = turned[rows] @ self.scores.keys[seen].T
            S -= mean[rows, None]
            E = first[rows] @ self.values[seen].T
            E -= rho[rows, None]
            S *= E
            np.matmul(pull[rows], self.values[seen].T, out=E)
            E -= dmean[rows, None]
            S += E
            S *= P
            T[rows] = S @ self.scores.keys[seen]

        self.scores.each(self.queries, work)
        T *= size
        return T

    def _like(self, size: float, array: Matrix, mean: Vector) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return both by this size, in the precision of the values."""
        kind = self.values.dtype
        return (array / size).astype(kind), (mean / size).astype(kind)


def _power_of_two(array: NDArray[np.float64]) -> float:
    """Return a power of two of about the size of the largest entry."""
    largest = float(np.abs(array).max(initial=0.0))
    return float(np.ldexp(1.0, int(np.frexp(largest)[1]))) if np.isfinite(largest) else 1.0
