"""Leverage-score sampling: row i of diag(root) A is kept with pᵢ = min(1, c ℓᵢ) and scaled by 1/√pᵢ.

ℓᵢ = ‖rootᵢ aᵢ R⁻¹‖² with R from the QR of a sparse-sign sketch, estimated by 32 Gaussian columns where d is
larger (a Johnson-Lindenstrauss estimate: relative standard deviation √(2/32) = 0.25).
Source: Drineas, Magdon-Ismail, Mahoney, Woodruff (2012). Difference from the source: independent (Bernoulli)
draws, so a row of leverage 1 is always kept; sampling with replacement left coherent matrices singular.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from newtond.engine.design import Design
from newtond.engine.sketches import Key, sparse_sign
from newtond.engine.sketches import four_per_column as default_rows
from newtond.engine.state import Matrix, Vector

ESTIMATE_COLUMNS = 32

__all__ = ["apply", "default_rows", "sample", "scores"]


def scores(design: Design, root: Vector, key: Key) -> Vector:
    """Return the leverage scores of diag(root) A (n), estimated where d > 32."""
    width = design.width
    sketched = sparse_sign.apply(design, root, default_rows(design.rows, width), key)
    norms = np.linalg.norm(sketched, axis=0)
    norms[norms == 0.0] = 1.0
    factor = qr(sketched / norms, mode="r", check_finite=False)[0][:width]
    floor = np.finfo(float).eps * width * np.abs(np.diag(factor)).max()
    factor[np.diag_indices(width)] += np.where(np.abs(np.diag(factor)) < floor, floor, 0.0)
    draws = np.eye(width)
    if width > ESTIMATE_COLUMNS:
        normal = key.generator(1).standard_normal((width, ESTIMATE_COLUMNS))
        draws = normal / np.sqrt(ESTIMATE_COLUMNS)
    basis = solve_triangular(factor, draws, check_finite=False) / norms[:, None]
    total = np.zeros(design.rows)
    for column in basis.T:
        total += design.matvec(np.ascontiguousarray(column)) ** 2
    return np.minimum(total * root * root, 1.0)


def sample(leverage: Vector, rows: int, key: Key) -> tuple[NDArray[np.int64], Vector]:
    """Return the kept rows (sorted) and their probabilities; about ``rows`` are kept."""
    probabilities = _probabilities(leverage, rows)
    kept = np.flatnonzero(key.generator(2).random(len(leverage)) < probabilities)
    return kept, probabilities[kept]


def apply(design: Design, root: Vector, rows: int, key: Key) -> Matrix:
    """Return S diag(root) A (about rows, width)."""
    kept, probabilities = sample(scores(design, root, key), rows, key)
    return design.take(kept) * (root[kept] / np.sqrt(probabilities))[:, None]


def _probabilities(leverage: Vector, rows: int) -> Vector:
    """Return min(1, c ℓ) with c such that they add up to ``rows``."""
    certain = np.zeros(len(leverage), bool)
    if rows >= np.count_nonzero(leverage):
        return np.where(leverage > 0.0, 1.0, 0.0)
    while True:
        c = (rows - certain.sum()) / leverage[~certain].sum()
        grown = certain | (c * leverage >= 1.0)
        if (grown == certain).all():
            return np.where(certain, 1.0, c * leverage)
        certain = grown
