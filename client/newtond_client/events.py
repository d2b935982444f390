"""Server-sent events, as far as newtond sends them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    name: str
    data: str


async def events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Yield the events of a stream; an event that was cut off is not one. A comment is one without a name."""
    name, data = "message", list[str]()
    async for line in lines:
        field, _, value = line.partition(":")
        if not line:
            if data:
                yield Event(name, "\n".join(data))
            name, data = "message", []
        elif not field:
            yield Event("", value)
        elif field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))
