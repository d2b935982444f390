"""F, gradient and Hessian product by NumPy and SciPy, as a careful user would write them for SciPy's optimisers."""

import numpy as np

from benchmarks.problem import Instance, Vector


class Objective:
    """The objective over the extended design; remembers z of the last x, as a careful user would."""

    def __init__(self, instance: Instance) -> None:
        self.A = instance.extended
        self.At = self.A.T.tocsr() if hasattr(self.A, "tocsr") else self.A.T
        self.b, self.ridge, self.link = instance.b, instance.shrinkage, instance.link
        self._x: Vector | None = None

    def _predict(self, x: Vector) -> None:
        if self._x is None or not np.array_equal(x, self._x):
            with np.errstate(over="ignore"):
                z = self.A @ x
                self.u = np.exp(z) if self.link == "exp" else z
            self._x = x.copy()

    def value_gradient(self, x: Vector) -> tuple[float, Vector]:
        self._predict(x)
        with np.errstate(over="ignore", invalid="ignore"):
            r = self.u - self.b
            value = 0.5 * float(r @ r) + 0.5 * float(x @ (self.ridge * x))
            slope = self.u * r if self.link == "exp" else r
            return (
                (value, self.At @ slope + self.ridge * x) if np.isfinite(value) else (1e300, np.zeros_like(x))
            )

    def product(self, x: Vector, p: Vector) -> Vector:
        self._predict(x)
        weights = self.u * (2.0 * self.u - self.b) if self.link == "exp" else 1.0
        return self.At @ (weights * (self.A @ p)) + self.ridge * p
