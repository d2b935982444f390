"""Standard errors of every regression in z = A x, separable or of groups of rows, from its objective."""

from dataclasses import dataclass

import numpy as np

from newtond.engine.methods.standard_errors import (
    LARGEST,
    Moments,
    StandardErrors,
    both_triangles,
    standard_errors,
    without,
)
from newtond.engine.objective import Evaluation, Loss, Objective
from newtond.engine.state import Matrix, Vector


@dataclass(frozen=True)
class Observed:
    """The data of a regression: their loss without regularisers, vᵢrᵢ² (n), and how many residuals vary freely."""

    loss: Loss
    squares: Vector
    free: int


def coefficient_errors(
    objective: Objective, x: Vector, observed: Observed, nullity: int, noise: float
) -> StandardErrors:
    """Return the errors of x (width), or why there are none; costs four Gram matrices and four d³."""
    width = objective.design.width
    if nullity:
        return without(f"{nullity} directions of x change no prediction, so coefficients are not identified")
    if width > LARGEST:
        return without(f"{width} columns are too many to factorise the Hessian")
    return standard_errors(_moments(objective, objective.expand(x), observed, noise))


def _moments(objective: Objective, here: Evaluation, observed: Observed, noise: float) -> Moments:
    design, curvature = objective.design, here.curvature
    data = observed.loss.expand(here.predictor)
    scores = data.curvature.scores(design, data.gradient, observed.squares)
    return Moments(
        hessian=_penalised(objective, curvature.gram(design, True)),
        model=_penalised(objective, curvature.gram(design, False)),
        data=both_triangles(data.curvature.gram(design, False)),
        scores=None if scores.matrix is None else both_triangles(scores.matrix),
        remark=scores.remark,
        size=_size(objective, here),
        gradient=here.gradient,
        squares=float(np.sum(observed.squares)),
        rows=observed.free,
        noise=noise,
    )


def _penalised(objective: Objective, gram: Matrix) -> Matrix:
    whole = both_triangles(gram)
    whole[np.diag_indices_from(whole)] += objective.penalty.ridge
    return whole


def _size(objective: Objective, here: Evaluation) -> Vector:
    squares, whole = here.curvature.squares(objective.design), here.curvature.uncoupled(objective.design)
    return objective.penalty.ridge + (squares if whole is None else np.maximum(squares, whole))
