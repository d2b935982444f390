"""When to stop, and what to call it: always from an exact gradient, never from the initial one.

The test is λ = √(gᵀH⁻¹g) ≤ max(tolerance · √(2F), 4 u ‖b‖), H positive semidefinite: ½λ² is the decrease that
the quadratic model still promises, so the test is free of the units of x and of b. On a problem of zero
residual λ = √(2F), and the second term is what fires.
"""

from dataclasses import dataclass

import numpy as np

from newtond.contract.result import Termination

ROUNDING = float(np.finfo(np.float64).eps) / 2
FLAT = 1e-12
FLAT_STEPS = 3


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """``target_norm`` is ‖b‖, weighted as the loss is."""

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
        return "Newton decrement ≤ 4 u ‖b‖: the residual is zero to rounding"


@dataclass(frozen=True, slots=True)
class Stall:
    """Counts steps that lower F by less than 1e-12 of itself and do not halve the decrement either.

    Near a solution F is flat long before the gradient is: a step may then still gain digits of x, and it
    shows in the decrement.
    """

    steps: int = 0
    decrement: float = 0.0

    def after(self, before: float, value: float, decrement: float) -> "Stall":
        """Return the count after one more step."""
        if before - value > FLAT * abs(before):
            return Stall()
        if self.steps == 0 or decrement <= 0.5 * self.decrement:
            return Stall(1, decrement)
        return Stall(self.steps + 1, self.decrement)

    @property
    def reached(self) -> bool:
        return self.steps > FLAT_STEPS


STALLED: tuple[Termination, str] = (
    "stalled",
    f"the loss fell by less than {FLAT:g} of itself in {FLAT_STEPS} steps and the decrement did not halve",
)
