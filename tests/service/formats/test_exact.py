"""Every parser against exact arithmetic: what a decimal means is decided by fractions, not by float()."""

import io
import json
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing.reference import nearest_double
from service.arrow_file import array_arrow
from service.formats import arrow, matrix_market, npy, svmlight
from service.formats import json as json_format
from service.formats.limits import FormatLimits
from service.formats.options import NO_OPTIONS
from service.tables import NamedArray

LIMITS = FormatLimits()
FINITE = st.floats(allow_nan=False, allow_infinity=False)
CHECKED = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _halfway(number: float) -> str:
    """The decimal exactly between a double and the next one, in full."""
    bits = struct.unpack("<q", struct.pack("<d", abs(number)))[0]
    above = struct.unpack("<d", struct.pack("<q", min(bits + 1, 0x7FEFFFFFFFFFFFFF)))[0]
    middle = (Fraction(abs(number)) + Fraction(above)) / 2
    power = middle.denominator.bit_length() - 1
    return f"{middle.numerator * 5**power}e-{power}"


DECIMAL = (
    FINITE.map(repr)
    | FINITE.map(lambda number: f"{number:.17g}")
    | FINITE.map(lambda number: f"{number:.40e}")
    | FINITE.map(_halfway)
    | FINITE.map(lambda number: _halfway(number).replace("e", "1e", 1))
    | st.from_regex(r"\A-?[1-9][0-9]{0,25}\.[0-9]{1,25}(e[+-]?[0-9]{1,3})?\Z")
    | st.sampled_from(["1e-320", "5e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "1e23"])
    | st.sampled_from(["1.7976931348623158e308", "9007199254740993", "8.5e22", "2.2250738585072011e-308"])
)


def bits(values):
    return [struct.pack("<d", value) for value in values]


def mtx_array(path, words):
    path.write_text(f"%%MatrixMarket matrix array real general\n{len(words)} 1\n" + "\n".join(words))
    return matrix_market.read(path, None, "error", LIMITS)


def mtx_coordinates(path, words):
    entries = "".join(f"{k} 1 {word}\n" for k, word in enumerate(words, 1))
    path.write_text(f"%%MatrixMarket matrix coordinate real general\n{len(words)} 1 {len(words)}\n{entries}")
    matrix = matrix_market.read(path, None, "error", LIMITS)
    return spread(matrix, len(words))


def svmlight_targets(path, words):
    path.write_text("".join(f"{word} 1:1\n" for word in words))
    return svmlight.read(path, None, NO_OPTIONS, LIMITS)[1]


def svmlight_entries(path, words):
    path.write_text("".join(f"1 1:{word} 2:1\n" for word in words))
    matrix = svmlight.read(path, None, NO_OPTIONS, LIMITS)[0]
    values = np.zeros(len(words))
    rows = np.repeat(np.arange(len(words)), np.diff(matrix.indptr))
    values[rows[matrix.indices == 0]] = matrix.data[matrix.indices == 0]
    return values


def json_list(path, words):
    path.write_text("[" + ", ".join(words) + "]")
    return json_format.read(path, None, "error", LIMITS)


def spread(matrix, rows):
    values = np.zeros(rows)
    values[np.flatnonzero(np.diff(matrix.indptr))] = matrix.data
    return values


DENSE = (mtx_array, svmlight_targets, json_list)
SPARSE = (mtx_coordinates, svmlight_entries)


@pytest.mark.parametrize("reader", [*DENSE, *SPARSE], ids=lambda reader: reader.__name__)
@CHECKED
@given(st.lists(DECIMAL, min_size=1, max_size=8))
def test_every_decimal_in_a_text_is_the_nearest_double(tmp_path, reader, words):
    exact = [nearest_double(word.encode()) for word in words]
    finite = [(word, number) for word, number in zip(words, exact, strict=True) if abs(number) < float("inf")]
    if finite:
        read = reader(tmp_path / "text", [word for word, _ in finite])
        zero = reader in SPARSE
        assert bits(read) == bits(number + 0.0 if zero and number == 0 else number for _, number in finite)


@CHECKED
@given(st.lists(FINITE, min_size=1, max_size=20))
def test_every_double_comes_back_from_binary_files(tmp_path, numbers):
    array, file = np.array(numbers), io.BytesIO()
    np.save(file, array)
    path = tmp_path / "binary"
    path.write_bytes(file.getvalue())
    assert npy.read(path, None, LIMITS).tobytes() == array.tobytes()
    path.write_bytes(b"".join(array_arrow(NamedArray("x", array))))
    assert arrow.read(path, None, NO_OPTIONS, LIMITS).tobytes() == array.tobytes()


@CHECKED
@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=20))
def test_integers_are_read_as_the_integers_they_are(tmp_path, numbers):
    path = tmp_path / "integers"
    path.write_text(json.dumps(numbers))
    read = [json_format.read(path, None, "error", LIMITS)]
    file = io.BytesIO()
    np.save(file, np.array(numbers, dtype=">i8"))
    path.write_bytes(file.getvalue())
    read.append(npy.read(path, None, LIMITS))
    assert all([Fraction(value) for value in values] == numbers for values in read)
