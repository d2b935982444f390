"""The Prefer header (RFC 7240): how long a caller would rather wait for an answer."""

import re
from typing import Annotated

from fastapi import Header

WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)

Prefer = Annotated[
    str | None,
    Header(
        description="`wait=N`: wait up to N seconds for the job (capped, see `GET /limits`); "
        "answered with `Preference-Applied`",
        examples=["wait=10"],
    ),
]


def preferred_wait(prefer: str | None, longest: float) -> float | None:
    """Return the seconds of ``wait=N``, at most ``longest``; None if there is no such preference."""
    match = WAIT.search(prefer or "")
    return min(float(match[1]), longest) if match else None


def applied(wait: float | None) -> dict[str, str]:
    """Return the header that says which preference was honoured."""
    return {} if wait is None else {"Preference-Applied": f"wait={wait:g}"}
