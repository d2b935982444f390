"""What parent and child tell each other while a job runs: a few numbers in memory they share.

So a child never waits for Redis, and the parent knows of every iteration without a message. Each number
is one aligned word with one writer.
"""

import math
import mmap

import numpy as np

FIELDS = ("iteration", "loss", "gradient_norm", "resumed_from", "deadline", "concluding_since", "parent_seen")


class Board:
    """Numbers by name, unset at first; times are of the monotonic clock, which all processes share."""

    def __init__(self) -> None:
        self._words = np.frombuffer(mmap.mmap(-1, 8 * len(FIELDS)), dtype=np.float64)
        self._words[:] = math.nan

    def write(self, **values: float | None) -> None:
        """Set the numbers named; None unsets one."""
        for name, value in values.items():
            self._words[FIELDS.index(name)] = math.nan if value is None else value

    def read(self, name: str) -> float | None:
        """Return a number, None before it is set."""
        value = float(self._words[FIELDS.index(name)])
        return None if math.isnan(value) else value

    def count(self, name: str) -> int | None:
        """Return a whole number, None before it is set."""
        value = self.read(name)
        return None if value is None else int(value)
