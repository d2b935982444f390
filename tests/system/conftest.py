"""One ``newtond up`` for each test that breaks it, and one for all that only use it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

Answer = TypeVar("Answer")
READY_IN = 60.0


def hear_signals() -> None:
    """Undo what nohup or a shell's background job ignores, which a child inherits and rightly respects."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Up:
    """One ``newtond up`` and what it says."""

    def __init__(self, data: Path, *flags: str, **settings: str) -> None:
        command = [
            Path(sys.executable).with_name("newtond"),
            "up",
            "--port",
            "0",
            "--data-dir",
            str(data),
            *flags,
        ]
        self.words = data.with_name(f"words-{time.monotonic_ns()}.log")
        with self.words.open("wb") as sink:
            self.process = psutil.Popen(
                command,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **settings},
                preexec_fn=hear_signals,
            )

    def said(self, pattern: str) -> re.Match[str]:
        """Wait until it has said this."""
        return wait_for(lambda: re.search(pattern, self.words.read_text()), READY_IN, self.words.read_text)

    def url(self) -> str:
        return self.said(r"is ready\n  API +(\S+)")[1]

    def child(self, word: str) -> psutil.Process:
        found = [
            child for child in self.process.children() if any(word in arg for arg in child.cmdline()[:3])
        ]
        assert len(found) == 1, [child.cmdline() for child in self.process.children()]
        return found[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return int(self.process.wait(timeout=20))


def wait_for(ask: Callable[[], Answer | None], seconds: float, explain: Callable[[], str] = str) -> Answer:
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, explain()
        time.sleep(0.05)
    return answer


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def begin(*flags: str, **settings: str) -> Up:
        started.append(Up(tmp_path / "a data directory", *flags, **settings))
        return started[-1]

    yield begin
    for up in started:
        if up.process.is_running():
            up.stop()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a ``newtond up`` that nobody breaks."""
    up = Up(tmp_path_factory.mktemp("up") / "data")
    yield up.url()
    assert up.stop() == 0
