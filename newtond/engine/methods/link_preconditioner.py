"""Preconditioners of AᵀA for the links of a chain: a sketch of A, or its columns' squares."""

import numpy as np
from scipy.linalg import solve_triangular

from newtond.contract.solve import SketchSpec
from newtond.engine.design import DesignMatrix
from newtond.engine.hessians.conjugate_gradients import Operator
from newtond.engine.hessians.krylov import triangular_factor
from newtond.engine.sketches import Key, sketch
from newtond.engine.state import Matrix, Vector

POWER_STEPS = 40


def sketched(design: DesignMatrix, root: Vector, drawn: SketchSpec, seed: int) -> tuple[Operator, float]:
    """Return the preconditioner of Aᵀ diag(root²) A by a sketch, and the condition number that the sketch has."""
    rows = drawn.rows or sketch(drawn.kind).default_rows(design.rows, design.width)
    image = sketch(drawn.kind).apply(design, root, rows, Key(seed, 0))
    diagonal = np.einsum("ij,ij->j", image, image)
    diagonal[diagonal <= 0.0] = 1.0
    factor, scale = triangular_factor(image, np.zeros(design.width), diagonal), 1.0 / np.sqrt(diagonal)

    def precondition(r: Vector) -> Vector:
        half = solve_triangular(factor, scale * r, trans="T", check_finite=False)
        return np.asarray(scale * solve_triangular(factor, half, check_finite=False))

    return precondition, _condition(factor / scale)


def _condition(factor: Matrix) -> float:
    """Return a lower estimate of the condition number of a triangular matrix, by power iteration."""

    def growth(step: Operator) -> float:
        vector, size = np.linspace(1.0, 2.0, len(factor)), 1.0
        for _ in range(POWER_STEPS):
            vector = step(vector / np.linalg.norm(vector))
            size = float(np.linalg.norm(vector))
        return float(np.sqrt(size))

    def back(v: Vector) -> Vector:
        half = solve_triangular(factor, v, trans="T", check_finite=False)
        return np.asarray(solve_triangular(factor, half, check_finite=False))

    return growth(lambda v: factor.T @ (factor @ v)) * growth(back)


def scaled(squares: Vector) -> Operator:
    """Return the inverse of diag(squares), 0 where a column is."""
    inverse = np.where(squares > 0.0, 1.0 / np.where(squares > 0.0, squares, 1.0), 0.0)
    return lambda r: inverse * r
