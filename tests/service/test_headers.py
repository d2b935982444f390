"""The headers that are read by hand: Accept, Prefer, Range, If-None-Match."""

import pytest

from newtond.contract.errors import NotAcceptable, RangeNotSatisfiable
from service.byte_range import requested_range
from service.entity_tag import matches
from service.negotiation import choose
from service.preferences import preferred_wait

OFFERED = ("application/json", "text/csv", "text/event-stream")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("text/html, text/*;q=0.5, */*;q=0.1", "text/csv"),
        ("application/json;q=0.2, text/event-stream", "text/event-stream"),
        ("application/json;q=0, */*", "text/csv"),
        ("text/csv;q=nonsense", "text/csv"),
    ],
)
def test_accept(accept: str | None, chosen: str) -> None:
    assert choose(accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "nonsense", "application/json;q=0.0"])
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        choose(accept, OFFERED)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        ("respond-async", None),
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ('Wait = "7"; foo', 7),
        ("wait=1000000", 60),
        ("wait=-1", None),
        ("await=5", None),
        ("wait=1.5", None),
    ],
)
def test_prefer(prefer: str | None, seconds: float | None) -> None:
    assert preferred_wait(prefer, 60.0) == seconds


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=99-99", (99, 100)),
        ("bytes=0-0,5-6", None),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("rows=0-1", None),
    ],
)
def test_range(header: str | None, expected: tuple[int, int] | None) -> None:
    found = requested_range(header, 100)
    assert (found and (found.start, found.stop)) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_no_such_bytes(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested_range(header, 100)


@pytest.mark.parametrize(
    ("given", "same"),
    [(None, False), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False)],
)
def test_if_none_match(given: str | None, same: bool) -> None:
    assert matches(given, '"a"') is same
