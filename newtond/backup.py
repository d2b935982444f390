"""``newtond backup`` and ``newtond restore``: the data directory as one file, taken while everything runs.

Durable facts are files written once, so an order of reading is all that consistency takes: jobs before the keys
that name them (a key without its job gives the job again, a job without its key would be done twice), and arrays
last, so that every array that a job in the backup names is in it. What changes meanwhile (a checkpoint, a
trace) is read from one open file: whole, or its beginning. Live state is not in it: the reconciler enqueues what
is unfinished. The last member lists the digest of every other, and nothing is restored before all of them agree.
"""

import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from newtond.contract.errors import SetupError
from newtond.store import DataDirectory
from newtond.store.files import room, sync_directory

Say = Callable[[str], None]
MANIFEST = "manifest.json"
SHARES = ("jobs", "expired", "deletions", "keys", "arrays")
CHUNK = 1 << 20


def backup(data: Path, target: Path, say: Say) -> None:
    """Write a backup of the data directory to a new file; raises SetupError."""
    if not (data / "format").exists():
        raise SetupError(f"{data} is no data directory of newtond")
    directory = DataDirectory(data)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with room(), beside.open("xb") as file:
            digests = _write(directory, file)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, target)
    except FileExistsError:
        raise SetupError(f"{target} exists already") from None
    except OSError as error:
        raise SetupError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
    say(f"{len(digests)} files, {target.stat().st_size} bytes in {target}")


def _write(directory: DataDirectory, file: io.BufferedWriter) -> dict[str, str]:
    digests: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _paths(directory):
            _add(archive, path, str(path.relative_to(directory.path)), digests)
        listing = json.dumps({"format": 1, "sha256": digests}).encode()
        archive.addfile(_member(MANIFEST, len(listing)), io.BytesIO(listing))
    return digests


def _paths(directory: DataDirectory) -> Iterator[Path]:
    yield directory.path / "format"
    yield from _files(directory.path / "credentials")
    for tenant in directory.tenants():
        for share in SHARES:
            yield from _files(tenant.path / share)


def _files(folder: Path) -> Iterator[Path]:
    """Every file that has its final name; one purged meanwhile is passed over."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "incoming")
        yield from (Path(path, name) for name in sorted(names) if not name.startswith("."))


def _add(archive: tarfile.TarFile, path: Path, name: str, digests: dict[str, str]) -> None:
    try:
        source = path.open("rb")
    except FileNotFoundError:  # purged meanwhile
        return
    with source:
        size = os.fstat(source.fileno()).st_size
        read = _Digested(source)
        archive.addfile(_member(name, size), read)
        digests[name] = read.digest.hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


class _Digested:
    """A file that is digested as it is read."""

    def __init__(self, source: io.BufferedReader) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self.digest.update(chunk)
        return chunk


def restore(source: Path, data: Path, say: Say) -> None:
    """Make a data directory of a backup; raises SetupError where there is one, or the backup is damaged."""
    if data.exists() and any(data.iterdir()):
        raise SetupError(f"{data} is not empty: a backup is restored to a directory of its own")
    beside = data.with_name(data.name + ".restoring")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        with room():
            count = _extract(source, beside)
        DataDirectory(beside)
    except (tarfile.TarError, OSError, ValueError, KeyError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise SetupError(f"{source} cannot be restored: {error}") from error
    if data.exists():
        data.rmdir()
    beside.rename(data)
    sync_directory(data.parent)
    say(f"{count} files restored to {data}; start newtond on it, and unfinished jobs go on")


def _extract(source: Path, target: Path) -> int:
    digests: dict[str, str] = {}
    listed: dict[str, str] | None = None
    target.mkdir(mode=0o700, parents=True)
    with tarfile.open(source, "r:") as archive:
        for member in archive:
            if member.name == MANIFEST:
                listed = json.load(archive.extractfile(member))["sha256"]  # type: ignore[arg-type]
            else:
                digests[member.name] = _place(archive, member, target)
    if listed != digests:
        raise ValueError("its files are not those that it lists: it is damaged or broken off")
    return len(digests)


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    name = PurePosixPath(member.name)
    content = archive.extractfile(member) if member.isreg() else None
    if content is None or name.is_absolute() or ".." in name.parts:
        raise ValueError("it holds something else than files of a data directory")
    path = target / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with content, path.open("xb") as file:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
