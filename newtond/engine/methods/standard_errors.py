"""Standard errors of a regression's coefficients: classical, and robust to unequal variances (sandwich, HC0).

With D = v f′², B the true curvature, q = v f′ r the rows' slopes and P the ridge,

    classical: σ² H⁻¹ (AᵀDA) H⁻¹,  H = Aᵀ(D + w²)A + P,  σ² = Σ v r²/(n − tr H⁻¹AᵀDA)
    sandwich:  G⁻¹ (Aᵀ diag(q²) A) G⁻¹,  G = Aᵀ B A + P

that is σ²(AᵀDA)⁻¹ without w and P, as GLM software has it. With a regulariser they are the errors of the shrunk
estimate about its own mean: its bias is not in them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from newtond.engine.design import DesignMatrix
from newtond.engine.methods.linear_system import powers_of_two
from newtond.engine.objective import Objective
from newtond.engine.state import Matrix, Vector

LARGEST = 5000
CONDITION = 1e7


@dataclass(frozen=True)
class Rows:
    """What the errors are made of, at a solution (n each): D, w², the slopes q and v r²."""

    squares: Vector
    omega: Vector
    slopes: Vector
    residual_squares: Vector


@dataclass(frozen=True)
class StandardErrors:
    """Errors of every entry of x (width), or the reason why there are none."""

    classical: Vector
    sandwich: Vector
    reason: str = ""


def standard_errors(objective: Objective, x: Vector, rows: Rows) -> StandardErrors:
    """Return the standard errors at x; costs four Gram matrices and two d³."""
    design, ridge = objective.design, objective.penalty.ridge
    if design.width > LARGEST:
        return _none(f"{design.width} columns are too many to factorise the Hessian")
    scale = powers_of_two(np.sqrt(design.column_squares))
    curvature = objective.expand(x).curvature
    model = _inverse(design, rows.squares + rows.omega, ridge, scale)
    true = _inverse(
        design, curvature.weights if hasattr(curvature, "weights") else rows.squares, ridge, scale
    )
    if model is None or true is None:
        return _none(
            "the Hessian is not positive definite to working accuracy, so some coefficient is not identified"
        )
    data = _scaled(design.gram(rows.squares), scale)
    freedom = len(rows.squares) - float(np.sum(model * data))
    if freedom < 0.5:
        return _none("there are no more rows than coefficients")
    variance = float(np.sum(rows.residual_squares)) / freedom
    meat = _scaled(design.gram(rows.slopes**2), scale)
    return StandardErrors(
        scale * np.sqrt(variance * _sandwiched(model, data)), scale * np.sqrt(_sandwiched(true, meat))
    )


def _none(reason: str) -> StandardErrors:
    return StandardErrors(np.empty(0), np.empty(0), f"no standard errors: {reason}")


def _scaled(gram: Matrix, scale: Vector) -> Matrix:
    """Return both triangles of the Gram of the scaled columns."""
    upper = np.triu(gram) * scale * scale[:, None]
    return upper + np.triu(upper, 1).T


def _inverse(design: DesignMatrix, weights: Vector, ridge: Vector, scale: Vector) -> Matrix | None:
    """Return the inverse of the scaled Aᵀ diag(weights) A + diag(ridge), None where it is not clearly definite."""
    form = _scaled(design.gram(weights), scale) + np.diag(ridge * scale * scale)
    diagonal = np.diag(form)
    if not (diagonal > 0.0).all():
        return None
    unit = 1.0 / np.sqrt(diagonal)
    try:
        factor = cho_factor(form * unit * unit[:, None], check_finite=False)
    except LinAlgError:
        return None
    if np.diag(factor[0]).min() < 1.0 / CONDITION:
        return None
    return np.asarray(cho_solve(factor, np.diag(unit), check_finite=False) * unit[:, None])


def _sandwiched(bread: Matrix, filling: Matrix) -> Vector:
    return np.maximum(np.einsum("ij,jk,ki->i", bread, filling, bread, optimize=True), 0.0)
