"""Child processes that are kept alive, and the signals that wake their parent."""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from newtond.contract.errors import SetupError

PR_SET_PDEATHSIG = 1
ROLL = signal.SIGUSR1
AT_ONCE = 5.0
TRIES = 5
LONGEST_PAUSE = 10.0


@dataclass
class Child:
    """A program that must run: started, watched, started again with growing pauses when it dies."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path | None = None
    death_signal: signal.Signals = signal.SIGKILL
    inherited: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    quick_deaths: int = field(default=0, init=False)
    started: float = field(default=0.0, init=False)
    due: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Start the program in a session of its own, so that a terminal's Ctrl-C reaches the parent alone."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 (our own commands)
            self.command,
            env=dict(self.environment),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            pass_fds=self.inherited,
            start_new_session=True,
            preexec_fn=die_with_parent(self.death_signal),
        )

    def revive(self, say: Callable[[str], None]) -> None:
        """Notice a death, and start the program when its pause is over; SetupError when it keeps dying."""
        if self.process is not None and self.process.poll() is not None:
            self._bury(self.process.returncode, say)
        if self.process is None and time.monotonic() >= self.due:
            self.start()

    def _bury(self, code: int, say: Callable[[str], None]) -> None:
        lived = time.monotonic() - self.started
        self.process = None
        self.quick_deaths = self.quick_deaths + 1 if lived < AT_ONCE else 1
        if self.quick_deaths >= TRIES:
            raise SetupError(
                f"{self.name} {_ending(code)} at once, {TRIES} times in a row; its own words are above"
            )
        pause = min(0.1 * 2**self.quick_deaths, LONGEST_PAUSE)
        self.due = time.monotonic() + pause
        say(f"{self.name} {_ending(code)}; it is started again")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this child, if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def running(self) -> bool:
        """Return whether the program runs now."""
        return self.process is not None and self.process.poll() is None


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return what the child runs before exec. Linux heeds the starting *thread*: let it be the main one."""
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def stop(children: Iterable[Child], patience: float, hurried: Callable[[], bool], wakeups: "Wakeups") -> None:
    """Ask all of them to end, and kill those that have not when patience is over (or hurry comes)."""
    left = [child for child in children if child.running()]
    for child in left:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline and not hurried():
        wakeups.wait(min(0.5, deadline - time.monotonic()))
        left = [child for child in left if child.running()]
    for child in left:
        child.signal(signal.SIGKILL)
        if child.process is not None:
            child.process.wait()


class Wakeups:
    """Signals as events: sleeps until one comes, and counts how often the parent was told to stop."""

    STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.stops = 0
        self.rolls = 0

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        ignored = {number for number in self.STOPPING if signal.getsignal(number) is signal.SIG_IGN}  # nohup
        handlers = {number: self._count for number in self.STOPPING if number not in ignored}
        handlers[signal.SIGCHLD] = _ignore
        handlers[ROLL] = self._count_roll
        self._earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self._earlier_descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._earlier_descriptor)
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float | None) -> None:
        """Sleep until a signal comes or the time is over (None: for ever)."""
        ready, _, _ = select.select([self._reader], [], [], None if seconds is None else max(0.0, seconds))
        if ready:
            self._reader.recv(4096)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1

    def _count_roll(self, number: int, frame: FrameType | None) -> None:
        self.rolls += 1


def _ignore(number: int, frame: FrameType | None) -> None:
    """Be a handler that only wakes."""
