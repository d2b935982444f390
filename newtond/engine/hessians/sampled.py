"""The papers' own Hessian: AᵀD̃A with D̃ a leverage-score sample of the rows of √D A, used as the Hessian.

Source: Li, Song, Zhou, arXiv:2303.15725 (2023), after Deng, Song, Weinstein (2022): per step a D̃ of about
ε₀⁻² d log n entries with (1 − ε₀)H ≤ H̃ ≤ (1 + ε₀)H, and then x ← x − H̃⁻¹g. It needs D > 0.
Differences from the source: Bernoulli draws, estimated scores (see `sketches.leverage`), ε₀ = 1/4 by default:
the papers' ε₀ = 0.01 asks for more rows than almost any job has.
"""

import numpy as np

from newtond.contract.trace import SketchUse
from newtond.engine.curvature import DiagonalCurvature
from newtond.engine.hessians import Direction, Request
from newtond.engine.hessians.dense import factorise
from newtond.engine.objective import Objective
from newtond.engine.sketches.leverage import sample, scores

ACCURACY = 0.25


def default_rows(n: int, width: int) -> int:
    """Return d log n / ε₀² rows for ε₀ = 1/4, at most n."""
    return min(n, int(np.ceil(width * np.log(max(n, 2)) / ACCURACY**2)))


class SampledHessian:
    """Draws D̃ anew for each iteration's key."""

    def __init__(self, rows: int | None) -> None:
        self.rows = rows

    def direction(self, objective: Objective, request: Request) -> Direction | None:
        """Return −H̃⁻¹g, or None where the sample leaves H̃ singular."""
        design = objective.design
        assert isinstance(request.curvature, DiagonalCurvature)  # `planning` refuses the others
        root = np.sqrt(request.curvature.weights)
        rows = self.rows or default_rows(design.rows, design.width)
        kept, probabilities = sample(scores(design, root, request.key), rows, request.key)
        image = design.take(kept) * (root[kept] / np.sqrt(probabilities))[:, None]
        matrix = image.T @ image
        matrix[np.diag_indices_from(matrix)] += objective.penalty.ridge
        factored = factorise(matrix, 0.0)
        if factored is None:
            return None
        vector = -factored.solve(request.gradient)
        decrement = np.sqrt(max(-float(request.gradient @ vector), 0.0))
        used = SketchUse(kind="leverage", rows=len(kept), **request.key._asdict())
        return Direction(vector, decrement, True, sketch=used)
