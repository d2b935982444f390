"""The body of a Matrix Market file, line by line, as compiled code that never reads past its block.

A block of text is whole lines and ends in a newline, so no loop here needs a bound of its own. What goes on
from block to block is in ``state``, an int64 array addressed by the names below; a kernel stops at the first
fault (``FAULT`` is its code, ``TOKEN`` where in the block it is) or when ``deferred`` is full of numbers that
only Python can round.
"""

from typing import Any

import numpy as np
from numba import njit

from service.formats.decimals import EXACT, NOT_A_NUMBER, is_digit, read_decimal

AT, FILLED, LINE, DEFERRED, FAULT, TOKEN, STATE = range(7)
"""Where in the block; entries read; the line, from 1; numbers deferred; the fault and its place."""

(
    NO_FAULT,
    BAD_INDEX,
    ZERO_INDEX,
    ROW_OUTSIDE,
    COLUMN_OUTSIDE,
    BAD_NUMBER,
    BAD_INTEGER,
    HUGE_INTEGER,
    MISSING,
    SURPLUS,
    ENTRY_TOO_MANY,
    ABOVE_DIAGONAL,
    ON_DIAGONAL,
) = range(13)
GENERAL, SYMMETRIC, SKEW = range(3)
PATTERN, REAL, INTEGER = range(3)
DEFERRED_COLUMNS = 4
"""Of a deferred number: which entry, where it starts and stops in the block, its line."""

_SIGN = np.uint64(1 << 63)
_ONE = np.uint64(0x3FF0000000000000)
_LARGEST_EXACT = 2**53
LONGEST = 4096
"""A number has at most so many characters: the slow way of rounding is not linear in them."""


@njit(cache=True, inline="always")
def skip_blanks(text: Any, at: int) -> int:
    """Return the next place that is neither a blank nor a tab."""
    while text[at] == 32 or text[at] == 9:
        at += 1
    return at


@njit(cache=True, inline="always")
def is_end(text: Any, at: int) -> Any:
    """Say whether a line ends here, in LF or CRLF."""
    return text[at] == 10 or (text[at] == 13 and text[at + 1] == 10)


@njit(cache=True, inline="always")
def ends_token(text: Any, at: int) -> Any:
    """Say whether a token that comes up to here ends here."""
    return text[at] == 32 or text[at] == 9 or is_end(text, at)


@njit(cache=True)
def next_line(text: Any, at: int) -> int:
    """Return where the next line starts."""
    while text[at] != 10:
        at += 1
    return at + 1


@njit(cache=True)
def next_entry(text: Any, state: Any) -> Any:
    """Pass blank lines and comments; return where the next entry's first token starts, or the end."""
    at, stop = state[AT], len(text)
    while at < stop:
        state[AT] = at
        at = skip_blanks(text, at)
        if text[at] != 37 and not is_end(text, at):
            return at
        at = next_line(text, at)
        state[LINE] += 1
    state[AT] = stop
    return at


@njit(cache=True)
def _index(text: Any, at: int, limit: int, outside: int) -> tuple[int, int, int]:
    """An index counted from 1: itself, where it ends, and the fault."""
    first, index = at, 0
    while is_digit(text[at]):
        if index <= limit:
            index = index * 10 + (text[at] - 48)
        at += 1
    if at == first or not ends_token(text, at):
        return 0, at, MISSING if is_end(text, first) else BAD_INDEX
    if index == 0:
        return 0, at, ZERO_INDEX
    return index, at, outside if index > limit else NO_FAULT


@njit(cache=True)
def is_integer(text: Any, at: int) -> int:
    """NO_FAULT, or why the token is not an integer that a double holds exactly."""
    if text[at] == 45 or text[at] == 43:
        at += 1
    first, number = at, 0
    while is_digit(text[at]):
        if number <= _LARGEST_EXACT:
            number = number * 10 + (text[at] - 48)
        at += 1
    if at == first or not ends_token(text, at):
        return BAD_INTEGER
    return HUGE_INTEGER if number > _LARGEST_EXACT else NO_FAULT


