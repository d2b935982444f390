"""Decimal text to float64, correctly rounded: what Python's ``float`` reads, at the speed of a scanner.

Three ways, the cheap one first: mantissa and power of ten both exact in a double (Clinger); one or two
64 x 64 bit products with a table of powers of ten (Lemire, Number Parsing at a Gigabyte per Second, 2021);
and, where the second cannot decide (ties, subnormals, more than 19 digits that matter), a verdict
``UNDECIDED`` on which the caller hands the text to Python.
"""

from typing import Any

import numpy as np
from numba import njit

EXACT, UNDECIDED, NOT_A_NUMBER = 0, 1, 2

_LOWEST, _HIGHEST = -348, 347


def _mantissas() -> tuple[Any, Any]:
    """The first 128 bits of every power of ten, rounded down, as two arrays of 64."""
    high, low = [], []
    for power in range(_LOWEST, _HIGHEST + 1):
        if power >= 0:
            number = 10**power
            bits = number << 128 >> number.bit_length()
        else:
            divisor = 10**-power
            bits = (1 << (127 + divisor.bit_length())) // divisor
        high.append(bits >> 64)
        low.append(bits & (2**64 - 1))
    return np.array(high, dtype=np.uint64), np.array(low, dtype=np.uint64)


_HIGH, _LOW = _mantissas()
_SMALL = np.array([10.0**power for power in range(23)])
_U = np.uint64
_NINE_BITS = _U(0x1FF)
_FRACTION = _U(2**52 - 1)
_HALF_WORD = _U(0xFFFFFFFF)
_MANY = 19
_FAR = 100_000


@njit(cache=True, inline="always")
def is_digit(byte: int) -> bool:
    """Say whether a byte is one of 0 to 9."""
    return 48 <= byte <= 57


@njit(cache=True)
def double_bits(number: float) -> Any:
    """The 64 bits of a double."""
    return np.float64(number).view(np.uint64)


@njit(cache=True)
def read_decimal(text: Any, at: int) -> tuple[int, int, bool, Any]:
    """Read the decimal that starts at ``at`` in text that ends in a newline.

    Returns a verdict, where the decimal ends, whether it is negative, and the bits of its magnitude.
    """
    negative = text[at] == 45
    if negative or text[at] == 43:
        at += 1
    first, mantissa, exponent = at, _U(0), 0
    while is_digit(text[at]):
        mantissa = mantissa * _U(10) + _U(text[at] - 48)
        at += 1
    digits = at - first
    if text[at] == 46:
        at += 1
        point = at
        while is_digit(text[at]):
            mantissa = mantissa * _U(10) + _U(text[at] - 48)
            at += 1
        exponent = point - at
        digits -= exponent
    if digits == 0:
        return NOT_A_NUMBER, at, negative, _U(0)
    last = at
    if text[at] == 101 or text[at] == 69:
        power, at = _exponent(text, at + 1)
        if at < 0:
            return NOT_A_NUMBER, -at, negative, _U(0)
        exponent += power
    if digits > _MANY:
        return _round_many(text, first, last, at, negative, exponent)
    verdict, bits = _round(mantissa, exponent)
    return verdict, at, negative, bits


@njit(cache=True)
def _exponent(text: Any, at: int) -> tuple[int, int]:
    """The power after an ``e`` and where it ends, negated if it is none; a huge one is as good as _FAR."""
    negative = text[at] == 45
    if negative or text[at] == 43:
        at += 1
    if not is_digit(text[at]):
        return 0, -at
    power = 0
    while is_digit(text[at]):
        if power < _FAR:
            power = power * 10 + (text[at] - 48)
        at += 1
    return (-power if negative else power), at


@njit(cache=True)
def _round_many(
    text: Any, first: int, last: int, end: int, negative: bool, exponent: int
) -> tuple[int, int, bool, Any]:
    """More digits than 64 bits hold: decided if the first 19, and the next number after them, round alike."""
    mantissa, kept, dropped, lost = _U(0), 0, 0, False
    for at in range(first, last):
        if text[at] == 46 or (kept == 0 and text[at] == 48):
            continue
        if kept < _MANY:
            mantissa = mantissa * _U(10) + _U(text[at] - 48)
            kept += 1
        else:
            dropped += 1
            lost = lost or text[at] != 48
    verdict, bits = _round(mantissa, exponent + dropped)
    if lost and verdict == EXACT:
        above, upper = _round(mantissa + _U(1), exponent + dropped)
        if above != EXACT or upper != bits:
            verdict = UNDECIDED
    return verdict, end, negative, bits


@njit(cache=True, error_model="numpy")
def _round(mantissa: Any, power: int) -> tuple[int, Any]:
    """Round mantissa · 10^power to the bits of a double."""
    if mantissa == _U(0):
        return EXACT, _U(0)
    if power == 0:
        return EXACT, double_bits(np.float64(mantissa))
    if -22 <= power <= 22 and mantissa <= _U(2**53):
        number = np.float64(mantissa)
        number = number * _SMALL[power] if power > 0 else number / _SMALL[-power]
        return EXACT, double_bits(number)
    if power < _LOWEST or power > _HIGHEST:
        return UNDECIDED, _U(0)
    return _lemire(mantissa, power)


@njit(cache=True)
def _lemire(mantissa: Any, power: int) -> tuple[int, Any]:
    zeros = _leading_zeros(mantissa)
    number = mantissa << _U(zeros)
    binary = ((217706 * power) >> 16) + 64 + 1023 - zeros
    high, low = _multiply(number, _HIGH[power - _LOWEST])
    if high & _NINE_BITS == _NINE_BITS and low + number < number:
        next_high, next_low = _multiply(number, _LOW[power - _LOWEST])
        merged = low + next_high
        if merged < low:
            high += _U(1)
        low = merged
        if high & _NINE_BITS == _NINE_BITS and low + _U(1) == _U(0) and next_low + number < number:
            return UNDECIDED, _U(0)
    top = high >> _U(63)
    fraction = high >> (top + _U(9))
    binary -= 1 - int(top)
    if low == _U(0) and high & _NINE_BITS == _U(0) and fraction & _U(3) == _U(1):
        return UNDECIDED, _U(0)
    fraction = (fraction + (fraction & _U(1))) >> _U(1)
    if fraction >> _U(53) > _U(0):
        fraction >>= _U(1)
        binary += 1
    if binary < 1 or binary > 2046:
        return UNDECIDED, _U(0)
    return EXACT, (_U(binary) << _U(52)) | (fraction & _FRACTION)


@njit(cache=True, inline="always")
def _multiply(a: Any, b: Any) -> tuple[Any, Any]:
    """The 128 bits of a product of two 64-bit numbers, high and low."""
    half = _U(32)
    a1, a0, b1, b0 = a >> half, a & _HALF_WORD, b >> half, b & _HALF_WORD
    low = a0 * b0
    middle = a1 * b0 + (low >> half)
    other = a0 * b1 + (middle & _HALF_WORD)
    return a1 * b1 + (middle >> half) + (other >> half), a * b


@njit(cache=True)
def _leading_zeros(number: Any) -> int:
    zeros = 0
    for width in (32, 16, 8, 4, 2, 1):
        if number >> _U(64 - width) == _U(0):
            number <<= _U(width)
            zeros += width
    return zeros
