"""The certificate of linear least squares: any loss's, and how small a change of the data makes x exact."""

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from newtond.contract.result import Certificate
from newtond.engine.certificate.point import Point
from newtond.engine.certificate.predictor import certify_predictor, point_of
from newtond.engine.certificate.proof import PredictorLoss
from newtond.engine.state import Csr, Vector


def certify_linear(
    A: Csr | NDArray[np.float64], x: Vector, intercept: float | None, loss: PredictorLoss, ridge: float
) -> Certificate:
    """Return ``certify_predictor`` with the normwise backward error and a forward-error estimate.

    With M the stacked matrix [√v A; diag(w)A; √λ I] (so MᵀM = H), r its residual and g = Mᵀr: x is the exact
    minimiser for M + E with ‖E‖ = ‖g‖/‖r‖ (E = −r gᵀ/‖r‖², Stewart 1977), and solves Mx = b exactly for
    ‖E‖ = ‖r‖/‖x‖; the backward error is the smaller of the two over ‖M‖_F. The forward error is estimated by
    η(κ + κ²‖r‖/(‖M‖‖x‖)), κ = √(λ_max/λ_min) from the factor (Higham, Theorem 20.1).
    """
    certificate = certify_predictor(A, x, intercept, loss, ridge)
    if certificate.gradient_norm is None:
        return certificate
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        point = point_of(A, x, intercept, loss, ridge)
        error, slope = _backward_error(point)
    estimates = {**certificate.estimates, "forward_error": _forward_error(certificate, error, slope)}
    return certificate.model_copy(update={"backward_error": error, "estimates": estimates})


def _backward_error(point: Point) -> tuple[float | None, float]:
    """Return η and ‖r‖/(‖M‖_F ‖x‖)."""
    size = float(np.sqrt(np.sum(point.rows.column_squares(point.expansion.weights) + point.penalty)))
    residual, length = float(np.sqrt(2.0 * max(point.value, 0.0))), float(np.linalg.norm(point.y))
    if residual == 0.0:
        return 0.0, 0.0
    slope = residual / (size * length) if size * length > 0.0 else np.inf
    error = min(
        slope, float(np.linalg.norm(point.gradient_bound)) / (size * residual) if size > 0.0 else np.inf
    )
    return (error if np.isfinite(error) else None), slope


def _forward_error(certificate: Certificate, error: float | None, slope: float) -> float | None:
    square = certificate.estimates.get("condition_number")
    if square is None or error is None:
        return None
    estimate = error * (np.sqrt(square) + square * slope)
    return float(estimate) if np.isfinite(estimate) else None
