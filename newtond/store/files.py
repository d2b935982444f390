"""Files that are whole or absent: written beside, fsynced, then linked or renamed to their name."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from newtond.contract.errors import StorageFull

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def room() -> Iterator[None]:
    """Turn the errors of a full disk into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull("the data directory has no room") from error
        raise


def write_once(path: Path, content: bytes) -> bool:
    """Give ``path`` this content for good; False, and nothing changed, if it exists already."""
    beside = write_beside(path, content)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    sync_directory(path.parent)
    return True


def replace(path: Path, *parts: bytes | memoryview) -> None:
    """Give ``path`` this content by rename: a reader sees the old content or the new, never a part."""
    beside = write_beside(path, *parts)
    beside.rename(path)
    sync_directory(path.parent)


def write_beside(path: Path, *parts: bytes | memoryview) -> Path:
    """Write ``parts`` to a new fsynced file in the folder of ``path`` and return it; raises StorageFull."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with room(), beside.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def place_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Give ``folder`` these files at once; nothing changes if another request placed it first. Raises StorageFull.

    Its name is durable once its parent is synced.
    """
    new = folder.with_name(f".new-{folder.name}-{secrets.token_hex(8)}")
    with room():
        new.mkdir()
    for name, content in files.items():
        write_beside(new / name, content).rename(new / name)
    sync_directory(new)
    try:
        new.rename(folder)
    except OSError:
        shutil.rmtree(new)
        if not folder.exists():
            raise


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
