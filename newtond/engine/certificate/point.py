"""A point under examination: its predictor and gradient, with bounds on what rounding did to them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from newtond.engine.certificate.proof import EVALUATION_ULPS, UNIT, Form, Pointwise, PredictorLoss, gamma
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Vector

OUTWARD = 1.001
"""Norms and radii are computed with errors far below this factor."""
UNDERFLOW = 1e-290
"""Far above what a function value below the smallest normal number loses."""


@dataclass(frozen=True)
class Point:
    """y = (x, intercept) of the objective F(y) = f(Ãy) + ½ yᵀ diag(penalty) y."""

    rows: Rows
    loss: PredictorLoss
    penalty: Vector
    y: Vector

    @cached_property
    def z(self) -> Vector:
        return self.rows.predictor(self.y)

    @cached_property
    def expansion(self) -> Pointwise:
        return self.loss.expand(self.z)

    @cached_property
    def value(self) -> float:
        return float(self.expansion.value) + 0.5 * float(self.penalty @ np.square(self.y))

    @cached_property
    def gradient(self) -> Vector:
        return self.rows.transpose(self.expansion.gradient) + self.penalty * self.y

    @cached_property
    def norms(self) -> Vector:
        return OUTWARD * self.rows.norms(np.ones_like(self.y))

    @cached_property
    def drift(self) -> Vector:
        """At least |z − Ãy| and the roundings of z ± reach, (n,)."""
        return self._rounding(self.y)

    def _rounding(self, v: Vector) -> Vector:
        return OUTWARD * gamma(self.rows.widest + 4) * self.rows.absolute_predictor(np.abs(v))

    @cached_property
    def gradient_bound(self) -> Vector:
        """At least |∂F/∂yⱼ| of the exact gradient at y, (p,)."""
        low, high = self.z - self.drift, self.z + self.drift
        steepness = np.maximum(
            np.abs(self.loss.curvature_floor(low, high)), np.abs(self.loss.curvature_ceiling(low, high))
        )
        entry = EVALUATION_ULPS * UNIT * self.loss.gradient_scale(self.z) + steepness * self.drift
        entry += gamma(self.rows.fine_terms + 2) * np.abs(self.expansion.gradient) + UNDERFLOW
        error = self.rows.absolute_transpose(entry) + 4.0 * UNIT * (
            self.penalty * np.abs(self.y) + np.abs(self.gradient)
        )
        return OUTWARD * error + np.abs(self.gradient)

    def floors(self, reach: Vector) -> Vector:
        """Return proven lower bounds of the curvature weights for predictors within ``reach`` of Ãy, (n,)."""
        reach = reach + self.drift
        return self.loss.curvature_floor(self.z - reach, self.z + reach)

    def form(self, weights: Vector) -> Form:
        """Return Ãᵀ diag(weights) Ã + diag(penalty)."""
        H = self.rows.thrifty_gram(weights)
        if isinstance(H, np.ndarray):
            H[np.diag_indices_from(H)] += self.penalty
        else:
            H = sp.csr_array(H + sp.diags_array(self.penalty))
        absolute = OUTWARD * (self.rows.column_squares(np.abs(weights)) + self.penalty)
        return Form(H, absolute, gamma(self.rows.terms + 4) * (self.rows.widest + 1))

    def curvature(self, v: Vector) -> Vector:
        """Return H v for the Hessian at y, (p,)."""
        return self.rows.transpose(self.expansion.weights * self.rows.predictor(v)) + self.penalty * v

    def curvature_ceiling_along(self, v: Vector) -> float:
        """Return at least vᵀHv / vᵀv: negative proves a direction of negative curvature at y."""
        v = v / np.linalg.norm(v)
        ceiling = self.loss.curvature_ceiling(self.z - self.drift, self.z + self.drift)
        image, slack = np.abs(self.rows.predictor(v)), self._rounding(v)
        squares = np.where(ceiling > 0.0, image + slack, np.maximum(image - slack, 0.0)) ** 2
        terms = np.concatenate([ceiling * squares, self.penalty * np.square(v)])
        return float(np.sum(terms) + 2.0 * gamma(len(terms) + 4) * np.sum(np.abs(terms)))
