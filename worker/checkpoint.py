"""The engine's state as a stored checkpoint, and how often one is worth its cost."""

import time
from dataclasses import dataclass, field

from newtond.contract.result import Termination
from newtond.engine import State, Step
from newtond.store.attempts import Attempt
from newtond.store.checkpoint import Checkpoint

COST_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a solve has come: state, seconds over all attempts, why it stops once it does, the chain's head."""

    state: State
    seconds: float
    newton_decrement: float | None = None
    termination: Termination | None = None
    stopping_rule: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    chain: str | None = None


def advance(progress: Progress | None, step: Step, seconds: float, chain: str | None = None) -> Progress:
    """Return the progress after ``step``, ``seconds`` since the solve began; ``chain`` names its line."""
    phases = {} if progress is None else dict(progress.phases)
    for name, spent in step.record.phases.items():
        phases[name] = phases.get(name, 0.0) + spent
    decrement = step.record.newton_decrement
    return Progress(step.state, seconds, decrement, step.termination, step.stopping_rule, phases, chain)


def restore(checkpoint: Checkpoint) -> Progress:
    """Return the progress that a checkpoint holds."""
    return Progress(
        State(checkpoint.iteration, checkpoint.arrays, checkpoint.scalars),
        checkpoint.seconds,
        checkpoint.newton_decrement,
        checkpoint.termination,
        checkpoint.stopping_rule,
        dict(checkpoint.phases),
        checkpoint.chain,
    )


def store(progress: Progress) -> Checkpoint:
    """Return ``progress`` as a checkpoint."""
    return Checkpoint(
        progress.state.iteration,
        progress.state.arrays,
        progress.state.scalars,
        progress.seconds,
        progress.newton_decrement,
        progress.termination,
        progress.stopping_rule,
        progress.phases,
        progress.chain,
    )


class Saver:
    """Saves checkpoints of one attempt, at most one in ``seconds`` and for a twentieth of the time.

    What is lost between two of them is computed again, to the same bits; so a checkpoint is never worth
    more than a small part of what it saves, and one is always made when a solve stops.
    """

    def __init__(self, attempt: Attempt, seconds: float) -> None:
        self._attempt = attempt
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    def offer(self, progress: Progress) -> None:
        """Save ``progress`` if a checkpoint is due."""
        if time.monotonic() >= self._due:
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Save ``progress`` now."""
        started = time.monotonic()
        self._attempt.save(store(progress))
        ended = time.monotonic()
        self._due = ended + max(self._seconds, (ended - started) / COST_SHARE)
