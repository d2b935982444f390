"""Lines ``target [qid:number] index:value … [# comment]`` as compiled code, token by token.

Stands on the number scanner of Matrix Market and shares its state, with three words more. What is read goes
into one list of numbers in the order of the file; ``columns`` says of each what it is: ``TARGET`` starts a
row, ``QUERY`` is its group, anything else is the column of a value. A kernel stops at the end of the block, at
a fault, or when the list or ``deferred`` is full, also within a line, and goes on from there.
"""

from typing import Any

import numpy as np
from numba import njit

from service.formats import scanner
from service.formats.decimals import double_bits, is_digit
from service.formats.scanner import (
    AT,
    BAD_INDEX,
    COLUMN_OUTSIDE,
    DEFERRED,
    FAULT,
    FILLED,
    HUGE_INTEGER,
    LINE,
    MISSING,
    NO_FAULT,
    REAL,
    TOKEN,
    ZERO_INDEX,
    ends_token,
    is_end,
    next_line,
    read_value,
    skip_blanks,
)

PREVIOUS, ROWS, QUERIES, STATE = range(scanner.STATE, scanner.STATE + 4)
"""The last column of this row, or one of the three below; rows and queries so far."""
NEW_LINE, AFTER_TARGET, AFTER_QUERY = -3, -2, -1
TARGET, QUERY = -1, -2
TWICE, UNORDERED, NO_QUERY, LATE_QUERY, BAD_QUERY = range(100, 105)

_HASH, _COLON, _Q, _I, _D = 35, 58, 113, 105, 100
_LARGEST_EXACT = 2**53


@njit(cache=True)
def _digits(text: Any, at: int, most: int) -> tuple[int, int]:
    """The number that starts here, anything past ``most`` being as good as another, and where it ends."""
    number = 0
    while is_digit(text[at]):
        if number <= most:
            number = number * 10 + (text[at] - 48)
        at += 1
    return number, at


@njit(cache=True)
def _is_query(text: Any, at: int) -> Any:
    return text[at] == _Q and text[at + 1] == _I and text[at + 2] == _D and text[at + 3] == _COLON


@njit(cache=True)
def _query(text: Any, at: int, columns: Any, bits: Any, state: Any) -> tuple[int, int]:
    """Read ``qid:number``; return where it ends and the fault."""
    number, end = _digits(text, at + 4, _LARGEST_EXACT)
    if state[PREVIOUS] != AFTER_TARGET or end == at + 4 or not ends_token(text, end):
        return at, BAD_QUERY
    if number > _LARGEST_EXACT:
        return at, HUGE_INTEGER
    if state[QUERIES] + 1 != state[ROWS]:
        return at, LATE_QUERY
    columns[state[FILLED]] = QUERY
    bits[state[FILLED]] = double_bits(np.float64(number))
    state[PREVIOUS] = AFTER_QUERY
    state[QUERIES] += 1
    return end, NO_FAULT


@njit(cache=True)
def _feature(
    text: Any,
    at: int,
    base: int,
    limit: int,
    repeats: bool,
    columns: Any,
    bits: Any,
    deferred: Any,
    state: Any,
) -> tuple[int, int]:
    """Read ``index:value``; return where it ends, or the token at fault, and the fault."""
    index, end = _digits(text, at, limit + base)
    column = index - base
    if end == at or text[end] != _COLON:
        return at, BAD_INDEX
    if column < 0:
        return at, ZERO_INDEX
    if column >= limit:
        return at, COLUMN_OUTSIDE
    if column < state[PREVIOUS]:
        return at, UNORDERED
    if column == state[PREVIOUS] and not repeats:
        return at, TWICE
    if ends_token(text, end + 1):
        return at, MISSING
    columns[state[FILLED]] = column
    state[PREVIOUS] = column
    return read_value(text, end + 1, REAL, bits, state[FILLED], deferred, state)


@njit(cache=True)
def _target(text: Any, at: int, columns: Any, bits: Any, deferred: Any, state: Any) -> tuple[int, int]:
    columns[state[FILLED]] = TARGET
    state[PREVIOUS] = AFTER_TARGET
    state[ROWS] += 1
    return read_value(text, at, REAL, bits, state[FILLED], deferred, state)


@njit(cache=True)
def _lacks_query(state: Any) -> Any:
    return state[PREVIOUS] == AFTER_TARGET and state[QUERIES] > 0


@njit(cache=True)
def scan_rows(
    text: Any, base: int, limit: int, repeats: bool, columns: Any, bits: Any, deferred: Any, state: Any
) -> None:
    """Read tokens into ``columns``, from 0 and below ``limit``, and the numbers' ``bits``."""
    while state[FILLED] < len(columns) and state[DEFERRED] < len(deferred) and state[AT] < len(text):
        at, fault = skip_blanks(text, state[AT]), NO_FAULT
        ends = is_end(text, at) or text[at] == _HASH
        if state[PREVIOUS] == NEW_LINE and not ends:
            at, fault = _target(text, at, columns, bits, deferred, state)
        elif not ends and _is_query(text, at):
            at, fault = _query(text, at, columns, bits, state)
        elif _lacks_query(state):
            fault = NO_QUERY
        elif not ends:
            at, fault = _feature(text, at, base, limit, repeats, columns, bits, deferred, state)
        if fault != NO_FAULT:
            state[FAULT], state[TOKEN] = fault, at
            break
        if ends:
            state[AT], state[PREVIOUS] = next_line(text, at), NEW_LINE
            state[LINE] += 1
        else:
            state[AT] = at
            state[FILLED] += 1
