"""The processes of one drill: found by a mark in their environment, so that no other is ever touched."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import psutil

MARK = "NEWTOND_DRILL"
Found = TypeVar("Found")


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that run and carry this mark, whoever their parent is now."""
    return list(_marked(mark))


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark and runs(process):
                yield process


def runs(process: psutil.Process) -> bool:
    """Say whether a process runs; one that nobody has reaped yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(processes: list[psutil.Process]) -> None:
    """Kill these, and wait until they are gone."""
    send(processes, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)


def send(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those of them that still run."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def wait_for(ask: Callable[[], Found | None], seconds: float, what: str) -> Found:
    """Return the first answer that is not empty; TimeoutError names what was waited for."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return answer
