"""A scanner's fault in words: line, column, a short and harmless token, and a guess at the cause."""

import re
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from newtond.contract.errors import InvalidArray
from service.formats import scanner
from service.formats.scanner import FAULT, LINE, TOKEN
from service.formats.text import Bytes, shown

_GUESSES = (
    (rb"[+-]?\d+,\d+([eE][+-]?\d+)?", "decimal comma?"),
    (rb"[+-]?[\d.]+[dD][+-]?\d+", "a Fortran exponent: write e for D"),
    (rb"[+-]?0[xX].*", "hexadecimal is not read"),
    (rb"(?i)[+-]?(nan|inf|infinity)", "every value must be finite"),
    (rb".*[\x00-\x08\x0b-\x1f\x7f].*", "control characters: is this a text file?"),
    (rb".*[,;].*", "values are separated by blanks"),
    (rb".*_.*", "no underscores"),
    (rb".{256}", f"or longer than {scanner.LONGEST} characters"),
)


def refuse(text: Bytes, state: NDArray[np.int64], shape: tuple[int, int], entries: int) -> NoReturn:
    """Raise the InvalidArray of the fault that a scanner stopped at."""
    at = int(state[TOKEN])
    why = _explain(int(state[FAULT]), token_at(text, at), shape, entries)
    refuse_at(text, at, int(state[LINE]), why)


def refuse_overflow(text: Bytes, at: int, line: int) -> NoReturn:
    """Raise the InvalidArray of a number beyond the largest double."""
    refuse_at(text, at, line, f"{shown(token_at(text, at))} is beyond the largest double")


def refuse_at(text: Bytes, at: int, line: int, why: str) -> NoReturn:
    """Raise the InvalidArray of a fault at a place of a block, with its line and column."""
    column = at - text[:at].tobytes().rfind(b"\n")
    raise InvalidArray(f"Line {line}: {why}.", source={"line": line, "column": column})


def token_at(text: Bytes, at: int) -> bytes:
    """Return the start of the token at a place of a block."""
    match = re.match(rb"[^ \t\n]*", text[at : at + 256].tobytes())
    return match[0].removesuffix(b"\r") if match else b""


def _explain(fault: int, token: bytes, shape: tuple[int, int], entries: int) -> str:
    word = shown(token)
    return {
        scanner.BAD_INDEX: f"{word} is not an index",
        scanner.ZERO_INDEX: "the index 0: Matrix Market counts from 1",
        scanner.ROW_OUTSIDE: f"row {word} is outside: the matrix has {shape[0]} rows",
        scanner.COLUMN_OUTSIDE: f"column {word} is outside: the matrix has {shape[1]} columns",
        scanner.BAD_NUMBER: f"{word} is not a number{guess(token)}",
        scanner.BAD_INTEGER: f"{word} is not an integer, as the banner says",
        scanner.HUGE_INTEGER: f"{word} is past 2^53: a double does not hold it exactly",
        scanner.MISSING: "the line ends too early",
        scanner.SURPLUS: f"{word} is one value too many on this line",
        scanner.ENTRY_TOO_MANY: f"one entry too many: the header promises {entries}",
        scanner.ABOVE_DIAGONAL: "an entry above the diagonal: symmetric files give the lower triangle only",
        scanner.ON_DIAGONAL: "an entry on the diagonal: of a skew-symmetric matrix it is zero and not given",
    }[fault]


def guess(token: bytes) -> str:
    """Return what may be wrong with a token that is no number, in brackets, or nothing."""
    for pattern, cause in _GUESSES:
        if re.fullmatch(pattern, token, re.DOTALL):
            return f" ({cause})"
    return ""
