"""Where a drill keeps its data: a small volume of its own that can be filled, if this user may mount one."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SIZE = 512 << 20


@dataclass(frozen=True)
class Volume:
    """A folder; ``why_not`` says why it cannot be filled, None where it can. The log lies beside it."""

    path: Path
    log: Path
    why_not: str | None


@contextmanager
def volume() -> Iterator[Volume]:
    """Make a tmpfs of 512 MB, or a plain folder where that is not allowed; gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="newtond-drill-"))
    log = path.with_suffix(".log")
    log.touch()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "newtond-drill", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
        refusal = mounted.stderr.strip() if mounted.returncode else None
    except FileNotFoundError:
        refusal = "there is no mount command"
    try:
        yield Volume(path, log, refusal)
    finally:
        log.unlink()
        if refusal is None:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
        shutil.rmtree(path)


@contextmanager
def filled(path: Path) -> Iterator[None]:
    """Take the last byte of the volume that ``path`` lies on, and give it all back at the end."""
    ballast = path / "ballast"
    for size in (1 << 16, 1 << 9):
        with ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(size)):
                pass
    try:
        yield
    finally:
        ballast.unlink()


def keep(volume: Volume) -> Path:
    """Copy what is there to a folder that stays, and return that."""
    kept = Path(tempfile.mkdtemp(prefix="newtond-drill-kept-"))
    ignored = shutil.ignore_patterns("ballast", "*.sock")
    shutil.copytree(volume.path, kept, dirs_exist_ok=True, ignore=ignored)
    shutil.copy(volume.log, kept / "log")
    return kept
