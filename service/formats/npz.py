"""A sparse matrix as ``scipy.sparse.save_npz`` writes it: a zip archive of .npy files.

csr, csc and coo are read; every index is checked. The archive's names are only compared with the few that
``save_npz`` writes, never used as paths; what its members inflate to is bounded before they are read.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray, TooLarge, UnsupportedFormat
from newtond.store.canonical import check_indptr
from service.formats import npy
from service.formats.coordinates import Compressed, Entries, check_indices, compress, compress_rows
from service.formats.limits import FormatLimits
from service.formats.options import Duplicates
from service.formats.text import shown

_COMPRESSED = {"indptr", "indices", "data"}
_COORDINATES = {"row", "col", "data"}
_ALWAYS = {"format", "shape"}
_KNOWN = _COMPRESSED | _COORDINATES | _ALWAYS | {"_is_array", "offsets"}
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1


def read(path: Path, duplicates: Duplicates, limits: FormatLimits) -> Compressed:
    """Read the one sparse matrix of a .npz file; raises InvalidArray, UnsupportedFormat, TooLarge."""
    with _sound_archive(), zipfile.ZipFile(path) as archive:
        members = _members(archive, path.stat().st_size, limits)
        layout, shape = _format(archive, members), _shape(archive, members)
        matrix = _matrix(archive, members, layout, shape, limits)
    if isinstance(matrix, Compressed):
        return compress_rows(matrix, duplicates)
    return compress(matrix, duplicates)


@contextmanager
def _sound_archive() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError) as error:
        raise InvalidArray("The .npz archive is damaged or truncated.") from error
    except (OverflowError, UnicodeDecodeError, ValueError) as error:
        raise InvalidArray("The .npz archive contradicts itself.") from error


def _members(archive: zipfile.ZipFile, size: int, limits: FormatLimits) -> Mapping[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name not in _KNOWN or name == info.filename:
            raise UnsupportedFormat(
                f"{shown(info.filename.encode())} is no part of a sparse matrix: save one with "
                "scipy.sparse.save_npz, or a dense array with np.save."
            )
        if name in members:
            raise InvalidArray(f"The archive has two parts {name}.", source={"part": name})
        members[name] = _plain(info)
    _check_overlap(archive, list(members.values()))
    if sum(info.file_size for info in members.values()) > limits.inflated_from(size):
        raise TooLarge("The .npz archive inflates to more than is allowed for a file of its size.")
    return members


def _plain(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    if info.header_offset < 0:
        raise InvalidArray("The .npz archive is damaged or truncated.")
    if info.flag_bits & _ENCRYPTED:
        raise UnsupportedFormat("The .npz archive is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedFormat(
            "The .npz archive is not compressed by deflate; save it with scipy.sparse.save_npz."
        )
    return info


def _check_overlap(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    members.sort(key=lambda info: info.header_offset)
    starts = [*(info.header_offset for info in members), archive.start_dir]
    for info, following in zip(members, starts[1:], strict=True):
        if info.header_offset + _LOCAL_HEADER + len(info.filename) + info.compress_size > following:
            raise InvalidArray("Two parts of the .npz archive overlap.")


def _open(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> Any:
    if name not in members:
        raise InvalidArray(
            f"The archive has no part {name}: save it with scipy.sparse.save_npz.", source={"part": name}
        )
    return archive.open(members[name])


def _format(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> str:
    with _open(archive, members, "format") as source:
        header = npy.read_header(source)
        text = re.fullmatch(r"[|<>](S|U)([1-9])", header.descr)
        if text is None or header.shape != ():
            raise InvalidArray("The part format is not a short word.", source={"part": "format"})
        width = int(text[2]) * (1 if text[1] == "S" else 4)
        word = (
            npy.read_values(source, header, np.dtype(f"V{width}"))
            .tobytes()
            .replace(b"\0", b"")
            .decode("ascii")
        )
    if word not in ("csr", "csc", "coo"):
        raise UnsupportedFormat(
            f"The sparse format {shown(word.encode())} is not read; "
            "save A.tocsr() with scipy.sparse.save_npz."
        )
    return word


def _shape(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> tuple[int, int]:
    with _open(archive, members, "shape") as source:
        header = npy.read_header(source)
        dtype = npy.number_type(header.descr)
        if header.shape != (2,) or dtype.kind not in "iu":
            raise InvalidArray("The part shape is not two integers.", source={"part": "shape"})
        rows, columns = npy.read_values(source, header, dtype).tolist()
    if min(rows, columns) < 1:
        raise InvalidArray(
            "The matrix has no entries: a dimension is not positive.", source={"part": "shape"}
        )
    return rows, columns


def _matrix(
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    layout: str,
    shape: tuple[int, int],
    limits: FormatLimits,
) -> Entries | Compressed:
    names = _COORDINATES if layout == "coo" else _COMPRESSED
    if surplus := set(members) - names - _ALWAYS - {"_is_array"}:
        raise InvalidArray(f"A {layout} matrix has no part {min(surplus)}.", source={"part": min(surplus)})
    limits.check_sparse(shape, 0)
    parts = {name: _vector(archive, members, name, shape, limits) for name in sorted(names)}
    values = npy.as_doubles(parts["data"], "data")
    if layout == "coo":
        rows = check_indices(parts["row"], "row", shape[0], len(values))
        return Entries(shape, rows, check_indices(parts["col"], "col", shape[1], len(values)), values)
    major, minor = shape if layout == "csr" else shape[::-1]
    indptr = _indptr(parts["indptr"], major, len(values))
    indices = check_indices(parts["indices"], "indices", minor, len(values))
    if layout == "csr":
        return Compressed(shape, indptr, indices, values)
    return Entries(shape, indices, np.repeat(np.arange(major, dtype=np.int32), np.diff(indptr)), values)


def _vector(
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    name: str,
    shape: tuple[int, int],
    limits: FormatLimits,
) -> NDArray[Any]:
    with _open(archive, members, name) as source:
        header = npy.read_header(source)
        if len(header.shape) != 1:
            raise InvalidArray(f"The part {name} is not one-dimensional.", source={"part": name})
        limits.check_sparse(shape, header.shape[0] if name != "indptr" else 0)
        limits.check_dense(header.shape)
        dtype = npy.number_type(header.descr)
        if name != "data" and dtype.kind not in "iu":
            raise InvalidArray(f"The part {name} is not of integers.", source={"part": name})
        return npy.read_values(source, header, dtype)


def _indptr(indptr: NDArray[Any], major: int, entries: int) -> NDArray[np.int64]:
    if len(indptr) != major + 1:
        raise InvalidArray(
            f"indptr has {len(indptr)} entries; this shape needs {major + 1}.", source={"part": "indptr"}
        )
    check_indptr(indptr, entries)
    return indptr.astype(np.int64, copy=False)
