"""Mutated texts, each by a key (seed, number) of its own: any of them can be made again."""

from typing import Any

import numpy as np
from numba import njit

COORDINATES = (
    b"1 1 1\n2 3 -0.5\n7 5 1e-320\n",
    b"% comment\n\n 3\t2  17.25e+3 \r\n7 5 0.1000000000000000055511151231257827\n",
    b"1 1 9007199254740993\n1 2 1.7976931348623157e308\n1 3 5e-324\n",
    b"1 1 1.00000000000000011102230246251565404236316680908203125\n4 4 .5\n4 5 5.\n",
)
VALUES = (
    b"1\n-2.5\n3e7\n",
    b"% c\n4.9406564584124654e-324\n1e23\n 12345678901234567890123 \r\n",
    b"0.3\n00000000000000000000001\n-0\n2.2250738585072011e-308\n",
)
ROWS = (
    b"1 1:2 3:4.5 # c\n-1 2:0.1\n",
    b"+1 qid:3 1:1e-320\n-1 qid:4 2:5e-324 5:1\n",
    b"# c\n\n0.5\t4:1.7976931348623157e308 \r\n3\n",
)
ALPHABET = np.frombuffer(b"0123456789012345678901234567899.eE+-:,%#qid \t\n\n\r\0\xff", dtype=np.uint8)
CAPACITY = 512
_U = np.uint64


def packed(texts: tuple[bytes, ...]) -> tuple[Any, Any]:
    """Return texts in one array, and where each starts and the last stops."""
    stops = np.cumsum([0, *(len(text) for text in texts)])
    return np.frombuffer(b"".join(texts), dtype=np.uint8).copy(), stops


@njit(cache=True)
def draw(state: Any, limit: int) -> int:
    """Return a number from 0 to below ``limit`` (SplitMix64)."""
    state[0] += _U(0x9E3779B97F4A7C15)
    mixed = state[0]
    mixed = (mixed ^ (mixed >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> _U(27))) * _U(0x94D049BB133111EB)
    return int((mixed ^ (mixed >> _U(31))) % _U(limit))


@njit(cache=True)
def seeded(state: Any, seed: int, number: int) -> None:
    """Start the draws of one input."""
    state[0] = _U(seed) * _U(0xD1342543DE82EF95) + _U(number)
    draw(state, 2)


@njit(cache=True)
def _insert(text: Any, length: int, at: int, count: int) -> int:
    """Make room for ``count`` bytes; return the length after."""
    if length + count > CAPACITY - 1:
        return length
    for k in range(length - 1, at - 1, -1):
        text[k + count] = text[k]
    return length + count


@njit(cache=True)
def _remove(text: Any, length: int, at: int, count: int) -> int:
    for k in range(at, length - count):
        text[k] = text[k + count]
    return length - count


@njit(cache=True)
def _change(text: Any, length: int, state: Any, alphabet: Any) -> int:
    """One mutation: a byte set, flipped, put in or taken out, or a stretch taken out or doubled."""
    kind, at = draw(state, 8), draw(state, length)
    if kind <= 2:
        text[at] = alphabet[draw(state, len(alphabet))]
    elif kind == 3:
        text[at] ^= np.uint8(1 << draw(state, 8))
    elif kind <= 5:
        longer = _insert(text, length, at, 1)
        if longer > length:
            text[at] = alphabet[draw(state, len(alphabet))]
        length = longer
    elif kind == 6:
        length = _remove(text, length, at, min(1 + draw(state, 6), length - at))
    else:
        count = min(1 + draw(state, 24), length - at)
        longer = _insert(text, length, at, count)
        if longer > length:
            for k in range(count):
                text[at + k] = text[at + count + k]
        length = longer
    return length


@njit(cache=True)
def mutate(corpus: Any, stops: Any, alphabet: Any, state: Any, text: Any) -> int:
    """Fill ``text`` with one of the corpus, changed up to eight times; return its length, a newline included."""
    which = draw(state, len(stops) - 1)
    length = stops[which + 1] - stops[which]
    text[:length] = corpus[stops[which] : stops[which + 1]]
    for _ in range(draw(state, 9)):
        if length > 0:
            length = _change(text, length, state, alphabet)
    if length == 0 or text[length - 1] != 10:
        text[length] = 10
        length += 1
    return length
