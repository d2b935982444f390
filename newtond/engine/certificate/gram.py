"""The certificates of regressions on functions of AᵀA: errors measured by other code than the solver's.

A power is applied factor by factor in plain NumPy. A forward error is an estimate, ‖T⁻¹‖ times the residual and the
rounding that measuring it adds, over ‖x‖, with the singular values of a QR factor of A made here.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from newtond.contract.result import Certificate
from newtond.engine.certificate.proof import UNIT
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Csr, Matrix, Vector

MOST_FLOPS, LARGEST = 1e11, 2000


def certify_power(
    A: Csr | NDArray[np.float64], b: Vector, x: Vector, power: int, tall: bool, ridge: float
) -> Certificate:
    """Return loss, gradient, backward error (of the square form without a ridge) and estimates of κ and of errors."""
    rows = Rows(A, False)
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        fitted = _apply(rows, x, power, tall)
        residual = fitted - b
        gradient = _transpose(rows, residual, power, tall) + ridge * x
        at_zero = float(np.linalg.norm(_transpose(rows, b, power, tall)))
        factor = triangular_factor(A)
        projected = residual if not tall else _projected(rows.transpose(residual), factor)
        error = Error(factor, 2 * power + tall, ridge, projected, float(np.linalg.norm(gradient)))
        return _certificate(fitted, residual, gradient, at_zero, b, x, error, tall)


class Error:
    """The singular values of A, and what they make of residual and gradient: estimates of the error of x."""

    def __init__(
        self, factor: Matrix | None, exponent: int, ridge: float, projected: Vector | None, slope: float
    ) -> None:
        self.values = None if factor is None else padded(np.linalg.svd(factor, compute_uv=False), factor)
        self.exponent, self.ridge, self.slope = exponent, ridge, slope
        self.size = None if projected is None else float(np.linalg.norm(projected))

    def rank(self, length: int) -> int | None:
        """Return how many singular values stand clear of rounding."""
        if self.values is None:
            return None
        floor = max(length, len(self.values)) * 2.0 * UNIT * self.values.max(initial=0.0)
        return int(np.count_nonzero(self.values > floor))

    def condition(self, length: int) -> float:
        """Return the condition number of A on its range."""
        rank = self.rank(length)
        if self.values is None or rank is None:
            return np.inf
        return float(self.values[0] / self.values[rank - 1]) if rank else 1.0

    def forward(self, b: Vector, x: Vector) -> float | None:
        """Return an estimate of ‖x − x*‖/‖x‖ on the range of T."""
        length, rank = float(np.linalg.norm(x)), self.rank(len(b))
        if self.values is None or length == 0.0 or not rank:
            return None
        least = float(self.values[rank - 1]) ** self.exponent
        rounding = (self.exponent + 2.0) * 2.0 * UNIT * float(np.linalg.norm(b))
        if self.ridge > 0.0 or self.size is None:
            curvature = least * least + self.ridge
            return finite(
                (self.slope + rounding * float(self.values[0]) ** self.exponent) / (curvature * length)
            )
        return finite((self.size + rounding) / (least * length))


def _certificate(
    fitted: Vector,
    residual: Vector,
    gradient: Vector,
    at_zero: float,
    b: Vector,
    x: Vector,
    error: Error,
    tall: bool,
) -> Certificate:
    slope, size, ridge = error.slope, float(np.linalg.norm(residual)), error.ridge
    rank = error.rank(len(b))
    definite = ridge > 0.0 or error.exponent == 0 or rank == len(x)
    whole = float(np.linalg.norm(fitted) + np.linalg.norm(b))
    square = not tall and ridge == 0.0
    condition = error.condition(len(b))
    return Certificate(
        loss=finite(0.5 * size * size + 0.5 * ridge * float(x @ x)),
        gradient_norm=finite(slope),
        relative_gradient_norm=finite(slope / at_zero if at_zero else slope),
        curvature="global_minimum" if definite else "undetermined",
        scope="global" if definite else "none",
        strong_convexity=ridge if ridge > 0.0 else None,
        nullity=None if rank is None else len(x) - rank,
        backward_error=finite(size / whole if whole else 0.0) if square else None,
        estimates={
            "condition_number": finite(condition),
            "power_condition_number": finite(condition**error.exponent),
            "forward_error": error.forward(b, x),
        },
        statements=_statements(definite, ridge, square),
    )


def _statements(definite: bool, ridge: float, square: bool) -> list[str]:
    said = ["linear least squares: convex, and a point of zero gradient is a global minimum"]
    if ridge > 0.0:
        said.append(f"strictly convex: the ridge is a modulus of {ridge:g}")
    elif definite:
        said.append("strictly convex: the singular values of A stand clear of rounding")
    else:
        said.append("A is rank deficient, or its rank unknown: minimisers differ by the null space of A")
    if square:
        said.append(
            "backward_error is ‖Tx − b‖/(‖Tx‖ + ‖b‖), no less than the smallest relative change of T and b"
        )
    return said


def triangular_factor(A: Csr | NDArray[np.float64]) -> Matrix | None:
    """Return R of A = QR, a chunk of rows at a time; None where that costs too much."""
    n, d = A.shape
    if d > LARGEST or 2.0 * n * d * d > MOST_FLOPS:
        return None
    top = np.zeros((0, d))
    height = max(4 * d, 1024)
    for _, block in Rows(A, False).chunks():
        for low in range(0, block.shape[0], height):
            part = block[low : low + height]
            dense = part if isinstance(part, np.ndarray) else part.toarray()
            top = np.asarray(np.linalg.qr(np.vstack([top, dense]), mode="r"))
    return top


def padded(values: NDArray[np.floating], factor: Matrix) -> Vector:
    """Return the singular values of A, zeros included."""
    return np.concatenate([np.asarray(values, np.float64), np.zeros(factor.shape[1] - len(values))])


def _projected(image: Vector, factor: Matrix | None) -> Vector | None:
    """Return R⁻ᵀ Aᵀr, the residual's part in the range of A, where R is square and regular."""
    if factor is None or factor.shape[0] < factor.shape[1] or not np.diag(factor).all():
        return None
    return np.asarray(solve_triangular(factor, image, trans="T", check_finite=False))


def _apply(rows: Rows, x: Vector, power: int, tall: bool) -> Vector:
    for _ in range(power):
        x = rows.transpose(rows.predictor(x))
    return rows.predictor(x) if tall else x


def _transpose(rows: Rows, r: Vector, power: int, tall: bool) -> Vector:
    g = rows.transpose(r) if tall else r
    return _apply(rows, g, power, False)


def finite(value: float) -> float | None:
    """Return the value, None where it is not finite."""
    return float(value) if np.isfinite(value) else None
