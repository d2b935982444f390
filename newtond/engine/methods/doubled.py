"""Sums of products as if in twice the working precision, from error-free transformations.

Source: Ogita, Rump, Oishi, Accurate sum and dot product, SIAM J. Sci. Comput. 26 (2005). Difference from the
source: the sum is a tree over halves, so that it runs on whole arrays; the bits depend on shapes only.
"""

import numpy as np

from newtond.engine.state import Matrix, Vector

SPLITTER = 2.0**27 + 1.0


def products(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """Return a · b entrywise and what rounding took from it; 0 of that where the split overflows."""
    product = np.asarray(a * b)
    with np.errstate(over="ignore", invalid="ignore"):
        a_high, a_low = _split(a)
        b_high, b_low = _split(b)
        error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, np.where(np.isfinite(error), error, 0.0)


def _split(a: Matrix) -> tuple[Matrix, Matrix]:
    grown = SPLITTER * a
    high = grown - (grown - a)
    return high, a - high


def total(high: Matrix, low: Matrix) -> Vector:
    """Return the sums of high + low along the first axis, each rounded about once."""
    while len(high) > 1:
        half = (len(high) + 1) // 2
        a, b = high[:half], np.zeros_like(high[:half])
        b[: len(high) - half] = high[half:]
        rest = low[:half].copy()
        rest[: len(low) - half] += low[half:]
        high = a + b
        back = high - a
        low = rest + ((a - (high - back)) + (b - back))
    return (high + low)[0]


def residual(matrix: Matrix, x: Vector, target: Vector, left: Vector) -> Vector:
    """Return target − left − matrix · x (rows)."""
    high, low = products(matrix.T, -x[:, None])
    more = np.stack([target, -left])
    return total(np.concatenate([more, high]), np.concatenate([np.zeros_like(more), low]))


def transposed(matrix: Matrix, left: Vector) -> Vector:
    """Return matrixᵀ · left (width)."""
    return total(*products(matrix, left[:, None]))
