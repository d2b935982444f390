"""Matrix-free and sketched Hessians: conjugate gradients on exact products, a preconditioner from elsewhere.

Source of the sketched form: Rokhlin, Tygert (2008), Avron, Maymounkov, Toledo (Blendenpik, 2010): the
triangular factor of a sketch of √D A preconditions AᵀDA to a condition number that A and D do not enter.
Difference from the papers of newtond's problems: there the sketch *is* the Hessian (see `sampled`); here
products are exact, so the rate does not depend on the sketch's accuracy.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from newtond.contract.solve import SketchKind
from newtond.contract.trace import SketchUse
from newtond.engine.curvature import NOISE
from newtond.engine.hessians import Direction, Request
from newtond.engine.hessians.conjugate_gradients import Operator, conjugate_gradients
from newtond.engine.objective import Objective
from newtond.engine.sketches import sketch
from newtond.engine.state import Matrix, Vector

FEWEST = 200


def solve(
    objective: Objective, request: Request, precondition: Operator, diagonal: Vector, used: SketchUse | None
) -> Direction | None:
    """Return the direction, or None where the true curvature is seen to be negative."""
    shift = objective.penalty.ridge + request.damping * diagonal

    def product(p: Vector) -> Vector:
        return request.curvature.product(objective.design, p, request.exact) + shift * p

    most = max(FEWEST, 2 * min(objective.design.width, 500))
    found = conjugate_gradients(product, -request.gradient, precondition, request.accuracy, most)
    if found.negative and request.exact:
        return None
    square = -float(request.gradient @ found.vector)
    decrement = float(np.sqrt(max(square, 0.0)))
    return Direction(found.vector, decrement, found.solved, found.iterations, used)


class FreeHessian:
    """Never forms a d × d array: preconditioned by the diagonal of the model Hessian."""

    def direction(self, objective: Objective, request: Request) -> Direction | None:
        """Return −H⁻¹g by conjugate gradients; see ``solve``."""
        diagonal = request.curvature.squares(objective.design) + objective.penalty.ridge
        diagonal[diagonal <= 0.0] = 1.0
        scale = (1.0 + request.damping) * diagonal
        return solve(objective, request, lambda r: r / scale, diagonal, None)


class SketchedHessian:
    """Preconditioned by the triangular factor of S √model A; its rows double with each ``escalation``."""

    def __init__(self, kind: SketchKind, rows: int | None) -> None:
        self.kind, self.rows = kind, rows

    def direction(self, objective: Objective, request: Request) -> Direction | None:
        """Return −H⁻¹g by conjugate gradients; see ``solve``."""
        design, drawn = objective.design, sketch(self.kind)
        rows = self.rows or drawn.default_rows(design.rows, design.width)
        rows <<= request.escalation
        roots = request.curvature.roots(design)
        images = [drawn.apply(matrix, root, rows, request.key) for matrix, root in roots]
        image = np.concatenate(images) if len(images) > 1 else images[0]
        ridge = objective.penalty.ridge
        squares = np.einsum("ij,ij->j", image, image)
        noise = 0.0
        if (whole := request.curvature.uncoupled(design)) is not None:
            squares, noise = _without_noise(image, squares, whole)
        diagonal = squares + ridge
        diagonal[diagonal <= 0.0] = 1.0
        precondition = _inverse(image, ridge + request.damping * diagonal, diagonal, noise)
        used = SketchUse(kind=self.kind, rows=len(image), **request.key._asdict())
        return solve(objective, request, precondition, diagonal, used)


def _without_noise(image: Matrix, squares: Vector, whole: Vector) -> tuple[Vector, float]:
    """Clear the columns of which only rounding is left, and return squares that keep steps along them small.

    ``whole`` are the squares before what is constant on groups cancels. Also returns how large rounding is in
    the columns that stay, at unit norm.
    """
    lost = squares <= NOISE**2 * whole
    image[:, lost] = 0.0
    ratio = np.max(whole[~lost] / squares[~lost], initial=0.0)
    return np.where(lost, whole, squares), NOISE * float(np.sqrt(ratio))


def _inverse(image: Matrix, shift: Vector, diagonal: Vector, noise: float) -> Operator:
    """Return r ↦ (imageᵀimage + diag(shift))⁻¹ r; directions no larger than ``noise`` at unit columns get 0.

    Dependent columns of A itself leave zeros, which the factor survives; what coupling makes dependent leaves
    rounding, whose inverse would swamp the rest: conjugate gradients then never leave its complement.
    """
    scale = 1.0 / np.sqrt(diagonal)
    kept = np.arange(len(scale))
    if noise > 0.0:
        factor, kept = _leading_factor(image, shift, diagonal, noise)
    else:
        factor = triangular_factor(image, shift, diagonal)

    def precondition(r: Vector) -> Vector:
        out = np.zeros_like(r)
        half = solve_triangular(factor, (scale * r)[kept], trans="T", check_finite=False)
        out[kept] = solve_triangular(factor, half, check_finite=False)
        return scale * out

    return precondition


def _leading_factor(
    image: Matrix, shift: Vector, diagonal: Vector, noise: float
) -> tuple[Matrix, NDArray[np.intp]]:
    """Return the triangular factor of the columns that are independent beyond ``noise``, and which these are."""
    width = len(diagonal)
    scale = 1.0 / np.sqrt(diagonal)
    stacked = np.concatenate([image * scale, np.diag(np.sqrt(shift) * scale)])
    factor, order = qr(stacked, mode="r", pivoting=True, overwrite_a=True, check_finite=False)
    rank = int(np.count_nonzero(np.abs(np.diag(factor[:width])) > noise * np.sqrt(width)))
    return factor[:rank, :rank], np.asarray(order[:rank], np.intp)


def triangular_factor(image: Matrix, shift: Vector, diagonal: Vector) -> Matrix:
    """Return R with RᵀR = D^{-1/2}(imageᵀimage + diag(shift))D^{-1/2} + u I, D = diag(diagonal), by QR.

    By QR and never by Cholesky of the Gram: a condition number of 1e8 of A must survive.
    """
    width = len(diagonal)
    scale = 1.0 / np.sqrt(diagonal)
    rounding = float(np.finfo(np.float64).eps)
    stacked = np.zeros((len(image) + width, width), order="F")
    stacked[: len(image)] = image * scale
    tail = np.sqrt(shift * scale * scale + rounding * rounding * width)
    stacked[len(image) + np.arange(width), np.arange(width)] = tail
    return cast(Matrix, qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][:width])
