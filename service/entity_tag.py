"""Entity tags (RFC 9110, 8.8.3): a name for the bytes of an answer, so that nobody fetches them twice."""

import hashlib
from typing import Annotated

from fastapi import Header

IfNoneMatch = Annotated[
    str | None, Header(description="an ETag that the caller has: 304 while it is current")
]


def entity_tag(body: bytes) -> str:
    """Return the strong entity tag of ``body``."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """Say whether ``if_none_match`` names ``tag`` (weak comparison) or anything at all."""
    given = [item.strip().removeprefix("W/") for item in (if_none_match or "").split(",")]
    return "*" in given or tag in given
