"""Content-addressed arrays in one canonical form, as raw .npy files that every process maps into memory.

The canonical form of a sparse matrix (n, d) is CSR: ``indptr`` int64 (n + 1), ``indices`` int32 (int64
past 2³¹ columns) strictly increasing in each row, ``data`` float64, finite and nowhere zero; of a dense
array it is ``data``, float64 in C order. All little-endian. The id of an array is

    "sha256:" + sha256(header + buffers)

where ``header`` is one line of JSON with sorted keys, no blanks and a final newline,

    {"data":"<f8","format":"csr","indices":"<i4","indptr":"<i8","shape":[n,d]}    then indptr, indices, data
    {"data":"<f8","format":"dense","shape":[n,d]}                                 then data

so that a client can compute it before it uploads.

An array is written beside, in ``incoming/``, fsynced and renamed into place as one directory: it is there
completely or not at all, and two writers of the same content leave one array.
"""

import errno
import fcntl
import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from newtond.contract.array import ArrayInfo
from newtond.contract.errors import InvalidArray, NotFound, QuotaExceeded, StorageFull
from newtond.store.canonical import ColumnSummary, check_csr, check_dense, summarise_columns
from newtond.store.files import replace, room, sync_directory

Format = Literal["csr", "dense"]
Parts = Mapping[str, NDArray[Any]]
_ID = re.compile(r"sha256:([0-9a-f]{64})")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTS: dict[str, tuple[str, ...]] = {"csr": ("indptr", "indices", "data"), "dense": ("data",)}
_CHUNK = 1 << 24
_LARGE = 1 << 22
"""The bytes of an array from which on it is worth a thread to hash it aside."""


@dataclass(frozen=True)
class StoredArray:
    """An array at rest, mapped read-only: parts indptr, indices, data of a ``csr``, data of a ``dense``."""

    id: str
    format: Format
    shape: tuple[int, ...]
    parts: Mapping[str, np.memmap[Any, Any]]

    def as_vector(self) -> NDArray[np.float64]:
        """Return this as (n,): a vector, or one row or column, dense or sparse; else raise InvalidArray."""
        if len(self.shape) == 2 and 1 not in self.shape:
            raise InvalidArray(f"A matrix of shape {self.shape[0]} x {self.shape[1]} is not a vector.")
        if self.format == "dense":
            return np.asarray(self.parts["data"]).reshape(-1)
        vector = np.zeros(max(self.shape))
        vector[_positions(self)] = self.parts["data"]
        return vector


def _positions(array: StoredArray) -> NDArray[np.intp]:
    if array.shape[0] == 1:
        return np.asarray(array.parts["indices"], dtype=np.intp)
    return np.flatnonzero(np.diff(array.parts["indptr"]))


