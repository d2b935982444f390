"""A server of one's own: ``newtond up`` in a process that ends when this one does, however it ends.

One is started for a process, at its first need, on a free port of the loopback, with a directory that is
removed when it stops. Processes that are forked later use the same one.
"""

import atexit
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from newtond_client.errors import ServerNotStarted

ADDRESS = re.compile(r"^  API +(\S+)$")
STOP_SECONDS = 30.0
WORDS_KEPT = 100
_lock = threading.Lock()
_running: "Server | None" = None


def server_url() -> str:
    """Return the URL of this process's server, started if it is not; raises ServerNotStarted."""
    global _running
    with _lock:
        if _running is None or not _running.alive():
            _running = Server()
        return _running.url


def stop() -> None:
    """Stop this process's server, if it has one; the next need starts another."""
    global _running
    with _lock:
        server, _running = _running, None
        if server is not None:
            server.stop()


def command() -> list[str]:
    """Return the command that starts a server; raises ServerNotStarted where newtond is not installed."""
    beside = Path(sys.executable).with_name("newtond")
    found = str(beside) if beside.is_file() else shutil.which("newtond")
    if found is None:
        raise ServerNotStarted(
            "newtond is not installed here: pip install newtond, or give the URL of a server."
        )
    return [found, "up", "--port", "0"]


class Server:
    """A guardian process, which has the server as its child and ends it when its standard input closes."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        guardian = [sys.executable, "-m", "newtond_client.guardian", *command()]
        self.process = subprocess.Popen(  # noqa: S603 (our own module)
            guardian, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.words: deque[str] = deque(maxlen=WORDS_KEPT)
        self.url = self._address()
        threading.Thread(target=self._listen, daemon=True).start()
        atexit.register(self.stop)

    def _address(self) -> str:
        for line in self._lines():
            self.words.append(line)
            if found := ADDRESS.match(line):
                return found[1]
        self.process.wait()
        raise ServerNotStarted("newtond up did not start:\n" + "".join(self.words).strip())

    def _listen(self) -> None:
        """Read on: a pipe that nobody reads fills up and stops whoever writes."""
        self.words.extend(self._lines())

    def _lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        return iter(self.process.stdout.readline, "")

    def alive(self) -> bool:
        """Whether it runs; of a server that a parent started, whether the parent still does."""
        return os.getppid() == self.owner if os.getpid() != self.owner else self.process.poll() is None

    def stop(self) -> None:
        """Stop it and remove its directory, from the process that started it."""
        if os.getpid() == self.owner and self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
            self.process.wait(STOP_SECONDS)
        atexit.unregister(self.stop)
