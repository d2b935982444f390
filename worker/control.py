"""When a running solve must stop: a signal, a wish to cancel, the clock, a lost lease."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from newtond.contract.errors import QueueUnavailable
from worker.board import Board

Stop = Literal["cancelled", "time_limit"]
GiveUp = Literal["released", "lost"]


class Interrupted(Exception):
    """A solve gives its job up for another attempt to go on with: told to stop, or its lease is lost."""

    def __init__(self, why: GiveUp) -> None:
        super().__init__(why)
        self.why = why


@dataclass
class Control:
    """Asked between iterations; costs one stat, and a request only when the parent has been silent."""

    board: Board
    cancelled: Callable[[], bool]
    holds_lease: Callable[[], bool]
    lease_seconds: float
    deadline: float
    stopping: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        self.board.write(deadline=self.deadline)

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def why_give_up(self) -> GiveUp | None:
        """Return why another attempt must go on with this job, None to go on."""
        if self.stopping:
            return "released"
        return "lost" if self._parent_was_silent() and self.lease_is_lost() else None

    def why_stop(self) -> Stop | None:
        """Return why this solve must end with the iterate that it has, None to go on."""
        if self.cancelled():
            return "cancelled"
        return "time_limit" if time.monotonic() >= self.deadline else None

    def lease_is_lost(self) -> bool:
        """Say whether another worker holds this job now; while Redis is silent it cannot have got it."""
        try:
            return not self.holds_lease()
        except QueueUnavailable:
            return False

    def _parent_was_silent(self) -> bool:
        return time.monotonic() - (self.board.read("parent_seen") or 0.0) > self.lease_seconds
