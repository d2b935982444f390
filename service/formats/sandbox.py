"""The service's side of parsing: it hands a file to a child process and hears what became of it.

The service itself never parses: a file that crashes its reader, eats memory or never ends takes a child
process with it and becomes a 4xx answer.
"""

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from newtond.contract.errors import InvalidArray, NewtondError, TooLarge, Unavailable
from service.formats import answer
from service.formats.answer import Parsed
from service.formats.limits import FormatLimits
from service.formats.options import NO_OPTIONS, Options

_READ = 1 << 16
_ROOT = Path(__file__).parents[2]
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Sandbox:
    """Parses uploads in children of a zygote process, which ends with this one."""

    def __init__(self, data_dir: Path, limits: FormatLimits) -> None:
        self._data_dir = data_dir
        self._limits = limits
        self._free = asyncio.Semaphore(limits.children)
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The zygote's process id, None before the start."""
        return self._zygote.pid if self._zygote else None

    def start(self) -> None:
        """Start the zygote and return at once: uploads wait until it is warm."""
        self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._zygote = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "service.formats.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=self._environment(),
            )
        ours.setblocking(False)
        self._control = ours

    def close(self) -> None:
        """End the zygote and with it every child; called twice it does nothing."""
        if self._control is not None:
            self._control.close()
        if self._zygote is not None:
            # the closed socket ends it between two requests, but not while it still compiles
            self._zygote.terminate()
            self._zygote.wait()
        self._control = self._zygote = None

    async def parse(
        self,
        upload: Path,
        format: str,
        *,
        encoding: Literal["gzip"] | None = None,
        options: Options = NO_OPTIONS,
        store: Path | None = None,
        room: int | None = None,
    ) -> Parsed:
        """Store the arrays of an uploaded file; return each with whether it is new.

        They go to the array store at ``store`` (the data directory's own unless given) and may have ``room``
        bytes. Raises InvalidArray with its place, InvalidSpec, UnsupportedFormat, TooLarge, StorageFull,
        QuotaExceeded; Unavailable if the child was killed from outside.
        """
        request = {
            "upload": str(upload),
            "format": format,
            "encoding": encoding,
            "options": asdict(options),
            "store": str(store or self._data_dir / "arrays"),
            "room": room,
            "limits": asdict(self._limits),
        }
        async with self._free:
            try:
                async with asyncio.timeout(self._limits.seconds):
                    lines = (await self._ask(json.dumps(request).encode())).splitlines()
            except TimeoutError:
                raise TooLarge(
                    f"Reading this file takes more than {self._limits.seconds:g} seconds."
                ) from None
        return self._interpret(lines)

    async def _ask(self, request: bytes) -> bytes:
        """Send a request with the socket to answer on; return all that comes back on it."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                self._send(request, theirs)
            return await _read_all(ours)

    def _send(self, request: bytes, reply: socket.socket) -> None:
        if self._zygote is None or self._zygote.poll() is not None:
            self.start()
        assert self._control is not None
        try:
            socket.send_fds(self._control, [request], [reply.fileno()])
        except OSError as error:
            raise Unavailable("The process that reads uploads does not answer; try again.") from error

    def _interpret(self, lines: list[bytes]) -> Parsed:
        if not lines or b'"status"' not in lines[-1]:
            raise Unavailable("The process that reads uploads ended; send the file again.")
        if len(lines) == 2:
            return answer.read(lines[0])
        raise self._failure(int(json.loads(lines[-1])["status"]))

    def _failure(self, status: int) -> NewtondError:
        if status == -signal.SIGXCPU:
            return TooLarge(
                f"Reading this file takes more than {self._limits.cpu_seconds} s of processor time."
            )
        if status == -signal.SIGKILL:
            return Unavailable("The process that read this file was killed; send the file again.")
        how = f" ({signal.Signals(-status).name})" if status < 0 else ""
        return InvalidArray(f"This file cannot be read: its reader failed at it{how}.")

    @staticmethod
    def _environment() -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        return {
            **os.environ,
            **dict.fromkeys(_ONE_THREAD, "1"),
            "PYTHONPATH": path,
            "NUMBA_CACHE_DIR": kernel_cache(),
        }


def kernel_cache() -> str:
    """Where compiled readers are kept; numba would not see a change in a function that another calls."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    home = os.environ.get("NEWTOND_KERNEL_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return str(Path(home).expanduser() / "newtond" / "readers" / digest)


async def _read_all(source: socket.socket) -> bytes:
    loop, chunks = asyncio.get_running_loop(), []
    while chunk := await loop.sock_recv(source, _READ):
        chunks.append(chunk)
    return b"".join(chunks)
