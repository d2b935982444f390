"""The certificate of regression on e(AᵀA): x* = f(AᵀA) b computed by other means than the solver's.

Small matrices: eigenvalues of AᵀA itself, where the solver takes singular values. Others: a Chebyshev expansion of f
on [0, S], S ≥ ‖A‖² by norms that are summed, where the solver builds a Krylov space. Both are estimates: float64 has
no proven bound for either here.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from threadpoolctl import threadpool_limits

from newtond.contract.result import Certificate
from newtond.engine.certificate.gram import finite
from newtond.engine.certificate.proof import UNIT
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Csr, Vector

LARGEST, MOST_FLOPS = 1000, 1e11
MOST_TERMS = 1 << 13
NEGLIGIBLE = 1e-17
Growth = Callable[[Vector], Vector]


def certify_exponential(
    A: Csr | NDArray[np.float64], b: Vector, x: Vector, log_growth: Growth, ridge: float
) -> Certificate:
    """Return ‖x − f(AᵀA) b‖ as gradient_norm (the length of Newton's step), the loss where float64 can measure it."""
    rows = Rows(A, False)

    def function(s: Vector) -> Vector:
        shrunk = np.exp(-log_growth(np.maximum(s, 0.0)))
        return shrunk / (1.0 + ridge * shrunk * shrunk)

    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        if rows.d <= LARGEST and 2.0 * rows.n * rows.d**2 <= MOST_FLOPS:
            values, vectors = np.linalg.eigh(rows.gram(np.ones(rows.n)))
            values = np.maximum(values, 0.0)
            other: Vector | None = vectors @ (function(values) * (vectors.T @ b))
            growth = log_growth(values)
            loss = _loss(growth, vectors.T @ x, vectors.T @ b, ridge)
            return _certificate(b, x, other, loss, ridge, float(np.ptp(growth)))
        return _certificate(b, x, _chebyshev(rows, b, function), None, ridge, None)


def _certificate(
    b: Vector, x: Vector, other: Vector | None, loss: float | None, ridge: float, spread: float | None
) -> Certificate:
    length = float(np.linalg.norm(x))
    step = None if other is None else float(np.linalg.norm(x - other))
    size = 0.0 if other is None else float(np.linalg.norm(other))
    relative = None if step is None else step / size if size else step
    said = [
        "gradient_norm is ‖x − f(AᵀA) b‖, the length of Newton's step: the gradient itself carries e^{2s}"
    ]
    said.append("strictly convex, since exp(AᵀA) ≥ I: there is one minimiser")
    if other is None:
        said.append("‖A‖ is so large that checking x by another expansion was not done")
    if loss is None:
        said.append(
            "the residual exp(AᵀA) x − b is beyond what float64 can measure, or A too large: no loss is given"
        )
    return Certificate(
        loss=loss,
        gradient_norm=finite(step) if step is not None else None,
        relative_gradient_norm=finite(relative) if relative is not None else None,
        curvature="global_minimum",
        scope="global",
        strong_convexity=1.0 + ridge,
        estimates={
            "forward_error": finite(relative) if relative is not None else None,
            "forward_error_rounding": finite(UNIT * float(np.linalg.norm(b)) / length) if length else None,
            "log10_condition_number": None if spread is None else finite(spread / np.log(10.0)),
        },
        statements=said,
    )


def _loss(growth: Vector, x: Vector, b: Vector, ridge: float) -> float | None:
    """Return F in the coordinates of the eigenvectors, None where rounding is more than a thousandth of b."""
    noise = UNIT * float(np.linalg.norm(x)) * np.exp(growth.max())
    if not noise <= 1e-3 * float(np.linalg.norm(b)) and b.any():
        return None
    return finite(0.5 * float(np.sum((np.exp(growth) * x - b) ** 2)) + 0.5 * ridge * float(x @ x))


def _chebyshev(rows: Rows, b: Vector, function: Growth) -> Vector | None:
    """Return f(AᵀA) b by its Chebyshev expansion, None where that is too long."""
    ceiling = _ceiling(rows)
    coefficients = _coefficients(function, ceiling)
    if coefficients is None:
        return None

    def product(v: Vector) -> Vector:
        return (2.0 / ceiling) * rows.transpose(rows.predictor(v)) - v

    before, now = b, product(b)
    total = coefficients[0] * before + (coefficients[1] * now if len(coefficients) > 1 else 0.0)
    for c in coefficients[2:]:
        before, now = now, 2.0 * product(now) - before
        total = total + c * now
    return np.asarray(total)


def _ceiling(rows: Rows) -> float:
    """Return at least ‖A‖²: the smaller of ‖A‖_F² and ‖A‖₁‖A‖_∞."""
    frobenius = float(rows.column_squares(np.ones(rows.n)).sum())
    sums = float(rows.absolute_transpose(np.ones(rows.n)).max()) * float(
        rows.absolute_predictor(np.ones(rows.d)).max()
    )
    return max(1.001 * min(frobenius, sums), 1e-300)


def _coefficients(function: Growth, ceiling: float) -> Vector | None:
    terms = 64
    while terms <= MOST_TERMS:
        nodes = np.cos(np.pi * (np.arange(terms) + 0.5) / terms)
        found = dct(function(0.5 * ceiling * (nodes + 1.0)), type=2) / terms
        found[0] *= 0.5
        if np.abs(found[-terms // 8 :]).max() <= max(NEGLIGIBLE, 4.0 * UNIT * np.abs(found).max()):
            kept = np.flatnonzero(np.abs(found) > NEGLIGIBLE * np.abs(found).max())
            return np.asarray(found[: kept[-1] + 1] if kept.size else found[:1])
        terms *= 2
    return None
