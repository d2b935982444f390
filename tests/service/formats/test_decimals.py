"""A decimal is read as Python's float reads it, or left to it."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.formats.decimals import EXACT, NOT_A_NUMBER, UNDECIDED, read_decimal

DIGITS = st.text("0123456789", max_size=40)


def scan(word):
    return read_decimal(np.frombuffer(word.encode() + b"\n", dtype=np.uint8).copy(), 0)


def agrees(word):
    verdict, end, negative, bits = scan(word)
    if verdict == UNDECIDED:
        return False
    assert (verdict, end) == (EXACT, len(word))
    magnitude = struct.unpack("<d", struct.pack("<Q", int(bits)))[0]
    number = -magnitude if negative else magnitude
    assert struct.pack("<d", number) == struct.pack("<d", float(word))
    return True


@settings(max_examples=2000, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_comes_back_from_its_own_text(number):
    agrees(repr(number))


def test_ordinary_numbers_are_not_left_to_python():
    numbers = np.random.default_rng(0).standard_normal(10_000)
    assert all(agrees(repr(float(number))) for number in numbers)


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(["", "+", "-"]), DIGITS, DIGITS, st.none() | st.integers(-400, 400))
def test_every_decimal_is_read_as_python_reads_it(sign, whole, fraction, power):
    if whole or fraction:
        agrees(f"{sign}{whole}.{fraction}" + ("" if power is None else f"e{power}"))


@settings(max_examples=1000, deadline=None)
@given(st.floats(1e-300, 1e300), st.integers(-3, 3), st.integers(17, 60))
def test_what_is_close_to_halfway_between_two_doubles_is_rounded_right(number, nudge, digits):
    middle, power = (Fraction(number) + Fraction(float(np.nextafter(number, np.inf)))) / 2, 0
    while middle >= 10:
        middle, power = middle / 10, power + 1
    while middle < 1:
        middle, power = middle * 10, power - 1
    agrees(f"{int(middle * 10**digits) + nudge}e{power - digits}")


@pytest.mark.parametrize(
    "word",
    ["1", "-0", "1e22", "9007199254740993", "0.1", "1e-22", "123456789012345678901234567890", "1.e5", ".5",
     "1E+05", "0e999999999", "0" * 50 + "1", "0." + "0" * 50 + "1", "1" + "0" * 60, "179769313486231570e291"],
)  # fmt: skip
def test_easy_and_odd_decimals_are_decided(word):
    assert agrees(word)


@pytest.mark.parametrize(
    "word", ["1e23", "1e-320", "1e400", "5e-324", "1e-99999999999", "9007199254740993.0e0000" + "0" * 9]
)
def test_hard_decimals_are_left_to_python_or_right(word):
    agrees(word)


@pytest.mark.parametrize("word", ["", ".", "-", "+.", "e5", "1e", "1e+", "-.e1", "nan", "inf", "abc"])
def test_what_is_no_decimal_is_no_number(word):
    assert scan(word)[0] == NOT_A_NUMBER


@pytest.mark.parametrize(
    ("word", "end"), [("1,5", 1), ("0x1p3", 1), ("1.5D+02", 3), ("1_000", 1), ("1.2.3", 3)]
)
def test_a_decimal_ends_where_its_grammar_does(word, end):
    assert scan(word)[1] == end
