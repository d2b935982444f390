"""A Hessian kept while x moves on: an initial metric for quasi-Newton steps, factorised once.

*Exact* is AᵀDA + diag(ridge) at one point. *Partial* is what of it costs little: its whole diagonal, and the
off-diagonal part of only the rows with the largest weights. With T those rows,

    M = Σ_T Dᵢ aᵢaᵢᵀ + diag(Σ not in T Dᵢ aᵢ∘aᵢ) + diag(ridge),

which is positive definite whatever T is. The weights of an exponential loss are log-normal: the largest 5 %
hold most of Σ D². Where they hold less than half of it, the diagonal alone is as good and nothing is
factorised. The weights are the true ones where none is negative, else the positive model's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import spotrf

from newtond.engine.curvature import DiagonalCurvature
from newtond.engine.design import DesignMatrix
from newtond.engine.hessians import Factor
from newtond.engine.hessians.dense import DenseFactor, ExactHessian
from newtond.engine.objective import Evaluation, Objective
from newtond.engine.state import Matrix, Vector

HEAVIEST, ENOUGH = 0.05, 0.5
SAMPLE = 20_000
SINGLE = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class FrozenHessian:
    """The factor of M and what M is, in words."""

    factor: Factor
    words: str


def diagonal(objective: Objective, here: Evaluation) -> FrozenHessian:
    """Return the diagonal of the positive model."""
    squares = here.curvature.squares(objective.design) + objective.penalty.ridge
    return _diagonal(squares)


def exact(hessian: ExactHessian, objective: Objective, here: Evaluation) -> FrozenHessian | None:
    """Return the exact Hessian, of the model where the true one is not positive definite; None if neither is."""
    for true in (True, False):
        if (factor := hessian.factor(objective, here.curvature, true)) is not None:
            return FrozenHessian(factor, "exact" if true else "exact Gauss-Newton")
    return None


def partial(objective: Objective, here: Evaluation) -> FrozenHessian:
    """Return the exact diagonal and the rest of the heaviest rows, or the diagonal where these hold little."""
    design, curvature = objective.design, here.curvature
    assert isinstance(curvature, DiagonalCurvature)
    positive = curvature.positive
    weights = curvature.weights if positive else curvature.model
    known = here.squares if positive else None
    squares = (design.squares(weights) if known is None else known) + objective.penalty.ridge
    heavy = heaviest(weights)
    if heavy is None:
        return _diagonal(squares)
    scale = _scale(squares)
    gram = _gram_of(design, weights, heavy)
    gram *= scale[:, None]
    gram *= scale
    scaled = gram.astype(np.float32)
    scaled[np.diag_indices_from(scaled)] = 1.0 + 4.0 * len(scale) * SINGLE
    factor, info = spotrf(scaled.T, lower=1, clean=0, overwrite_a=1)
    if info != 0:
        return _diagonal(squares)
    words = f"its diagonal and the rest of {np.count_nonzero(heavy)} rows"
    return FrozenHessian(DenseFactor(factor, scale), words)


def heaviest(weights: Vector) -> NDArray[np.bool_] | None:
    """Return which rows have the largest weights, about 5 %; None where they hold under half of Σ weights²."""
    sample = weights[:: max(1, len(weights) // SAMPLE)]
    bar = float(np.quantile(sample, 1.0 - HEAVIEST))
    squares = sample * sample
    if float(squares[sample > bar].sum()) < ENOUGH * float(squares.sum()):
        return None
    return weights > bar


def _gram_of(design: DesignMatrix, weights: Vector, rows: NDArray[np.bool_]) -> Matrix:
    if design.sparse:
        return design.gram(np.where(rows, weights, 0.0))
    numbers = np.flatnonzero(rows)
    taken = design.take(numbers)
    return (taken * weights[numbers, None]).T @ taken


def _diagonal(squares: Vector) -> FrozenHessian:
    return FrozenHessian(DenseFactor(None, _scale(squares)), "its diagonal")


def _scale(squares: Vector) -> Vector:
    return 1.0 / np.sqrt(np.where(squares > 0.0, squares, 1.0))
