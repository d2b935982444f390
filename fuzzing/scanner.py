"""The compiled scanners on mutated texts, millions in one process, with numba's bounds checks on.

Of every input: no read or write out of bounds, no endless loop, no write past the arrays' ends, every index
inside, every number finite, and the same whether the scanner runs through or stops at every number that it
leaves to Python. Of every ``COMPARED``-th: the same entries, bit for bit, or a refusal at the same line, as the
exact reference in Python.
"""

import struct
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from fuzzing import mutations, reference
from fuzzing.mutations import ALPHABET, CAPACITY, mutate, packed, seeded
from service.formats import row_scanner, scanner
from service.formats.scanner import AT, DEFERRED, FAULT, FILLED, LINE, NO_FAULT, TOKEN

ROWS, COLUMNS, ENTRIES, ROOM = 7, 5, 6, 64
COMPARED = 500
BATCH = 100_000
TARGETS = ("coordinates", "values", "svmlight rows")
CORPORA = tuple(packed(texts) for texts in (mutations.COORDINATES, mutations.VALUES, mutations.ROWS))
GUARD = -77
FINE, LOOPS, PASSES_END, OVERFILLS, WRITES_PAST, BAD_PLACE, BAD_DOUBLE, BAD_DEFERRED, BAD_FAULT, DEPENDS = (
    range(10)
)
"""What can be wrong with a scan, by the code of ``check``."""


@dataclass
class Report:
    """What came of a run."""

    seed: int
    inputs: int
    seconds: float
    compared: int
    outcomes: Counter[tuple[str, int]]


class Found(AssertionError):
    """An input on which a scanner does something that it must not."""


@njit(cache=True)
def _scan(target: int, text: Any, rows: Any, columns: Any, bits: Any, deferred: Any, state: Any) -> None:
    shape = np.array([ROWS, COLUMNS])
    if target == 0:
        scanner.scan_coordinates(
            text, shape, scanner.REAL, scanner.GENERAL, rows[:ENTRIES], columns[:ENTRIES], bits[:ENTRIES],
            deferred, state,
        )  # fmt: skip
    elif target == 1:
        scanner.scan_values(text, scanner.REAL, bits[:ENTRIES], deferred, state)
    else:
        row_scanner.scan_rows(text, 1, COLUMNS, False, columns[:ROOM], bits[:ROOM], deferred, state)


@njit(cache=True)
def run(target: int, text: Any, rows: Any, columns: Any, bits: Any, deferred: Any, state: Any) -> int:
    """Scan a text to its end or first fault, taking deferred numbers away; return what is wrong."""
    rows[:], columns[:], bits[:], state[:] = GUARD, GUARD, np.uint64(7), 0
    state[LINE] = 1
    state[row_scanner.PREVIOUS] = row_scanner.NEW_LINE
    for _ in range(len(text) + 2):
        _scan(target, text, rows, columns, bits, deferred, state)
        for k in range(state[DEFERRED]):
            entry, start, stop = deferred[k, 0], deferred[k, 1], deferred[k, 2]
            if not (0 <= start < stop <= len(text)) or stop - start > scanner.LONGEST or entry < 0:
                return BAD_DEFERRED
            bits[entry] = np.uint64(0)
        state[DEFERRED] = 0
        if state[FAULT] != NO_FAULT or state[AT] == len(text):
            return FINE
    return LOOPS


@njit(cache=True)
def check(target: int, text: Any, rows: Any, columns: Any, bits: Any, state: Any) -> int:
    """Return what is wrong with a finished scan."""
    filled, most = state[FILLED], ROOM if target == 2 else ENTRIES
    if not 0 <= state[AT] <= len(text) or (state[FAULT] != NO_FAULT and not 0 <= state[TOKEN] < len(text)):
        return PASSES_END
    if not 0 <= filled <= most:
        return OVERFILLS
    for k in range(most, len(bits)):
        if columns[k] != GUARD or rows[k] != GUARD or bits[k] != np.uint64(7):
            return WRITES_PAST
    for k in range(filled):
        if target == 0 and not (0 <= rows[k] < ROWS and 0 <= columns[k] < COLUMNS):
            return BAD_PLACE
        if target == 2 and not row_scanner.QUERY <= columns[k] < COLUMNS:
            return BAD_PLACE
        if (bits[k] >> np.uint64(52)) & np.uint64(0x7FF) == np.uint64(0x7FF):
            return BAD_DOUBLE
    return FINE if 0 <= state[FAULT] <= row_scanner.BAD_QUERY else BAD_FAULT


@njit(cache=True)
def fuzz(
    target: int, corpus: Any, stops: Any, alphabet: Any, seed: int, first: int, count: int, outcomes: Any
) -> tuple[int, int]:
    """Scan ``count`` inputs; return the number of the first that goes wrong, or -1, and what is wrong."""
    text, draws = np.empty(CAPACITY, dtype=np.uint8), np.zeros(1, dtype=np.uint64)
    size = ROOM + 8
    rows, columns, bits = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.uint64)
    again = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.uint64)
    state, other = np.zeros(row_scanner.STATE, np.int64), np.zeros(row_scanner.STATE, np.int64)
    one, many = np.empty((1, 4), np.int64), np.empty((ROOM, 4), np.int64)
    for number in range(first, first + count):
        seeded(draws, seed, number)
        length = mutate(corpus, stops, alphabet, draws, text)
        wrong = run(target, text[:length], rows, columns, bits, many, state)
        if wrong == FINE:
            wrong = check(target, text[:length], rows, columns, bits, state)
        if wrong == FINE:
            wrong = run(target, text[:length], again[0], again[1], again[2], one, other)
        if wrong == FINE and not (
            np.array_equal(state, other)
            and np.array_equal(columns, again[1])
            and np.array_equal(rows, again[0])
            and np.array_equal(bits, again[2])
        ):
            wrong = DEPENDS
        if wrong != FINE:
            return number, wrong
        outcomes[state[FAULT]] += 1
    return -1, FINE


