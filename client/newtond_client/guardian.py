"""Run a server until standard input closes, which it does when the process that holds it ends, even by SIGKILL.

``python -m newtond_client.guardian COMMAND …`` adds a ``--data-dir`` of its own and removes it at the end.
"""

import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

STOP_SECONDS = 25.0


def main(command: list[str]) -> int:
    """Run ``command`` and return its exit status; its words go to standard output."""
    with tempfile.TemporaryDirectory(prefix="newtond-") as directory:
        data = Path(directory) / "data"
        server = subprocess.Popen(  # noqa: S603 (what embedded.py asks for)
            [*command, "--data-dir", str(data)], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        return server.wait()


def _end_with_input(server: "subprocess.Popen[bytes]") -> None:
    sys.stdin.buffer.read()
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(main(sys.argv[1:]))
