"""What a file is by its first bytes: a refusal that names what came is worth more than a parse error."""

from pathlib import Path
from typing import NoReturn

from newtond.contract.errors import InvalidArray
from service.formats import inflate
from service.formats.media_type import MEDIA_TYPES, refuse_foreign

_FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"MATLAB 7.3", "MATLAB (HDF5)"),
    (b"MATLAB ", "MATLAB"),
    (b"PAR1", "Parquet"),
    (b"FEA1", "Feather 1"),
    (b"CDF", "NetCDF"),
    (b"SIMPLE  =", "FITS"),
    (b"\x80\x02", "pickle"),
    (b"\x80\x03", "pickle"),
    (b"\x80\x04", "pickle"),
    (b"\x80\x05", "pickle"),
    (b"RDX", "R"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"7z\xbc\xaf", "7-Zip"),
    (b"%PDF", "PDF"),
    (b"\x7fELF", "program"),
)
_OURS = ((b"\x93NUMPY", "npy"), (b"PK\x03\x04", "npz"), (b"%%MatrixMarket", "mtx"), (b"ARROW1", "arrow"))
_MARKS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_LONGEST = 16
_GZIPPED = ("mtx", "npy", "svmlight", "arrow", "json")


def encoding_of(path: Path, format: str, encoding: str | None) -> str | None:
    """Return "gzip" or None, whatever was said: a .gz file may come without its Content-Encoding.

    Raises InvalidArray for an empty file or one in another of our formats, UnsupportedFormat for others.
    """
    with path.open("rb") as file:
        start = file.read(_LONGEST)
    if not start:
        raise InvalidArray("The file is empty.")
    if start.startswith(inflate.MAGIC) and format in _GZIPPED:
        return "gzip"
    if encoding == "gzip":
        if format not in _GZIPPED:
            raise InvalidArray(f"A .{format} file is compressed in itself; send it without Content-Encoding.")
        raise InvalidArray("The content is not gzip, as its Content-Encoding says.")
    _refuse_if_known(start, format)
    return None


def _refuse_if_known(start: bytes, format: str) -> None:
    for magic, kind in _FOREIGN:
        if start.startswith(magic):
            refuse_foreign(kind)
    for magic, mark in _MARKS:
        if start.startswith(magic):
            raise InvalidArray(
                f"The file starts with a {mark} byte order mark; save it as plain text without one."
            )
    for magic, name in _OURS:
        if start.startswith(magic) and name != format:
            _refuse_other(name, format)


def _refuse_other(name: str, format: str) -> NoReturn:
    media_type = next(key for key, value in MEDIA_TYPES.items() if value == name)
    raise InvalidArray(f"This is a .{name} file, not {format}; send it as {media_type}.")
