"""The child that parses one upload: it bounds itself, reads, stores, answers and ends."""

import contextlib
import ctypes
import errno
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from newtond.contract.errors import NewtondError, TooLarge
from newtond.store.arrays import ArrayStore
from service.formats import answer, readers
from service.formats.limits import FormatLimits
from service.formats.options import Options

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_FILES = 64
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(request: dict[str, Any], reply: socket.socket, parent: int) -> NoReturn:
    """Parse the upload of a request and answer; never returns."""
    limits = FormatLimits(**request["limits"])
    status = 1
    with contextlib.suppress(BrokenPipeError):
        confine(limits, parent)
        reply.sendall(answer_to(request, limits))
        status = 0
    os._exit(status)


def answer_to(request: dict[str, Any], limits: FormatLimits) -> bytes:
    """Parse the upload of a request; return the answer. Ends the process where a reader fails."""
    try:
        return answer.of_arrays(_parse(request, limits))
    except NewtondError as error:
        return answer.of_error(error)
    except MemoryError:
        return answer.of_error(TooLarge(_out_of_memory(limits)))
    except OSError as error:
        if error.errno == errno.EFBIG:
            return answer.of_error(TooLarge("The array takes more room than a file may have."))
        return _die()
    except Exception:
        return _die()


def _parse(request: dict[str, Any], limits: FormatLimits) -> answer.Parsed:
    store = ArrayStore(Path(request["store"]), request["room"])
    options = Options(**request["options"])
    arrays = readers.read(Path(request["upload"]), request["format"], request["encoding"], options, limits)
    return [readers.put(store, array) for array in arrays]


def _out_of_memory(limits: FormatLimits) -> str:
    return f"Reading this array takes more than {limits.memory_bytes / 1e9:.1f} GB of memory."


def _die() -> NoReturn:
    """A fault of ours: its story goes to the log, the client only hears that this file cannot be read."""
    traceback.print_exc(file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def confine(limits: FormatLimits, parent: int) -> None:
    """Bound this process: memory, time, files, no core, no life after its parent."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    _LIBC.prctl(_PR_SET_DUMPABLE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _FILES)
    _limit(resource.RLIMIT_FSIZE, limits.memory_bytes)
    _limit(resource.RLIMIT_AS, _mapped_bytes() + limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    # the soft limit on processor time is a signal with a name, the hard one an anonymous kill
    resource.setrlimit(what, (most, most + 1 if what == resource.RLIMIT_CPU and hard < 0 else most))


def _mapped_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
