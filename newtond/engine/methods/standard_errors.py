"""Standard errors of the unknowns of ½ Σ v r² + regulariser: classical, and robust to unequal variances (sandwich).

With J = ∂r/∂x, H the model JᵀVJ + the regulariser's Hessian, G the Hessian itself and sₖ = JₖᵀVₖrₖ the score of
part k of the data, parts being independent of each other (a row, or a group of rows that share noise),

    classical: σ² H⁻¹ (JᵀVJ) H⁻¹,   σ² = Σ v r²/(m − tr H⁻¹JᵀVJ)                                          (1)
    sandwich:  G⁻¹ (Σ sₖsₖᵀ) G⁻¹                                                                          (2)

m counts the residuals that vary freely. Without a regulariser (1) is σ²(JᵀVJ)⁻¹ with m less the number of
coefficients; with one they are the errors of the shrunk estimate about its own mean: its bias is not in them.
Sources: White (1980), and Liang, Zeger (1986) for parts of several rows; no factor for small samples.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from newtond.contract.solve import SolveSpec
from newtond.engine.state import Matrix, Vector

LARGEST = 5000
CONDITION = 2e6
NEAR = 0.1
MATRICES = 9


@dataclass(frozen=True)
class Moments:
    """What (1) and (2) are made of at x; matrices are (p, p), both triangles filled.

    ``size`` (p) scales the unknowns: the diagonal of H before anything in it cancels. ``scores`` is None where
    there are too few parts, ``remark`` says why, or what they are. ``noise`` is the Newton decrement that
    rounding leaves.
    """

    hessian: Matrix
    model: Matrix
    data: Matrix
    scores: Matrix | None
    remark: str
    size: Vector
    gradient: Vector
    squares: float
    rows: int
    noise: float


@dataclass(frozen=True)
class StandardErrors:
    """Errors of every unknown (p), None where there are none, and why in words."""

    classical: Vector | None
    sandwich: Vector | None
    remarks: tuple[str, ...] = ()


def standard_errors(moments: Moments, outward: Matrix | None = None) -> StandardErrors:
    """Return the errors of x, or of outward · x; costs two factorisations and four products of p³."""
    if not (moments.size > 0.0).all():
        return without("some coefficient has no data")
    unit = 1.0 / np.sqrt(moments.size)
    model, true = _inverse(moments.model, unit), _inverse(moments.hessian, unit)
    if model is None or true is None:
        return without(
            "the Hessian is not positive definite to working accuracy, so some coefficient is not identified"
        )
    data = _scaled(moments.data, unit)
    freedom = moments.rows - float(np.sum(model * data))
    if freedom < 0.5:
        return without("there are no more rows than coefficients")
    variance = moments.squares / freedom
    step = unit * moments.gradient
    decrement = float(np.sqrt(step @ true @ step))
    if decrement > max(NEAR * np.sqrt(variance), moments.noise):
        return without("x is too far from a minimum: a Newton step would move it by more than a tenth of one")
    bread = _turned(model, unit, outward)
    classical = np.sqrt(variance) * _roots(bread, data)
    if moments.scores is None:
        return StandardErrors(classical, None, (f"no sandwich errors: {moments.remark}",))
    sandwich = _roots(_turned(true, unit, outward), _scaled(moments.scores, unit))
    return StandardErrors(classical, sandwich, (moments.remark,) if moments.remark else ())


def errors_memory(spec: SolveSpec, width: int) -> int:
    """Return the bytes that the errors of this many coefficients take, where they are asked for."""
    return MATRICES * 8 * width**2 if "standard_errors" in spec.outputs and width <= LARGEST else 0


def without(reason: str) -> StandardErrors:
    """Return no errors, for this reason."""
    return StandardErrors(None, None, (f"no standard errors: {reason}",))


def both_triangles(upper: Matrix) -> Matrix:
    """Return the symmetric matrix of this upper triangle."""
    above = np.triu(upper, 1)
    above += above.T
    above[np.diag_indices_from(above)] = np.diag(upper)
    return above


def _scaled(matrix: Matrix, unit: Vector) -> Matrix:
    scaled: Matrix = matrix * unit
    scaled *= unit[:, None]
    return scaled


def _inverse(matrix: Matrix, unit: Vector) -> Matrix | None:
    """Return the inverse of the scaled matrix, None where that is not clearly positive definite."""
    try:
        factor = cho_factor(_scaled(matrix, unit), overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    if not np.diag(factor[0]).min() >= 1.0 / CONDITION:
        return None
    return np.asarray(cho_solve(factor, np.eye(len(unit)), overwrite_b=True, check_finite=False))


def _turned(inverse: Matrix, unit: Vector, outward: Matrix | None) -> Matrix:
    """Return outward · diag(unit) · inverse."""
    return unit[:, None] * inverse if outward is None else (outward * unit) @ inverse


def _roots(bread: Matrix, filling: Matrix) -> Vector:
    """Return the square roots of the diagonal of bread · filling · breadᵀ."""
    return np.sqrt(np.maximum(np.einsum("ij,ij->i", bread @ filling, bread), 0.0))
