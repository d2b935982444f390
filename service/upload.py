"""A body on its way to a file: written as it comes, never parsed here."""

import errno
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from newtond.contract.errors import StorageFull, StorageLow
from service.settings import ServiceSettings

BUFFERED_BYTES = 1 << 20
ABANDONED_SECONDS = 3600.0
FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Upload:
    """A file of ours with a caller's bytes, and what the caller says they are."""

    path: Path
    media_type: str | None = None
    file_name: str | None = None
    encoding: str | None = None


class Writer:
    """Writes a new file on a thread, a buffer at a time: a slow disk must not stop the event loop."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("xb")
        self._chunks: list[bytes] = []
        self._held = 0

    async def write(self, chunk: bytes) -> None:
        """Append ``chunk``; raises StorageFull."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held >= BUFFERED_BYTES:
            await self._flush()

    async def close(self) -> None:
        """Write what is left; raises StorageFull."""
        try:
            await self._flush()
        finally:
            self._file.close()

    async def _flush(self) -> None:
        chunks, self._chunks, self._held = self._chunks, [], 0
        with room():
            await to_thread.run_sync(self._file.writelines, chunks)


async def save_stream(stream: AsyncIterator[bytes], path: Path) -> int:
    """Write ``stream`` to a new file at ``path`` and return its size; raises StorageFull."""
    writer, size = Writer(path), 0
    try:
        async for chunk in stream:
            await writer.write(chunk)
            size += len(chunk)
    finally:
        await writer.close()
    return size


@contextmanager
def room() -> Iterator[None]:
    """Say StorageFull where the operating system says that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull("The data directory has no room for this.") from error
        raise


def check_room(settings: ServiceSettings) -> None:
    """Raise StorageLow while the data directory's disk is below its low-water mark."""
    if shutil.disk_usage(settings.data_dir).free < settings.low_water_bytes:
        raise StorageLow("The data directory is nearly full: nothing new is taken until there is room again.")


@contextmanager
def staging(incoming: Path) -> Iterator[Path]:
    """A directory for one request's files, gone when it ends."""
    folder = incoming / secrets.token_hex(16)
    with room():
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def sweep(incoming: Path) -> None:
    """Remove what requests of a process that died have left; those of a living one are younger."""
    for folder in incoming.iterdir():
        if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def check_writable(incoming: Path) -> None:
    """Raise OSError unless a file can be made and removed there."""
    probe = incoming / secrets.token_hex(16)
    probe.mkdir()
    probe.rmdir()
