"""NumPy's .npy: one dense array of numbers, its header read by a grammar of our own.

Read: versions 1 to 3; booleans, integers, half, single and double precision of either byte order, in C or
Fortran order, with one or two dimensions. Never objects, records, text, dates or complex numbers.
"""

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray, UnsupportedFormat
from service.formats.inflate import Gzip
from service.formats.limits import FormatLimits
from service.formats.text import Source

MAGIC = b"\x93NUMPY"
_HEADER_LIMIT = 10_000
_PIECE = 1 << 19
"""What is read at once: a piece that stays in the cache is copied for nothing."""
_ENTRY = (
    rb"\s*(?:'descr'\s*:\s*(?P<descr>'[^']{1,20}'|\[)"
    rb"|'fortran_order'\s*:\s*(?P<fortran>True|False)"
    rb"|'shape'\s*:\s*\((?P<shape>[0-9, ]{0,200})\))\s*"
)
_ENTRIES = re.compile(_ENTRY)
_NUMBER = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
_KINDS = {
    "O": "Python objects",
    "U": "text",
    "S": "text",
    "c": "complex numbers",
    "M": "dates",
    "m": "durations",
}


@dataclass(frozen=True)
class Header:
    """The type word, order and shape of the array that follows."""

    descr: str
    fortran: bool
    shape: tuple[int, ...]


def read(path: Path, encoding: str | None, limits: FormatLimits) -> NDArray[np.float64]:
    """Read a .npy file of one or two dimensions; raises InvalidArray, UnsupportedFormat, TooLarge."""
    with closing(Gzip(path, limits) if encoding == "gzip" else path.open("rb")) as source:
        header = read_header(source)
        if len(header.shape) not in (1, 2):
            raise InvalidArray(f"An array has one or two dimensions, not {len(header.shape)}.")
        if min(header.shape) == 0:
            raise InvalidArray("The array has no entries: a dimension is 0.")
        limits.check_dense(header.shape)
        values = read_values(source, header, number_type(header.descr))
    return as_doubles(values.reshape(header.shape, order="F" if header.fortran else "C"))


def read_header(source: Source) -> Header:
    """Read a .npy header and leave the source at the first value."""
    start = _exactly(source, 8)
    if not start.startswith(MAGIC):
        raise InvalidArray("This is not a .npy file: it does not start with `?NUMPY`.")
    if start[6] not in (1, 2, 3) or start[7] != 0:
        raise UnsupportedFormat(f"Version {start[6]}.{start[7]} of .npy is not read; save version 1.0.")
    length = int.from_bytes(_exactly(source, 2 if start[6] == 1 else 4), "little")
    if length > _HEADER_LIMIT:
        raise InvalidArray(f"The .npy header is longer than {_HEADER_LIMIT} bytes.")
    return _parse(_exactly(source, length))


def _exactly(source: Source, length: int) -> bytes:
    buffer = bytearray(length)
    if _fill(source, memoryview(buffer)) < length:
        raise InvalidArray("The .npy header ends too early: the file is truncated.")
    return bytes(buffer)


def _fill(source: Source, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer) and (read := source.readinto(buffer[filled : filled + _PIECE])):
        filled += read
    return filled


def _parse(text: bytes) -> Header:
    body = text.strip()
    found: dict[str, bytes] = {}
    if body[:1] != b"{" or body[-1:] != b"}":
        raise InvalidArray("The .npy header is not a dictionary.")
    at, stop = 1, len(body) - 1
    while at < stop and (match := _ENTRIES.match(body, at, stop)):
        name = str(match.lastgroup)
        if name in found:
            raise InvalidArray("The .npy header says one thing twice.")
        if match[name] == b"[":
            raise UnsupportedFormat(
                "Structured arrays are not read; save one array of plain numbers with np.save."
            )
        found[name] = match[name]
        at = match.end() + (body[match.end() : match.end() + 1] == b",")
    if body[at:stop].strip() or len(found) != 3:
        raise InvalidArray("The .npy header is not of the form {'descr': …, 'fortran_order': …, 'shape': …}.")
    return Header(
        found["descr"].decode("ascii", "replace")[1:-1], found["fortran"] == b"True", _shape(found["shape"])
    )


def _shape(text: bytes) -> tuple[int, ...]:
    lengths = [length.strip() for length in text.split(b",")]
    if lengths[-1] == b"":
        lengths.pop()
    if not all(re.fullmatch(rb"[0-9]{1,40}", length) for length in lengths):
        raise InvalidArray("The shape in the .npy header is not a tuple of lengths.")
    return tuple(int(length) for length in lengths)


def number_type(descr: str) -> np.dtype[Any]:
    """Return the type of numbers that ``descr`` names; raises UnsupportedFormat for anything else."""
    if _NUMBER.fullmatch(descr):
        return np.dtype(descr)
    kind = next(
        (words for letter, words in _KINDS.items() if descr.lstrip("<>=|").startswith(letter)), "this type"
    )
    raise UnsupportedFormat(
        f"An array of {kind} is not read; save plain numbers, np.save(file, A.astype('float64'))."
    )


def read_values(source: Source, header: Header, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read exactly the values that a header announces, flat; raises InvalidArray for fewer or more."""
    size = 1
    for length in header.shape:
        size *= length
    values = np.empty(size, dtype=dtype)
    read = _fill(source, values.view(np.uint8).data)
    if read < values.nbytes:
        raise InvalidArray(f"The values end after {read} of {values.nbytes} bytes: the file is truncated.")
    if source.readinto(memoryview(bytearray(1))):
        raise InvalidArray("More bytes follow the values than the header announces.")
    return values


def as_doubles(array: NDArray[Any], part: str | None = None, before: int = 0) -> NDArray[np.float64]:
    """Convert numbers of any type to float64 in C order, each exactly; raises InvalidArray with its place.

    The first of them is number ``before`` of its ``part``, which an error may name.
    """
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        _refuse(array, ~finite, "is not finite", part, before)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        inexact = (array > 2**53) | (array < -(2**53)) if array.dtype.kind == "i" else array > 2**53
        if inexact.any():
            _refuse(array, inexact, "is past 2^53: a double does not hold it exactly", part, before)
    return np.ascontiguousarray(array, dtype="<f8")


def _refuse(array: NDArray[Any], bad: NDArray[np.bool_], why: str, part: str | None, before: int) -> None:
    place = [int(index) for index in np.unravel_index(int(np.argmax(bad)), array.shape)]
    entry = place if len(place) > 1 else before + place[0]
    where = f"{part}{[entry]}" if part else f"The value at {place}"
    raise InvalidArray(f"{where} {why}.", source={"part": part, "entry": entry} if part else {"entry": entry})
