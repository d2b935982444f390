"""JSON, for small arrays: nested lists, or ``{"shape": [n, d], "row": […], "col": […], "value": […]}``.

Stricter than JSON's common readers: no NaN, no Infinity, no booleans among numbers, no key twice, no ragged
rows; an error names the place by its JSON pointer.
"""

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray, TooLarge
from service.formats.coordinates import Compressed, Entries, compress
from service.formats.inflate import Gzip
from service.formats.limits import FormatLimits
from service.formats.options import Duplicates

_KEYS = ("shape", "row", "col", "value")


def read(
    path: Path, encoding: str | None, duplicates: Duplicates, limits: FormatLimits
) -> Compressed | NDArray[np.float64]:
    """Read the one array of a JSON file; raises InvalidArray with its JSON pointer, TooLarge."""
    document = _load(_text(path, encoding, limits))
    if isinstance(document, dict):
        return compress(_coordinates(document, limits), duplicates)
    if not isinstance(document, list):
        _refuse("", "is neither a list nor an object with shape, row, col and value")
    return _dense(document, limits)


def _text(path: Path, encoding: str | None, limits: FormatLimits) -> bytes:
    buffer = memoryview(bytearray(limits.json_bytes + 1))
    filled = 0
    with closing(Gzip(path, limits) if encoding == "gzip" else path.open("rb")) as source:
        while read := source.readinto(buffer[filled:]):
            filled += read
    if filled > limits.json_bytes:
        raise TooLarge(
            f"JSON is read up to {limits.json_bytes} bytes; send Matrix Market, .npy or .npz instead."
        )
    return bytes(buffer[:filled])


def _load(text: bytes) -> Any:
    try:
        return json.loads(
            text.decode("utf-8"), parse_int=_integer, parse_constant=_Constant, object_pairs_hook=_object
        )
    except UnicodeDecodeError as error:
        raise InvalidArray(f"Byte {error.start} is not UTF-8.", source={"byte": error.start}) from error
    except json.JSONDecodeError as error:
        place = {"line": error.lineno, "column": error.colno}
        raise InvalidArray(
            f"Line {error.lineno}, column {error.colno}: this is not JSON ({error.msg}).", source=place
        ) from error
    except RecursionError as error:
        raise InvalidArray("The lists are nested too deeply: an array has one or two dimensions.") from error
    except ValueError as error:
        raise InvalidArray("An integer has too many digits.") from error


class _Constant(str):
    """NaN, Infinity or -Infinity, kept until its place is known."""

    __slots__ = ()


def _integer(text: str) -> int | float:
    """Return an integer, or the double −0 that Python's integers do not have."""
    return int(text) or (-0.0 if text.startswith("-") else 0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidArray("A key stands twice in an object.")
    return found


def _refuse(pointer: str, why: str) -> NoReturn:
    raise InvalidArray(
        f"{f'The value at {pointer}' if pointer else 'The document'} {why}.", source={"pointer": pointer}
    )


def _dense(rows: list[Any], limits: FormatLimits) -> NDArray[np.float64]:
    if not rows:
        _refuse("", "is an empty list")
    if not isinstance(rows[0], list):
        return np.array([_number(value, f"/{i}") for i, value in enumerate(rows)])
    limits.check_dense((len(rows), max(len(rows[0]), 1)))
    return np.array([_row(row, f"/{i}", len(rows[0])) for i, row in enumerate(rows)])


def _row(row: Any, pointer: str, length: int) -> list[float]:
    if not isinstance(row, list):
        _refuse(pointer, "is not a list, as the first row is")
    if not row:
        _refuse(pointer, "is an empty row")
    if len(row) != length:
        _refuse(pointer, f"has {len(row)} entries and the first row has {length}")
    return [_number(value, f"{pointer}/{j}") for j, value in enumerate(row)]


def _number(value: Any, pointer: str) -> float:
    if isinstance(value, list):
        _refuse(pointer, "is a list where a number should be")
    if isinstance(value, _Constant):
        _refuse(pointer, f"is {value}: every value must be finite")
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(pointer, "is not a number")
    try:
        number = float(value)
    except OverflowError:
        _refuse(pointer, "is beyond the largest double")
    if not math.isfinite(number):
        _refuse(pointer, "is beyond the largest double")
    return number


def _coordinates(document: dict[str, Any], limits: FormatLimits) -> Entries:
    for key in _KEYS:
        if not isinstance(document.get(key), list):
            _refuse(f"/{key}", "is not a list")
    if len(document) > len(_KEYS):
        raise InvalidArray(
            "A sparse matrix has shape, row, col and value, and nothing else.", source={"pointer": ""}
        )
    shape = _shape(document["shape"])
    limits.check_sparse(shape, len(document["value"]))
    values = np.array([_number(value, f"/value/{k}") for k, value in enumerate(document["value"])])
    rows, columns = (
        _indices(document[key], key, limit, len(values))
        for key, limit in zip(("row", "col"), shape, strict=True)
    )
    return Entries(shape, rows, columns, values)


def _shape(shape: list[Any]) -> tuple[int, int]:
    if len(shape) != 2:
        _refuse("/shape", "is not a pair of lengths")
    for axis, length in enumerate(shape):
        if type(length) is not int or length < 1:
            _refuse(f"/shape/{axis}", "is not a positive integer")
    return shape[0], shape[1]


def _indices(indices: list[Any], key: str, limit: int, entries: int) -> NDArray[np.int32]:
    if len(indices) != entries:
        _refuse(f"/{key}", f"has {len(indices)} entries and value has {entries}")
    for k, index in enumerate(indices):
        if type(index) is not int:
            _refuse(f"/{key}/{k}", "is not an integer")
        if not 0 <= index < limit:
            _refuse(f"/{key}/{k}", f"is outside 0 to {limit - 1}")
    return np.array(indices, dtype=np.int32)
