"""The triangular factor of A = QR and the singular values of A, a block of rows at a time.

Q is not kept: its product with one vector comes along as a further column. Backward stable as QR is, in memory
for a block of rows; cost 2 n d². Rows are cut by the shape of A alone.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, svd

from newtond.engine.design import DesignMatrix
from newtond.engine.state import Matrix, Vector

FEWEST_ROWS = 2048
ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Triangle:
    """R (d, d) of A · 2^−exponent, and Qᵀb (d) where a b was given."""

    factor: Matrix
    projected: Vector | None
    exponent: int


@dataclass(frozen=True, slots=True)
class Spectrum:
    """R = U diag(σ) Vᵀ with σ falling; those beyond ``rank`` are rounding."""

    left: Matrix
    values: Vector
    right: Matrix
    rank: int

    @property
    def condition(self) -> float:
        """σ₁/σ_rank."""
        return float(self.values[0] / self.values[self.rank - 1]) if self.rank else 1.0


def exponent_of(design: DesignMatrix) -> int:
    """Return the power of two that brings the longest column of A near 1."""
    longest = float(np.sqrt(design.column_squares.max(initial=0.0)))
    return int(np.frexp(longest)[1]) if 0.0 < longest < np.inf else 0


def triangle(design: DesignMatrix, target: Vector | None = None) -> Triangle:
    """Return the triangular factor of A · 2^−exponent and Qᵀ target."""
    exponent, width = exponent_of(design), design.width
    extra = 0 if target is None else 1
    height = max(FEWEST_ROWS, 2 * width)
    top = np.zeros((0, width + extra))
    for low in range(0, design.rows, height):
        rows = np.arange(low, min(low + height, design.rows))
        block = np.empty((len(top) + len(rows), width + extra), order="F")
        block[: len(top)] = top
        block[len(top) :, :width] = np.ldexp(design.take(rows), -exponent)
        if target is not None:
            block[len(top) :, width] = target[rows]
        top = qr(block, mode="r", overwrite_a=True, check_finite=False)[0][: width + extra]
    whole = np.zeros((width, width + extra))
    whole[: min(len(top), width)] = top[:width]
    projected = whole[:, width].copy() if extra else None
    return Triangle(np.asfortranarray(whole[:, :width]), projected, exponent)


def spectrum(factor: Matrix, rows: int) -> Spectrum:
    """Return the singular values and vectors of R; σ ≤ max(n, d) u σ₁ count as zero."""
    left, values, right = svd(factor, check_finite=False)
    floor = max(rows, len(values)) * ROUNDING * float(values.max(initial=0.0))
    return Spectrum(left, values, np.ascontiguousarray(right.T), int(np.count_nonzero(values > floor)))