def text_of(target: int, seed: int, number: int) -> bytes:
    """Return one input."""
    text, draws = np.empty(CAPACITY, dtype=np.uint8), np.zeros(1, dtype=np.uint64)
    seeded(draws, seed, number)
    length = mutate(*CORPORA[target], ALPHABET, draws, text)
    return text[:length].tobytes()


def scanned(target: int, content: bytes) -> Any:
    """Return what the scanner makes of a text: its entries, or the line at which it refuses."""
    text, size = np.frombuffer(content, dtype=np.uint8), ROOM + 8
    rows, columns, bits = np.zeros(size, np.int32), np.zeros(size, np.int32), np.zeros(size, np.uint64)
    state, deferred = np.zeros(row_scanner.STATE, np.int64), np.empty((1, 4), np.int64)
    state[LINE], state[row_scanner.PREVIOUS] = 1, row_scanner.NEW_LINE
    numbers = bits.view(np.float64)
    while state[AT] < len(text):
        _scan(target, text, rows, columns, bits, deferred, state)
        for entry, start, stop, line in deferred[: state[DEFERRED]].tolist():
            numbers[entry] = float(content[start:stop])
            if not np.isfinite(numbers[entry]):
                return "refused", line
        state[DEFERRED] = 0
        if state[FAULT] != NO_FAULT:
            return "refused", int(state[LINE])
        if state[FILLED] >= ROOM:
            return "full", 0
    filled = int(state[FILLED])
    return rows[:filled].tolist(), columns[:filled].tolist(), [_bits(number) for number in numbers[:filled]]


def expected(target: int, content: bytes) -> Any:
    """Return what the reference makes of a text."""
    try:
        if target == 0:
            entries = reference.coordinates(content, ROWS, COLUMNS, ENTRIES)
            return [e[0] for e in entries], [e[1] for e in entries], [_bits(e[2]) for e in entries]
        if target == 1:
            numbers = reference.values(content, ENTRIES)
            return [0] * len(numbers), [0] * len(numbers), [_bits(number) for number in numbers]
        return _tokens(reference.rows(content, 1, COLUMNS))
    except reference.Refused as refusal:
        return "refused", refusal.args[0]


def _tokens(table: Any) -> Any:
    columns, numbers = [], []
    for target, query, entries in table:
        columns += [row_scanner.TARGET, *([] if query is None else [row_scanner.QUERY]), *entries]
        numbers += [target, *([] if query is None else [float(query)]), *entries.values()]
    return [0] * len(columns), columns, [_bits(number) for number in numbers]


def _bits(number: float) -> bytes:
    return struct.pack("<d", number)


def compare(target: int, seed: int, number: int) -> None:
    """Raise Found unless scanner and reference agree."""
    content = text_of(target, seed, number)
    ours = scanned(target, content)
    if ours != ("full", 0) and ours != (theirs := expected(target, content)):
        raise Found(f"{TARGETS[target]} {number}: {content!r}: {ours} and not {theirs}")


def campaign(inputs: int, seed: int) -> Report:
    """Run so many inputs over the three scanners; raises Found at the first that goes wrong."""
    outcomes: Counter[tuple[str, int]] = Counter()
    compared, start = 0, time.perf_counter()
    for first in range(0, inputs, BATCH):
        target, count = first // BATCH % 3, min(BATCH, inputs - first)
        counts = np.zeros(256, np.int64)
        number, wrong = _batch(target, seed, first, count, counts)
        if wrong != FINE:
            raise Found(f"{TARGETS[target]} {number}: {text_of(target, seed, number)!r}: fault {wrong}")
        for each in range(first, first + count, COMPARED):
            compare(target, seed, each)
            compared += 1
        outcomes.update(
            {(TARGETS[target], fault): int(counts[fault]) for fault in np.flatnonzero(counts).tolist()}
        )
    return Report(seed, inputs, time.perf_counter() - start, compared, outcomes)


def _batch(target: int, seed: int, first: int, count: int, counts: Any) -> tuple[int, int]:
    try:
        return fuzz(target, *CORPORA[target], ALPHABET, seed, first, count, counts)
    except IndexError:
        number = next(k for k in range(first, first + count) if _breaks(target, seed, k))
        raise Found(f"{TARGETS[target]} {number}: {text_of(target, seed, number)!r}: out of bounds") from None


def _breaks(target: int, seed: int, number: int) -> bool:
    try:
        fuzz(target, *CORPORA[target], ALPHABET, seed, number, 1, np.zeros(256, np.int64))
    except IndexError:
        return True
    return False
