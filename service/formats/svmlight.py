"""svmlight text, LIBSVM's too: a line a row, ``target [qid:number] index:value … [# comment]``.

One file is A (n, d), b (n,) and, where every line has a qid, the groups (n,). Stricter than the format's
common readers: indices count from 1 (from 0 if ``index_base=0`` is said, never guessed) and rise within a line;
a token is a number as a whole or it is an error with its line and column; all lines have a qid or none. The
file does not say d: it is the largest index unless ``columns`` is given. An index may stand twice in a row
under ``duplicates=sum``.
"""

from contextlib import closing
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray
from service.formats import row_scanner, scanner
from service.formats.body import Body, no_deferred, round_deferred
from service.formats.coordinates import Compressed, compress_rows
from service.formats.faults import guess, refuse_at, token_at
from service.formats.limits import LARGEST_DIMENSION, FormatLimits
from service.formats.options import Options
from service.formats.row_scanner import PREVIOUS, QUERY, TARGET
from service.formats.scanner import AT, FAULT, FILLED, LINE, NO_FAULT, TOKEN
from service.formats.text import shown

_AT_ONCE = 1 << 18


class _Table:
    """The rows read so far, in pieces: a file does not say how many there are."""

    def __init__(self) -> None:
        self.starts: list[NDArray[np.int64]] = []
        self.indices: list[NDArray[np.int32]] = []
        self.data: list[NDArray[np.float64]] = []
        self.targets: list[NDArray[np.float64]] = []
        self.groups: list[NDArray[np.float64]] = []
        self.rows = self.entries = self.columns = 0

    def add(self, columns: NDArray[np.int32], values: NDArray[np.float64]) -> None:
        """Take a stretch of the scanner's list."""
        feature, target = columns >= 0, columns == TARGET
        self.starts.append(self.entries + np.cumsum(feature, dtype=np.int64)[target])
        self.indices.append(columns[feature])
        self.data.append(values[feature])
        self.targets.append(values[target])
        self.groups.append(values[columns == QUERY])
        self.rows += len(self.targets[-1])
        self.entries += len(self.data[-1])
        self.columns = max(self.columns, int(columns.max(initial=-1)) + 1)

    def matrix(self, columns: int) -> Compressed:
        """Return A in canonical form."""
        indptr = np.concatenate([*self.starts, [self.entries]], dtype=np.int64)
        indices, data = np.concatenate(self.indices), np.concatenate(self.data)
        # repeats that were not asked for are refused already
        return compress_rows(Compressed((self.rows, columns), indptr, indices, data), "sum")


def read(
    path: Path, encoding: str | None, options: Options, limits: FormatLimits
) -> list[Compressed | NDArray[np.float64]]:
    """Read A, b and, if the file has them, groups; raises InvalidArray with line and column, TooLarge."""
    with closing(Body(path, encoding, limits, row_scanner.STATE)) as body:
        table = _read_rows(body, options, limits)
    if table.rows == 0:
        raise InvalidArray("The file has no rows: a line is `target index:value …`.")
    columns = options.columns or table.columns
    if columns == 0:
        raise InvalidArray("No line has an entry: say columns, the number of columns of A.")
    limits.check_sparse((table.rows, columns), table.entries)
    matrix, groups = table.matrix(columns), np.concatenate(table.groups)
    return [matrix, np.concatenate(table.targets), *([groups] if len(groups) else [])]


def _read_rows(body: Body, options: Options, limits: FormatLimits) -> _Table:
    table, deferred = _Table(), no_deferred()
    columns, bits = np.empty(_AT_ONCE, dtype=np.int32), np.empty(_AT_ONCE, dtype=np.uint64)
    base = 1 if options.index_base is None else options.index_base
    most, repeats = options.columns or LARGEST_DIMENSION, options.duplicates == "sum"
    body.state[PREVIOUS] = row_scanner.NEW_LINE
    while True:
        row_scanner.scan_rows(body.text, base, most, repeats, columns, bits, deferred, body.state)
        round_deferred(body, deferred, bits.view(np.float64))
        if body.state[FAULT] != NO_FAULT:
            _refuse(body, base, most)
        read = int(body.state[FILLED])
        table.add(columns[:read], bits.view(np.float64)[:read])
        body.state[FILLED] = 0
        limits.check_sparse((max(table.rows, 1), max(table.columns, 1)), table.entries)
        if body.state[AT] == len(body.text) and not body.advance():
            return table


def _refuse(body: Body, base: int, most: int) -> NoReturn:
    at, line = int(body.state[TOKEN]), int(body.state[LINE])
    token = token_at(body.text, at)
    index, word = token.partition(b":")[0], shown(token)
    why = {
        scanner.BAD_INDEX: f"{word} is not index:value",
        scanner.ZERO_INDEX: "the index 0: indices count from 1 unless index_base=0 is said",
        scanner.COLUMN_OUTSIDE: f"the index {shown(index)} is outside: A has {most} columns",
        scanner.MISSING: f"{word} has no value",
        scanner.BAD_NUMBER: f"{word} is not a number{guess(token)}",
        scanner.HUGE_INTEGER: f"{word} is past 2^53",
        row_scanner.TWICE: f"the index {shown(index)} stands twice; duplicates=sum adds them up",
        row_scanner.UNORDERED: f"the index {shown(index)} comes after a greater one",
        row_scanner.NO_QUERY: "this line has no qid, those before it have",
        row_scanner.LATE_QUERY: f"{word}: a line before this one has no qid",
        row_scanner.BAD_QUERY: f"{word} is not qid:number right after the target",
    }[int(body.state[FAULT])]
    refuse_at(body.text, at, line, why)
