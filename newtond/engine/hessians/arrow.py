"""The exact Hessian of a design with many mutually exclusive columns, such as the levels of a factor.

Columns E of which no row holds two have a diagonal block in AᵀDA, so with R the other columns

    H = [Δ  B; Bᵀ  C],   S = C − BᵀΔ⁻¹B,   H⁻¹g = (Δ⁻¹(g_E − B x_R), x_R),   x_R = S⁻¹(g_R − BᵀΔ⁻¹g_E),     (1)

and only S, the Schur complement (Gauss elimination of E), is factorised: |E||R|² + |R|³/3 instead of d³/3.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from newtond.engine.curvature import Curvature, DiagonalCurvature
from newtond.engine.design import Arrow
from newtond.engine.hessians.dense import ROUNDING, DenseFactor, ExactHessian, factorise
from newtond.engine.objective import Objective
from newtond.engine.state import Matrix, Vector


class Blocks(NamedTuple):
    """Δ (|E|), B (|E|, |R|) and the upper triangle of C (|R|, |R|)."""

    head: Vector
    border: Matrix
    tail: Matrix


@dataclass(frozen=True)
class ArrowFactor:
    """Δ and B of H as it was factorised, damping included, and the factor of its Schur complement."""

    arrow: Arrow
    head: Vector
    border: Matrix
    schur: DenseFactor

    def solve(self, right: Vector) -> Vector:
        """Return H⁻¹ right."""
        of_head, of_tail = right[self.arrow.head], right[self.arrow.tail]
        out = np.empty_like(right)
        tail = self.schur.solve(of_tail - (of_head / self.head) @ self.border)
        out[self.arrow.tail] = tail
        out[self.arrow.head] = (of_head - self.border @ tail) / self.head
        return out

    def square(self, step: Vector) -> float:
        """Return stepᵀ H step."""
        of_head, of_tail = step[self.arrow.head], step[self.arrow.tail]
        shifted = of_head + (self.border @ of_tail) / self.head
        return float(shifted @ (self.head * shifted)) + self.schur.square(of_tail)


@dataclass(frozen=True)
class ArrowForm:
    """As an arrow: a diagonal and its border."""

    arrow: Arrow

    def form(self, objective: Objective, curvature: Curvature, exact: bool) -> Blocks:
        assert isinstance(curvature, DiagonalCurvature)
        weights = curvature.weights if exact else curvature.model
        blocks = Blocks(*objective.design.arrow_gram(weights, self.arrow))
        ridge = objective.penalty.ridge
        blocks.head[:] += ridge[self.arrow.head]
        blocks.tail[np.diag_indices_from(blocks.tail)] += ridge[self.arrow.tail]
        return blocks

    def factorise(self, formed: Blocks, damping: float) -> ArrowFactor | None:
        head, border, tail = formed
        corner = np.diag(tail)
        if not (np.isfinite(head).all() and np.isfinite(corner).all()) or (head < 0.0).any():
            return None
        raised = 1.0 + damping + 4.0 * (len(head) + len(corner)) * ROUNDING
        head = np.where(head > 0.0, head * raised, 1.0)
        tail = tail.copy()
        tail[np.diag_indices_from(tail)] = np.where(corner != 0.0, corner * raised, 1.0)
        root = border / np.sqrt(head)[:, None]
        schur = factorise(tail - root.T @ root, 0.0)
        return None if schur is None else ArrowFactor(self.arrow, head, border, schur)


def arrow_hessian(arrow: Arrow) -> ExactHessian:
    """Return the Hessian by its Schur complement."""
    return ExactHessian(ArrowForm(arrow))