@njit(cache=True)
def read_value(
    text: Any, at: int, field: int, bits: Any, entry: int, deferred: Any, state: Any
) -> tuple[int, int]:
    """Read entry's value into ``bits``, or defer it; return where it ends and the fault."""
    if is_end(text, at):
        return at, MISSING
    if field == INTEGER:
        fault = is_integer(text, at)
        if fault != NO_FAULT:
            return at, fault
    verdict, end, negative, magnitude = read_decimal(text, at)
    if verdict == NOT_A_NUMBER or not ends_token(text, end) or end - at > LONGEST:
        return at, BAD_NUMBER
    if verdict == EXACT:
        bits[entry] = magnitude | _SIGN if negative else magnitude
        return end, NO_FAULT
    row = state[DEFERRED]
    deferred[row, 0], deferred[row, 1], deferred[row, 2], deferred[row, 3] = entry, at, end, state[LINE]
    state[DEFERRED] += 1
    return end, NO_FAULT


@njit(cache=True)
def _end_line(text: Any, at: int, fault: int, state: Any) -> bool:
    """Go on to the next line, unless there was a fault or more stands on this one: then stop there."""
    if fault == NO_FAULT:
        at = skip_blanks(text, at)
        if not is_end(text, at):
            fault = SURPLUS
    if fault != NO_FAULT:
        state[FAULT] = fault
        state[TOKEN] = at
        return False
    state[AT] = next_line(text, at)
    state[FILLED] += 1
    state[LINE] += 1
    return True


@njit(cache=True)
def _place(
    text: Any, at: int, shape: Any, symmetry: int, rows: Any, columns: Any, entry: int
) -> tuple[int, int]:
    """Read the entry's row and column, from 0; return where they end and the fault."""
    row, end, fault = _index(text, at, shape[0], ROW_OUTSIDE)
    if fault != NO_FAULT:
        return at, fault
    at = skip_blanks(text, end)
    column, end, fault = _index(text, at, shape[1], COLUMN_OUTSIDE)
    if fault == NO_FAULT and symmetry != GENERAL and column > row:
        fault = ABOVE_DIAGONAL
    if fault == NO_FAULT and symmetry == SKEW and column == row:
        fault = ON_DIAGONAL
    if fault != NO_FAULT:
        return at, fault
    rows[entry], columns[entry] = row - 1, column - 1
    return skip_blanks(text, end), NO_FAULT


@njit(cache=True)
def scan_coordinates(
    text: Any,
    shape: Any,
    field: int,
    symmetry: int,
    rows: Any,
    columns: Any,
    bits: Any,
    deferred: Any,
    state: Any,
) -> None:
    """Read lines ``row column [value]`` into ``rows`` and ``columns``, from 0, and the values' ``bits``."""
    while state[DEFERRED] < len(deferred):
        at, entry, fault = next_entry(text, state), state[FILLED], ENTRY_TOO_MANY
        if at == len(text):
            break
        if entry < len(rows):
            at, fault = _place(text, at, shape, symmetry, rows, columns, entry)
            if fault == NO_FAULT and field == PATTERN:
                bits[entry] = _ONE
            elif fault == NO_FAULT:
                at, fault = read_value(text, at, field, bits, entry, deferred, state)
        if not _end_line(text, at, fault, state):
            break


@njit(cache=True)
def scan_values(text: Any, field: int, bits: Any, deferred: Any, state: Any) -> None:
    """Read lines of one value each into the ``bits`` of the values."""
    while state[DEFERRED] < len(deferred):
        at, entry, fault = next_entry(text, state), state[FILLED], ENTRY_TOO_MANY
        if at == len(text):
            break
        if entry < len(bits):
            at, fault = read_value(text, at, field, bits, entry, deferred, state)
        if not _end_line(text, at, fault, state):
            break


@njit(cache=True)
def find_line(text: Any, entry: int, state: Any) -> Any:
    """Return the line of an entry, or 0 if it is not in this block."""
    while True:
        at = next_entry(text, state)
        if at == len(text):
            return 0
        if state[FILLED] == entry:
            return state[LINE]
        state[AT] = next_line(text, at)
        state[FILLED] += 1
        state[LINE] += 1
