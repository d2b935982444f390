"""One benchmark problem, its objective, and the one measure of accuracy that everybody is held to.

Everybody minimises F(x, c) = ½ Σ (exp(aᵢ·x + c) − bᵢ)² + ½ ridge ‖x‖² (or the linear loss), c only where the
instance has an intercept. Accuracy is ‖∇F(x, c)‖ / ‖∇F(0, 0)‖, computed here, after the clock has stopped. An
instance that is ill-conditioned on purpose has a measure of its own: see `instances.ill_conditioned`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Instance:
    """A problem: ``codes`` are the categorical columns of a one-hot design, for peers that want them.

    ``decrement`` is what newtond is asked for: as a part of √(2F) it leaves ‖∇F(x)‖ at 1e-10 ‖∇F(0)‖ or less.
    """

    name: str
    title: str
    A: Any
    b: Vector
    link: str = "exp"
    ridge: float = 1e-6
    intercept: bool = False
    decrement: float = 1e-9
    codes: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    measure = "‖∇F(x)‖/‖∇F(0)‖"

    @property
    def extended(self) -> Any:
        """A with the column of ones, for peers that have no intercept free of the ridge."""
        if not self.intercept:
            return self.A
        return sp.hstack([self.A, np.ones((self.A.shape[0], 1))]).tocsr()

    @property
    def shrinkage(self) -> Vector:
        """The ridge of each entry of x (and 0 for the intercept)."""
        ridge = np.full(self.A.shape[1] + self.intercept, self.ridge)
        ridge[self.A.shape[1] :] = 0.0
        return ridge

    @property
    def start(self) -> Vector:
        """Where a careful user lets SciPy start: 0, and the intercept at the link of the mean."""
        x = np.zeros(self.A.shape[1] + self.intercept)
        if self.intercept:
            x[-1] = np.log(self.b.mean()) if self.link == "exp" else self.b.mean()
        return x

    @property
    def nnz(self) -> int:
        """How many entries of A are stored."""
        return int(self.A.nnz) if sp.issparse(self.A) else self.A.size

    @property
    def bytes(self) -> int:
        """The size of A's arrays: 8 bytes a value; of a sparse A 4 an index and 8 a row more."""
        return 12 * self.nnz + 8 * self.A.shape[0] if sp.issparse(self.A) else 8 * self.nnz

    def gradient(self, x: Vector) -> Vector:
        """Return ∇F at x (d, or d + 1 with the intercept last)."""
        z = self.A @ x[: self.A.shape[1]] + (x[-1] if self.intercept else 0.0)
        slope = np.exp(z) * (np.exp(z) - self.b) if self.link == "exp" else z - self.b
        g = self.A.T @ slope
        if self.intercept:
            g = np.append(g, slope.sum())
        return g + self.shrinkage * x

    def loss(self, x: Vector) -> float:
        """Return F at x."""
        z = self.A @ x[: self.A.shape[1]] + (x[-1] if self.intercept else 0.0)
        r = (np.exp(z) if self.link == "exp" else z) - self.b
        return 0.5 * float(r @ r) + 0.5 * float(x @ (self.shrinkage * x))

    def prepare(self) -> None:
        """Compute what the measure needs and is not the solvers' to compute."""

    def accuracy(self, x: Vector | None) -> float | None:
        """Return the measure at x, or None where there is no finite answer."""
        if x is None or not np.isfinite(x).all():
            return None
        with np.errstate(all="ignore"):
            ratio = np.linalg.norm(self.gradient(x)) / np.linalg.norm(self.gradient(np.zeros_like(x)))
        return float(ratio) if np.isfinite(ratio) else None

    def backward_error(self, x: Vector | None) -> float | None:
        """Return the relative backward error of x where that is part of the measure, else None."""
        return None
