"""The engine's state through a stored checkpoint, and what checkpoints may cost."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from newtond.contract.trace import Iteration
from newtond.engine import State, Step
from newtond.store.attempts import Attempt
from worker.checkpoint import COST_SHARE, Progress, Saver, advance, restore, store


def progress_at(iteration: int, **arrays: Any) -> Progress:
    return Progress(State(iteration, arrays or {"x": np.zeros(3)}, {"radius": 0.25, "method": "newton"}), 1.5)


def test_a_state_goes_through_a_checkpoint_unchanged() -> None:
    progress = progress_at(4, x=np.array([0.1, -0.0]))
    assert restore(store(progress)) == progress


def test_progress_sums_the_seconds_of_each_phase() -> None:
    record = Iteration(iteration=0, loss=1.0, gradient_norm=1.0, newton_decrement=0.5, phases={"sweep": 0.25})
    step = Step(record, State(1, {}, {}))
    progress = advance(advance(None, step, 0.5), step, 1.0)
    assert (progress.phases, progress.seconds, progress.newton_decrement) == ({"sweep": 0.5}, 1.0, 0.5)


def attempt_in(folder: Path) -> Attempt:
    (folder / "1").mkdir()
    return Attempt(folder / "1")


def test_checkpoints_are_offered_often_and_saved_seldom(tmp_path: Path) -> None:
    saver = Saver(attempt_in(tmp_path), seconds=0.1)
    saved = tmp_path / "1" / "checkpoint"
    saver.offer(progress_at(1))
    assert not saved.exists()
    time.sleep(0.1)
    saver.offer(progress_at(2))
    first = saved.stat().st_ino
    saver.offer(progress_at(3))
    assert saved.stat().st_ino == first
    saver.save(progress_at(4))
    assert saved.stat().st_ino != first


def test_large_checkpoints_take_a_small_share_of_the_time(tmp_path: Path) -> None:
    saver = Saver(attempt_in(tmp_path), seconds=0.001)
    large = progress_at(1, x=np.zeros(2_000_000))
    began = time.monotonic()
    saver.save(large)
    cost = time.monotonic() - began
    time.sleep(0.002)
    before = (tmp_path / "1" / "checkpoint").stat().st_ino
    saver.offer(large)
    assert (tmp_path / "1" / "checkpoint").stat().st_ino == before
    assert cost / COST_SHARE > 0.002
