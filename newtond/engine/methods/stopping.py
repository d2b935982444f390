"""When to stop, and what to call it: always from an exact gradient, never from the initial one.

The test is λ = √(gᵀH⁻¹g) ≤ max(tolerance · √(2F), 4 u β), H positive semidefinite: ½λ² is the decrease that
the quadratic model still promises, so the test is free of the units of x and b. On a problem of zero
residual λ = √(2F), and the second term fires: β = ‖ |b| + |z f′(z)| ‖ at z = f⁻¹(b) is what the rounding
of b and z leaves in the residual, in units of u.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from newtond.contract.result import Termination

ROUNDING = float(np.finfo(np.float64).eps) / 2
FLAT = 1e-12
FLAT_STEPS = 3


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """``target_norm`` is β, weighted as the loss is."""

    tolerance: float
    max_iterations: int
    target_norm: float

    def threshold(self, value: float) -> float:
        """Return the decrement at which a point of this value counts as a solution."""
        return max(self.tolerance * float(np.sqrt(2.0 * max(value, 0.0))), 4.0 * ROUNDING * self.target_norm)

    def describe(self, value: float) -> str:
        """Say which of the two thresholds was in force."""
        if self.threshold(value) > 4.0 * ROUNDING * self.target_norm:
            return f"Newton decrement ≤ {self.tolerance:g} · √(2F)"
        return "Newton decrement ≤ 4 u β, the rounding of b and f(z): the residual is zero to it"

    def spent(self, k: int) -> tuple[Termination, str] | None:
        """Say that iteration k is beyond the limit, where it is."""
        if k < self.max_iterations:
            return None
        return "max_iterations", f"{self.max_iterations} iterations"


@dataclass(frozen=True, slots=True)
class Stall:
    """Counts steps that lower F by less than 1e-12 of its best and do not halve the decrement either.

    Near a solution F is flat long before the gradient is: a step may then still gain digits of x, and it
    shows in the decrement. Where F is nothing but rounding it goes up and down, hence the best seen.
    """

    steps: int = 0
    decrement: float = 0.0
    best: float = np.inf

    @classmethod
    def of(cls, scalars: Mapping[str, float | int | str]) -> "Stall":
        """Read what ``scalars`` wrote."""
        get = scalars.get
        return cls(
            int(get("flat_steps", 0)), float(get("flat_decrement", 0.0)), float(get("flat_best", np.inf))
        )

    def scalars(self) -> dict[str, float | int | str]:
        """Return the count as a state's scalars."""
        known: dict[str, float | int | str] = {"flat_steps": self.steps, "flat_decrement": self.decrement}
        return known | ({"flat_best": self.best} if np.isfinite(self.best) else {})

    def after(self, before: float, value: float, decrement: float) -> "Stall":
        """Return the count after one more step."""
        best = min(self.best, before)
        if best - value > FLAT * abs(best):
            return Stall(best=value)
        if self.steps == 0 or decrement <= 0.5 * self.decrement:
            return Stall(1, decrement, best)
        return Stall(self.steps + 1, self.decrement, best)

    @property
    def reached(self) -> bool:
        return self.steps > FLAT_STEPS


def exhausted(value: float, decrement: float) -> tuple[Termination, str]:
    """Say what a stall means: the end where the model promises no more than 1e-12 of F, else a failure."""
    if 0.5 * decrement**2 <= FLAT * value:
        return "converged", f"neither steps nor the model lower the loss by {FLAT:g} of itself any more"
    return STALLED


STALLED: tuple[Termination, str] = (
    "stalled",
    f"the loss fell by less than {FLAT:g} of itself in {FLAT_STEPS} steps and the decrement did not halve",
)
