"""The pseudo-inverse of a power of the Gram matrix by one factor, R of A = QR: two triangular solves a link.

With a ridge, or where the rank is deficient, by the singular values of R instead: σᵖ/(σ²ᵖ + λ), which is 0 beyond
the rank.
"""

from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from newtond.engine.design import DesignMatrix
from newtond.engine.methods.orthogonal import Spectrum, Triangle, spectrum, triangle
from newtond.engine.methods.power_chain import Point, Power
from newtond.engine.state import Vector


class FactorablePower(Power, Protocol):
    """T = (AᵀA)ʲ or A (AᵀA)ʲ whose A can be factorised; ``power`` is 2j or 2j + 1."""

    design: DesignMatrix
    power: int

    @property
    def scaled_ridge(self) -> float: ...


class FactorChain:
    """T⁺ by R of A = QR: triangular solves, or singular values where there is a ridge or the rank is deficient."""

    def __init__(self, power: FactorablePower) -> None:
        self.power = power
        self.triangle: Triangle = triangle(power.design, power.target if power.tall else None)
        self.spectrum: Spectrum = spectrum(self.triangle.factor, power.design.rows)
        self.whole = self.spectrum.rank == power.width and power.scaled_ridge == 0.0

    def __call__(self, here: Point) -> Vector:
        """Return the correction of x: the whole solution where x = 0."""
        if not here.x.any():
            return self._solve(cast(Vector, self.triangle.projected) if self.power.tall else here.residual)
        if not self.whole:
            return self._by_spectrum_of_gradient(here)
        image = self.power.first(here.residual)
        return self._solve(self._back(image) if self.power.tall else image)

    def _back(self, image: Vector) -> Vector:
        return solve_triangular(self.triangle.factor, image, trans="T", check_finite=False)

    def _solve(self, right: Vector) -> Vector:
        """Return T⁺ of b (form gram) or of Qᵀb."""
        if not self.whole:
            return self._by_spectrum(right)
        factor = self.triangle.factor
        x = solve_triangular(factor, right, check_finite=False) if self.power.tall else right
        for _ in range(self.power.power // 2):
            x = solve_triangular(factor, self._back(x), check_finite=False)
        return x

    def _gains(self) -> tuple[Vector, NDArray[np.bool_]]:
        """Return σᵖ (1 for every σ where p = 0) and where it counts."""
        values, p = self.spectrum.values, self.power.power
        counts = (np.arange(len(values)) < self.spectrum.rank) | (p == 0)
        return np.where(counts, values**p if p else 1.0, 0.0), counts

    def _by_spectrum(self, right: Vector) -> Vector:
        gains, counts = self._gains()
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.where(counts & (gains > 0.0), 1.0 / (gains + self.power.scaled_ridge / gains), 0.0)
        basis = self.spectrum.left if self.power.tall else self.spectrum.right
        return self.spectrum.right @ (inverse * (right @ basis))

    def _by_spectrum_of_gradient(self, here: Point) -> Vector:
        gains, counts = self._gains()
        curvature = gains * gains + self.power.scaled_ridge
        slope = self.power.gradient(here.x, here.residual) @ self.spectrum.right
        step = np.where(counts & (curvature > 0.0), -slope / np.where(curvature > 0.0, curvature, 1.0), 0.0)
        return self.spectrum.right @ step