class ArrayStore:
    """The arrays under ``root``, one directory each; safe for any number of processes at once."""

    def __init__(self, root: Path, room: int | None = None) -> None:
        """Open the store; through this view of it at most ``room`` bytes may be added, None for any number."""
        self.root = root
        self._room = room
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._sizes: dict[str, int] = {}

    def put_csr(
        self, shape: tuple[int, int], indptr: NDArray[Any], indices: NDArray[Any], data: NDArray[Any]
    ) -> tuple[ArrayInfo, bool]:
        """Store a sparse (n, d) matrix that is canonical already; return it and whether it is new.

        Raises InvalidArray where it is not canonical, StorageFull.
        """
        index = "<i4" if shape[1] <= 2**31 else "<i8"
        parts = {"indptr": _cast(indptr, "<i8"), "indices": _cast(indices, index), "data": _cast(data, "<f8")}
        check_csr(shape, parts["indptr"], parts["indices"], parts["data"])
        return self._put("csr", shape, parts)

    def put_dense(self, array: NDArray[Any]) -> tuple[ArrayInfo, bool]:
        """Store a dense (n,) or (n, d) array; return it and whether it is new.

        Raises InvalidArray, StorageFull.
        """
        data = _cast(array, "<f8")
        check_dense(data)
        return self._put("dense", data.shape, {"data": data})

    def exists(self, id: str) -> bool:
        """Say whether this array is stored."""
        return (self._directory(id) / "meta.json").is_file()

    def info(self, id: str) -> ArrayInfo:
        """Return the resource of an array; raises NotFound."""
        try:
            return ArrayInfo.model_validate_json((self._directory(id) / "meta.json").read_bytes())
        except FileNotFoundError:
            raise _not_found(id) from None

    def open(self, id: str) -> StoredArray:
        """Map an array into memory, read-only; raises NotFound."""
        info = self.info(id)
        names = _PARTS[info.format]
        try:
            parts = {name: np.load(self.path(id, name), mmap_mode="r", allow_pickle=False) for name in names}
        except FileNotFoundError:
            raise _not_found(id) from None
        return StoredArray(id, cast(Format, info.format), info.shape, parts)

    def path(self, id: str, part: str = "data") -> Path:
        """Return the .npy file of a part; raises NotFound."""
        info = self.info(id)
        if part not in _PARTS[info.format]:
            raise NotFound(f"A {info.format} array has no part of that name.")
        return self._directory(id) / f"{part}.npy"

    def beside(self, id: str, name: str) -> dict[str, NDArray[Any]] | None:
        """Return what was kept beside an array under this name; None where nothing (whole) is."""
        try:
            with np.load(self._directory(id) / f"{name}.npz", allow_pickle=False) as kept:
                return dict(kept)
        except (FileNotFoundError, ValueError, zipfile.BadZipFile):
            return None

    def keep_beside(self, id: str, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what was computed of an array beside it; lost with it, and no matter if it is."""
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **dict(arrays))
        try:
            replace(self._directory(id) / f"{name}.npz", content.getvalue())
        except (FileNotFoundError, StorageFull):
            return

    def delete(self, id: str) -> None:
        """Remove an array, at once; processes that mapped it keep it. Raises NotFound."""
        with self._staging() as staging:
            try:
                self._directory(id).rename(staging / "deleted")
            except FileNotFoundError:
                raise _not_found(id) from None

    def ids(self) -> list[str]:
        """Return the ids of all arrays, in order."""
        names = (folder.name for folder in self.root.iterdir())
        return sorted("sha256:" + name for name in names if _DIGEST.fullmatch(name))

    def stored_bytes(self) -> int:
        """Return the bytes of all arrays; one that was counted before costs no look at its files."""
        sizes = {id: self._sizes.get(id) or self._size(id) for id in self.ids()}
        self._sizes = sizes
        return sum(sizes.values())

    def _size(self, id: str) -> int:
        try:
            return self.info(id).bytes
        except NotFound:  # deleted since it was listed
            return 0

    def touch(self, id: str) -> bool:
        """Note that an array is wanted now; False if it is not there. It does not expire in the same moment."""
        with _locked(self.root, fcntl.LOCK_SH):
            if not self.exists(id):
                return False
            os.utime(self._directory(id))
            return True

    def expire(self, when: float, needed: Set[str]) -> list[str]:
        """Remove the arrays last wanted before ``when`` that are not ``needed``; return their ids.

        An array that is put or touched while this runs is either kept or written anew.
        """
        with _locked(self.root, fcntl.LOCK_EX):
            expired = [id for id in self.ids() if id not in needed and self._wanted_at(id) < when]
            for id in expired:
                self.delete(id)
        return expired

    def _wanted_at(self, id: str) -> float:
        try:
            return self._directory(id).stat().st_mtime
        except FileNotFoundError:  # deleted since it was listed
            return math.inf

    def sweep(self) -> int:
        """Remove what dead writers left in ``incoming/``, once, at the start; return how many."""
        with _locked(self._incoming, fcntl.LOCK_EX):
            return sum(_remove_if_abandoned(path) for path in list(self._incoming.iterdir()))

    def _directory(self, id: str) -> Path:
        match = _ID.fullmatch(id)
        if match is None:
            raise _not_found(id)
        return self.root / match[1]

    def _put(self, format: Format, shape: tuple[int, ...], parts: Parts) -> tuple[ArrayInfo, bool]:
        size = sum(part.nbytes for part in parts.values())
        if size >= _LARGE and (self._room is None or size <= self._room):
            with ThreadPoolExecutor(1) as aside:
                return self._put_ahead(aside.submit(digest, format, shape, parts), format, shape, parts)
        id = digest(format, shape, parts)
        if self.touch(id):
            return self.info(id), False
        self._take_room(size)
        with room(), self._staging() as staging:
            _write_parts(staging / "array", parts)
            info = _describe(id, format, shape, parts, _summarise(shape, parts))
            return self._complete(staging / "array", info)

    def _put_ahead(
        self, digested: Future[str], format: Format, shape: tuple[int, ...], parts: Parts
    ) -> tuple[ArrayInfo, bool]:
        """Write a large array while it is hashed: what is stored already is written for nothing."""
        with room(), self._staging() as staging:
            _write_parts(staging / "array", parts)
            columns = _summarise(shape, parts)
            id = digested.result()
            if self.touch(id):
                return self.info(id), False
            info = _describe(id, format, shape, parts, columns)
            self._take_room(info.bytes)
            return self._complete(staging / "array", info)

    def _complete(self, written: Path, info: ArrayInfo) -> tuple[ArrayInfo, bool]:
        _write_info(written, info)
        return info, self._publish(written, info.id)

    def _take_room(self, size: int) -> None:
        if self._room is None:
            return
        if size > self._room:
            raise QuotaExceeded(f"This array has {size} bytes, and there is room for {self._room} more.")
        self._room -= size

    def _publish(self, written: Path, id: str) -> bool:
        try:
            written.rename(self._directory(id))
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
            raise
        sync_directory(self.root)
        return True

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """A directory of our own under ``incoming/``, locked while we live: the sweep leaves it alone."""
        staging = self._incoming / secrets.token_hex(16)
        with _locked(self._incoming, fcntl.LOCK_SH):
            staging.mkdir()
            descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield staging
        finally:
            shutil.rmtree(staging)
            os.close(descriptor)


def digest(format: str, shape: tuple[int, ...], parts: Parts) -> str:
    """Return the id of an array in canonical form."""
    names = _PARTS[format]
    header = {"format": format, "shape": list(shape), **{name: parts[name].dtype.str for name in names}}
    state = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    for name in names:
        for chunk in _chunks(parts[name]):
            state.update(chunk)
    return "sha256:" + state.hexdigest()


def _chunks(array: NDArray[Any]) -> Iterator[memoryview]:
    """The bytes of a C-ordered array, little by little: a mapped input need not fit into memory."""
    flat = array.reshape(-1).view(np.uint8)
    for start in range(0, len(flat), _CHUNK):
        yield flat[start : start + _CHUNK].data


def _cast(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Bring an array into little-endian C order; raises InvalidArray where a value would change."""
    source = np.asarray(array)
    if source.dtype.kind not in ("biuf" if dtype == "<f8" else "iu"):
        raise InvalidArray(f"An array of {source.dtype} is not one of {np.dtype(dtype)}.")
    with np.errstate(over="ignore"):
        result = np.asarray(source, dtype=dtype, order="C")
    if not _is_exact(source, result):
        raise InvalidArray(f"Values of {source.dtype} do not all fit {result.dtype} exactly.")
    return result


def _is_exact(source: NDArray[Any], result: NDArray[Any]) -> bool:
    if np.can_cast(source.dtype, result.dtype) and source.dtype.kind in ("b", result.dtype.kind):
        return True
    if source.dtype.kind in "iu" and result.dtype.kind == "f":
        return source.size == 0 or (int(source.max()) <= 2**53 and int(source.min()) >= -(2**53))
    return np.array_equal(result, source, equal_nan=source.dtype.kind == "f")


def _summarise(shape: tuple[int, ...], parts: Parts) -> ColumnSummary:
    return summarise_columns(shape, parts) if len(shape) == 2 else ColumnSummary(None, None)


def _describe(
    id: str, format: Format, shape: tuple[int, ...], parts: Parts, columns: ColumnSummary
) -> ArrayInfo:
    return ArrayInfo(
        id=id,
        format=format,
        shape=shape,
        nnz=int(parts["data"].size if format == "csr" else np.count_nonzero(parts["data"])),
        dtype="float64",
        bytes=sum(part.nbytes for part in parts.values()),
        empty_columns=columns.empty,
        column_norms=columns.norms,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def _write_parts(directory: Path, parts: Parts) -> None:
    directory.mkdir()
    for name, part in parts.items():
        with (directory / f"{name}.npy").open("xb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(part))
            file.writelines(_chunks(part))
            _flush(file)


def _write_info(directory: Path, info: ArrayInfo) -> None:
    with (directory / "meta.json").open("xb") as file:
        file.write(info.model_dump_json().encode())
        _flush(file)
    sync_directory(directory)


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _locked(directory: Path, operation: int) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)


def _remove_if_abandoned(staging: Path) -> bool:
    try:
        with _locked(staging, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(staging)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _not_found(id: str) -> NotFound:
    return NotFound(f"There is no array {id}." if _ID.fullmatch(id) else "There is no such array.")
