"""Which representation an Accept header asks for (RFC 9110, 12.5.1)."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from fastapi import Header

from newtond.contract.errors import NotAcceptable

Accept = Annotated[str | None, Header(include_in_schema=False)]


class _Range(NamedTuple):
    type: str
    subtype: str
    quality: float

    def fits(self, media_type: str) -> int:
        """Return how closely this names ``media_type``: 0 not at all, 1 anything, 2 its type, 3 exactly."""
        kind, _, subtype = media_type.partition("/")
        if (self.type, self.subtype) == (kind, subtype):
            return 3
        if (self.type, self.subtype) == (kind, "*"):
            return 2
        return 1 if (self.type, self.subtype) == ("*", "*") else 0


def choose(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offer that ``accept`` likes best, the first of equals; raises NotAcceptable."""
    ranges = [_parse(item) for item in (accept or "*/*").split(",") if item.strip()]
    best = max(offered, key=lambda media_type: _quality(ranges, media_type))
    if _quality(ranges, best) <= 0:
        raise NotAcceptable("This comes as " + ", ".join(offered) + ".", source={"header": "Accept"})
    return best


def _quality(ranges: Sequence[_Range], media_type: str) -> float:
    closest = max(ranges, key=lambda item: item.fits(media_type), default=_Range("*", "*", 1.0))
    return closest.quality if closest.fits(media_type) else 0.0


def _parse(item: str) -> _Range:
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    kind, _, subtype = name.partition("/")
    values = [part[2:] for part in parameters if part.startswith("q=")]
    return _Range(kind, subtype, _number(values[0]) if values else 1.0)


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 1.0
