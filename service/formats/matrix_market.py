"""Matrix Market text (.mtx): banner, comments, sizes, and then the entries.

Read: ``coordinate`` and ``array``; ``real``, ``integer`` and ``pattern``; ``general``, ``symmetric`` and
``skew-symmetric``. Comments and blank lines may stand anywhere after the banner, lines end in LF or CRLF, the
last one in nothing at all. Stricter than the format's common readers: a token is a number as a whole or it
is an error with its line and column; the count of entries is kept; of a symmetric matrix only the lower
triangle may be given. An ``array`` of one column is a vector (n,); a ``coordinate`` matrix stays a matrix.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray, UnsupportedFormat
from service.formats import scanner
from service.formats.body import Body, no_deferred, round_deferred
from service.formats.coordinates import Compressed, DuplicateEntry, Entries, compress
from service.formats.faults import refuse
from service.formats.limits import FormatLimits
from service.formats.options import Duplicates
from service.formats.scanner import AT, FAULT, FILLED, LINE, NO_FAULT
from service.formats.text import Bytes, shown

_BANNER = b"%%matrixmarket"
_FIELDS = {
    "pattern": scanner.PATTERN,
    "real": scanner.REAL,
    "double": scanner.REAL,
    "integer": scanner.INTEGER,
}
_SYMMETRIES = {"general": scanner.GENERAL, "symmetric": scanner.SYMMETRIC, "skew-symmetric": scanner.SKEW}
_SHORTEST_ENTRY = {"coordinate": 4, "array": 2}


@dataclass(frozen=True)
class Header:
    """What banner and size line say: entries are stored ones, a symmetric matrix has more."""

    layout: str
    field: int
    symmetry: int
    shape: tuple[int, int]
    entries: int


def read(
    path: Path, encoding: str | None, duplicates: Duplicates, limits: FormatLimits
) -> Compressed | NDArray[np.float64]:
    """Read the one matrix or vector of a .mtx file; raises InvalidArray with line and column, TooLarge."""
    with closing(Body(path, encoding, limits)) as body:
        header = _read_header(body)
        _check_size(header, path, encoding, limits)
        if header.layout == "array":
            return _read_array(body, header)
        entries = _read_coordinates(body, header)
    try:
        return compress(_mirror(entries, header.symmetry), duplicates)
    except DuplicateEntry as error:
        _refuse_duplicate(error, header, entries, path, encoding, limits)


def _read_header(body: Body) -> Header:
    layout, field, symmetry = _banner(body.line())
    number, line = _first_with_content(body)
    sizes = line.split()
    wanted = 3 if layout == "coordinate" else 2
    if len(sizes) != wanted:
        names = "rows, columns and entries" if wanted == 3 else "rows and columns"
        raise InvalidArray(
            f"Line {number}: the size line of this layout has {names}.", source={"line": number}
        )
    counts = [_size(number, line, token) for token in sizes]
    header = Header(layout, field, symmetry, (counts[0], counts[1]), counts[2] if wanted == 3 else 0)
    _check_header(header, number)
    return header if wanted == 3 else Header(layout, field, symmetry, header.shape, _stored(header))


def _banner(line: tuple[int, bytes] | None) -> tuple[str, int, int]:
    words = line[1].lower().split() if line else []
    if not words or words[0] != _BANNER:
        raise InvalidArray(
            "Line 1: a Matrix Market file starts with `%%MatrixMarket matrix …`.", source={"line": 1}
        )
    if len(words) != 5:
        raise InvalidArray(
            "Line 1: the banner has five words, such as `%%MatrixMarket matrix coordinate real general`.",
            source={"line": 1},
        )
    layout, field, symmetry = (word.decode("ascii", "replace") for word in words[2:])
    _expect(words[1] == b"matrix", words[1], "only `matrix` objects are read")
    _expect(layout in _SHORTEST_ENTRY, words[2], "the layout is `coordinate` or `array`")
    if field == "complex" or symmetry == "hermitian":
        raise UnsupportedFormat(
            "Line 1: complex and hermitian matrices are not read; save the real matrix you mean.",
            source={"line": 1},
        )
    _expect(field in _FIELDS, words[3], "the field is `real`, `integer` or `pattern`")
    _expect(symmetry in _SYMMETRIES, words[4], "the symmetry is `general`, `symmetric` or `skew-symmetric`")
    _expect(
        layout != "array" or field != "pattern", words[3], "an `array` has values: it cannot be a pattern"
    )
    _expect(field != "pattern" or symmetry != "skew-symmetric", words[4], "a pattern has no signs to be skew")
    return layout, _FIELDS[field], _SYMMETRIES[symmetry]


def _expect(holds: bool, word: bytes, why: str) -> None:
    if not holds:
        raise InvalidArray(f"Line 1: {shown(word)} is not read here: {why}.", source={"line": 1})


def _first_with_content(body: Body) -> tuple[int, bytes]:
    while scanner.next_entry(body.text, body.state) == len(body.text):
        if not body.advance():
            raise InvalidArray("The file ends before its size line.")
    line = body.line()
    assert line is not None
    return line


def _size(number: int, line: bytes, token: bytes) -> int:
    if not token.isdigit():
        column = line.index(token) + 1
        raise InvalidArray(
            f"Line {number}: {shown(token)} is not a size.", source={"line": number, "column": column}
        )
    return int(token)


def _check_header(header: Header, number: int) -> None:
    rows, columns = header.shape
    if min(rows, columns) == 0:
        raise InvalidArray(f"Line {number}: a matrix needs a row and a column.", source={"line": number})
    if header.symmetry != scanner.GENERAL and rows != columns:
        raise InvalidArray(f"Line {number}: a symmetric matrix is square.", source={"line": number})


def _stored(header: Header) -> int:
    rows, columns = header.shape
    if header.symmetry == scanner.GENERAL:
        return rows * columns
    return rows * (rows + (1 if header.symmetry == scanner.SYMMETRIC else -1)) // 2


def _check_size(header: Header, path: Path, encoding: str | None, limits: FormatLimits) -> None:
    if header.layout == "array":
        limits.check_dense(header.shape)
    else:
        limits.check_sparse(header.shape, header.entries * (1 if header.symmetry == scanner.GENERAL else 2))
    size = path.stat().st_size
    text = limits.inflated_from(size) if encoding == "gzip" else size
    if header.entries * _SHORTEST_ENTRY[header.layout] > text + 1:
        raise InvalidArray(
            f"The header promises {header.entries} entries: the file is too short to hold them."
        )


def _read_coordinates(body: Body, header: Header) -> Entries:
    rows, columns = (np.empty(header.entries, dtype=np.int32) for _ in range(2))
    bits = np.empty(header.entries, dtype=np.uint64)
    shape = np.array(header.shape, dtype=np.int64)

    def scan(text: Bytes, deferred: NDArray[np.int64]) -> None:
        scanner.scan_coordinates(
            text, shape, header.field, header.symmetry, rows, columns, bits, deferred, body.state
        )

    _fill(body, header, bits, scan)
    return Entries(header.shape, rows, columns, bits.view(np.float64))


def _read_array(body: Body, header: Header) -> NDArray[np.float64]:
    bits = np.empty(header.entries, dtype=np.uint64)

    def scan(text: Bytes, deferred: NDArray[np.int64]) -> None:
        scanner.scan_values(text, header.field, bits, deferred, body.state)

    _fill(body, header, bits, scan)
    values, (rows, columns) = bits.view(np.float64), header.shape
    if columns == 1 and header.symmetry == scanner.GENERAL:
        return values
    if header.symmetry == scanner.GENERAL:
        return np.ascontiguousarray(values.reshape(columns, rows).T)
    return _unpack(values, rows, header.symmetry)


def _fill(
    body: Body, header: Header, bits: NDArray[np.uint64], scan: Callable[[Bytes, NDArray[np.int64]], None]
) -> None:
    """Scan block after block until the end of the text; raises InvalidArray at the first fault."""
    deferred = no_deferred()
    while True:
        scan(body.text, deferred)
        round_deferred(body, deferred, bits.view(np.float64))
        if body.state[FAULT] != NO_FAULT:
            refuse(body.text, body.state, header.shape, header.entries)
        if body.state[AT] == len(body.text) and not body.advance():
            break
    if body.state[FILLED] < header.entries:
        raise InvalidArray(
            f"The file ends after {body.state[FILLED]} entries: the header promises {header.entries}.",
            source={"line": int(body.state[LINE])},
        )


def _mirror(entries: Entries, symmetry: int) -> Entries:
    if symmetry == scanner.GENERAL:
        return entries
    off = np.flatnonzero(entries.rows != entries.columns)
    values = entries.values[off]
    return Entries(
        entries.shape,
        np.concatenate([entries.rows, entries.columns[off]]),
        np.concatenate([entries.columns, entries.rows[off]]),
        np.concatenate([entries.values, -values if symmetry == scanner.SKEW else values]),
    )


def _unpack(values: NDArray[np.float64], order: int, symmetry: int) -> NDArray[np.float64]:
    """Spread a lower triangle, stored column by column, over a whole matrix."""
    full, start = np.zeros((order, order)), 0
    sign, first = (-1.0, 1) if symmetry == scanner.SKEW else (1.0, 0)
    for column in range(order):
        below = values[start : start + order - column - first]
        full[column + first :, column] = below
        full[column, column + first :] = sign * below
        start += len(below)
    return full


def _refuse_duplicate(
    found: DuplicateEntry,
    header: Header,
    entries: Entries,
    path: Path,
    encoding: str | None,
    limits: FormatLimits,
) -> NoReturn:
    row, column = found.place if header.symmetry == scanner.GENERAL else (max(found.place), min(found.place))
    both = np.flatnonzero((entries.rows == row) & (entries.columns == column))[:2].tolist()
    with closing(Body(path, encoding, limits)) as body:
        _read_header(body)
        first, second = (_line_of(body, entry) for entry in both)
    raise InvalidArray(
        f"Lines {first} and {second} both give the entry ({row + 1}, {column + 1}); "
        "ask for duplicates=sum to add them up.",
        source={"line": second, "entry": [row + 1, column + 1]},
    ) from found


def _line_of(body: Body, entry: int) -> int:
    while not (line := int(scanner.find_line(body.text, entry, body.state))):
        body.advance()
    return line
