"""The certificate of kernel ridge regression, (K + λI)x = b with K = exp(A Aᵀ): how far x is from the minimiser.

K + λI ≥ λI, so ‖x − x*‖ ≤ ‖(K + λI)x − b‖/λ. The residual is computed anew in plain NumPy, from inner products
where the solver takes differences, as D (G y) with y = D x; its rounding is bounded and added.
"""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from newtond.contract.result import Certificate
from newtond.engine.certificate.proof import UNIT, gamma
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Csr, Matrix, Vector

CHUNK = 1 << 22
EXP_ULPS = 8.0
SMALLEST = 1e-290
OUTWARD = 1.001


def certify_kernel(
    A: Csr | NDArray[np.float64], b: Vector, arrays: Mapping[str, Vector], ridge: float
) -> Certificate:
    """Return loss, residual, the bound of the distance (with a ridge) and the backward error."""
    x, y = arrays["x"], arrays["y"]
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        points = _Points(A)
        image, slack = points.product(y)
        residual = image + ridge * x - b
        slack += 4.0 * UNIT * (np.abs(image) + ridge * np.abs(x) + np.abs(b))
        return _certificate(points, x, y, b, image, residual, slack, ridge)


def _certificate(
    points: "_Points",
    x: Vector,
    y: Vector,
    b: Vector,
    image: Vector,
    residual: Vector,
    slack: Vector,
    ridge: float,
) -> Certificate:
    size, error = _norm(residual), _norm(slack)
    lost = bool(np.any((np.abs(x) < SMALLEST) & (y != 0.0)))
    bound = OUTWARD * (size + error) / ridge if ridge > 0.0 and not lost else None
    bound = bound if bound is not None and np.isfinite(bound) else None
    length, target = _norm(x), _norm(b)
    loss = 0.5 * float(np.sum((image - b) ** 2)) + 0.5 * ridge * float(x @ image)
    whole = _norm(image + ridge * x) + target
    return Certificate(
        loss=_finite(loss),
        gradient_norm=_finite(size),
        relative_gradient_norm=_finite(size / target if target else size),
        curvature="global_minimum" if bound is not None else "undetermined",
        scope="global" if bound is not None else "none",
        distance_bound=bound,
        backward_error=_finite(size / whole if whole else 0.0),
        estimates={
            "residual_over_ridge": _finite(size / (ridge * length)) if ridge > 0.0 and length else None,
            "residual_rounding": _finite(error),
        },
        statements=_statements(bound, length, lost, ridge),
    )


def _statements(bound: float | None, length: float, lost: bool, ridge: float) -> list[str]:
    said = ["gradient_norm is ‖(K + λI)x − b‖, the gradient in the metric of K"]
    if bound is not None:
        relative = f", {bound / length:.1e} of ‖x‖" if length else ""
        said.append(f"K + λI ≥ λI: the one minimiser lies within {bound:.1e} of x{relative}")
        if length and bound > 0.01 * length:
            said.append(
                "that is no proof of accuracy: the ridge is too small beside K for float64, so judge the fit"
            )
    elif lost:
        said.append(
            "x has entries below the smallest float64: only y = Dx is an answer, and no bound is proven of x"
        )
    elif ridge == 0.0:
        said.append(
            "no ridge: K has no proven lower bound, so a small residual says nothing of the distance of x"
        )
    return said


class _Points:
    """The rows of A as NumPy reads them, centred: G does not feel a shift, and distances lose less."""

    def __init__(self, A: Csr | NDArray[np.float64]) -> None:
        self._rows = Rows(A, False)
        self.n, self.d = self._rows.n, self._rows.d
        self._sparse = isinstance(A, Csr) and self.n * self.d > CHUNK
        centred = np.zeros(self.d) if self._sparse else self._rows.transpose(np.ones(self.n)) / self.n
        self._centre = centred
        self.half = 0.5 * self._squares(np.zeros(self.d))
        self._centred = 0.5 * self._squares(self._centre)

    def _squares(self, centre: Vector) -> Vector:
        out = np.empty(self.n)
        for rows, block in self._rows.chunks():
            if isinstance(block, np.ndarray) or not self._sparse:
                out[rows] = np.sum(np.square(_dense(block) - centre), axis=1)
            else:
                out[rows] = np.asarray(block.power(2).sum(axis=1)).ravel()
        return out

    def product(self, y: Vector) -> tuple[Vector, Vector]:
        """Return D (G y) and a bound of what rounding did to it, the rounding of y = D x included (n)."""
        total = np.zeros((self.n, 2))
        both = np.column_stack([y, np.abs(y)])
        step = max(1, min(self.n, CHUNK // self.n))
        for low in range(0, self.n, step):
            total[low : low + step] = self._kernel_rows(slice(low, min(low + step, self.n))) @ both
        growth = np.exp(self.half)
        spread = self._centred + self._centred.max()
        exponent = (self.d + 8.0) * UNIT * (4.0 * spread + 2.0 * self.half + 2.0 * self.half.max())
        relative = gamma(self.n + 8) + 4.0 * EXP_ULPS * UNIT + exponent
        return growth * total[:, 0], OUTWARD * growth * relative * total[:, 1]

    def _kernel_rows(self, rows: slice) -> Matrix:
        inner = self._inner(rows)
        inner -= self._centred
        inner -= self._centred[rows, None]
        np.minimum(inner, 0.0, out=inner)
        return np.exp(inner, out=inner)

    def _inner(self, rows: slice) -> Matrix:
        """Return the inner products of these points with all (len(rows), n)."""
        mine = _dense(self._rows.take(rows)) - self._centre
        if not self._sparse:
            parts = [mine @ (_dense(block) - self._centre).T for _, block in self._rows.chunks()]
        else:
            parts = [(block @ mine.T).T for _, block in self._rows.chunks()]
        return np.concatenate(parts, axis=1)


def _dense(block: sp.csr_array | Matrix) -> Matrix:
    return block if isinstance(block, np.ndarray) else block.toarray()


def _norm(vector: Vector) -> float:
    largest = float(np.max(np.abs(vector), initial=0.0))
    return largest * float(np.linalg.norm(vector / largest)) if 0.0 < largest < np.inf else largest


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
