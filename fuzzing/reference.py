"""What a text means, decided slowly and exactly: regular expressions, integers and fractions, no float()."""

import re
from fractions import Fraction
from math import ldexp

NUMBER = re.compile(rb"([+-]?)(?:([0-9]+)\.?([0-9]*)|\.([0-9]+))(?:[eE]([+-]?[0-9]+))?")
BLANK = re.compile(rb"[ \t]+")
LONGEST = 4096
FAR = 5000
INFINITE = float("inf")


class Refused(Exception):
    """The line, from 1, at which a text is no longer what it should be."""


def nearest_double(word: bytes) -> float | None:
    """Return the double nearest to a decimal, ties to even, infinity past the largest; None if it is none."""
    match = NUMBER.fullmatch(word)
    if match is None or len(word) > LONGEST:
        return None
    sign, whole, fraction, bare, power = match.groups()
    digits = (whole or b"") + (fraction or bare or b"")
    exponent = int(power or b"0") - len(fraction or bare or b"")
    magnitude = rounded(int(digits), exponent)
    return -magnitude if sign == b"-" else magnitude


def rounded(mantissa: int, exponent: int) -> float:
    """Return mantissa · 10^exponent as the nearest double."""
    leading = len(str(mantissa)) + exponent
    if mantissa == 0 or leading < -FAR:
        return 0.0
    if leading > FAR:
        return INFINITE
    exact = mantissa * Fraction(10) ** exponent
    binary = exact.numerator.bit_length() - exact.denominator.bit_length()
    binary -= exact < Fraction(2) ** binary
    unit = max(binary - 52, -1074)
    count = round(exact / Fraction(2) ** unit)
    return INFINITE if count.bit_length() + unit > 1024 else ldexp(count, unit)


def coordinates(text: bytes, rows: int, columns: int, most: int) -> list[tuple[int, int, float]]:
    """Return the entries of lines ``row column value`` of a general real matrix; raises Refused."""
    entries = []
    for number, line in lines(text, b"%"):
        words = BLANK.split(line)
        if len(entries) == most or len(words) != 3:
            raise Refused(number)
        places = [index(word, limit) for word, limit in zip(words, (rows, columns), strict=False)]
        entries.append((*places, value(words[2], number)) if None not in places else refuse(number))
    return entries


def values(text: bytes, most: int) -> list[float]:
    """Return the values of lines of one each; raises Refused."""
    found = []
    for number, line in lines(text, b"%"):
        if len(found) == most or BLANK.search(line):
            raise Refused(number)
        found.append(value(line, number))
    return found


def rows(text: bytes, base: int, columns: int) -> list[tuple[float, int | None, dict[int, float]]]:
    """Return target, qid and entries of each line of svmlight; raises Refused."""
    table = []
    for number, line in lines(text, b"#"):
        words = BLANK.split(re.split(rb"[ \t]+#", line)[0])
        target, query, entries = value(words[0], number), None, {}
        features = words[1:]
        if features and features[0].startswith(b"qid:"):
            query = number_of(features.pop(0)[4:], 2**53)
            if query is None:
                raise Refused(number)
        if table and (query is None) != (table[0][1] is None):
            raise Refused(number)
        for word in features:
            name, colon, rest = word.partition(b":")
            column = number_of(name, columns - 1 + base)
            if not colon or column is None or column < base or (entries and column - base <= max(entries)):
                raise Refused(number)
            entries[column - base] = value(rest, number)
        table.append((target, query, entries))
    return table


def lines(text: bytes, comment: bytes) -> list[tuple[int, bytes]]:
    """Return the lines that hold something, without the blanks around them, numbered from 1."""
    stripped = ((k, re.sub(rb"\r$", b"", line).strip(b" \t")) for k, line in enumerate(text.split(b"\n"), 1))
    return [(k, line) for k, line in stripped if line and not line.startswith(comment)]


def value(word: bytes, line: int) -> float:
    """Return a finite number; raises Refused."""
    number = nearest_double(word)
    if number is None or abs(number) == INFINITE:
        raise Refused(line)
    return number


def index(word: bytes, limit: int) -> int | None:
    """Return an index from 0 of one from 1 that is at most ``limit``, None if it is none."""
    number = number_of(word, limit)
    return number - 1 if number else None


def number_of(word: bytes, most: int) -> int | None:
    """Return an integer from 0 to ``most``, None if it is none."""
    if not re.fullmatch(rb"[0-9]+", word):
        return None
    significant = word.lstrip(b"0") or b"0"
    return int(significant) if len(significant) < 20 and int(significant) <= most else None


def refuse(line: int) -> tuple[int, int, float]:
    """Raise Refused."""
    raise Refused(line)
