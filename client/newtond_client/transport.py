"""How a request travels: the same three verbs, blocking or awaited.

All that the client does is written once, as coroutines over a ``Transport``. With ``Blocking`` none of its
coroutines ever suspends, so that ``complete`` runs one to its end as a plain call; with ``Awaiting`` the
same coroutine runs in an event loop.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx

from newtond_client.errors import ConnectionLost

T = TypeVar("T")
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 75.0
"""Longer than the longest wait of the server, and than several of its keep-alives."""


class Body(Iterable[bytes], AsyncIterable[bytes]):
    """Bytes that can be sent again: every attempt reads them from the start."""

    def __init__(self, size: int, chunks: Iterable[bytes]) -> None:
        self.size = size
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
            await asyncio.sleep(0)


@dataclass(frozen=True)
class Request:
    """One request; a body of JSON or of bytes, or none."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | int] = field(default_factory=dict)
    json: Any = None
    body: Body | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what httpx calls these."""
        headers = dict(self.headers)
        if self.body is not None:
            headers["Content-Length"] = str(self.body.size)
        return {
            "method": self.method,
            "url": self.path,
            "headers": headers,
            "params": self.query or None,
            "json": self.json,
            "content": self.body,
        }


@dataclass(frozen=True)
class Reply:
    """What came back; ``lines`` are the body's as they arrive, where it was asked for so."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""
    lines: AsyncIterator[str] | None = None


class Transport(Protocol):
    """What the client needs of the outside; every verb raises ConnectionLost and nothing else."""

    async def send(self, request: Request) -> Reply: ...
    def stream(self, request: Request) -> AbstractAsyncContextManager[Reply]: ...
    async def pause(self, seconds: float) -> None: ...


def _options(url: str, key: str | None) -> dict[str, Any]:
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
    }


def _lost(url: object, error: httpx.TransportError | httpx.StreamError) -> ConnectionLost:
    return ConnectionLost(f"{url} does not answer, or no more: {str(error) or type(error).__name__}")


class Blocking:
    """Over ``httpx.Client``: coroutines that never suspend."""

    def __init__(self, url: str, key: str | None) -> None:
        self.http = httpx.Client(**_options(url, key))

    async def send(self, request: Request) -> Reply:
        try:
            answer = self.http.request(**request.arguments())
        except httpx.TransportError as error:
            raise _lost(self.http.base_url, error) from error
        return Reply(answer.status_code, answer.headers, answer.content)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Reply]:
        try:
            with self.http.stream(**request.arguments()) as answer:
                content = answer.read() if answer.is_error else b""
                yield Reply(answer.status_code, answer.headers, content, _as_async(answer.iter_lines()))
        except (httpx.TransportError, httpx.StreamError) as error:
            raise _lost(self.http.base_url, error) from error

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)


class Awaiting:
    """Over ``httpx.AsyncClient``."""

    def __init__(self, url: str, key: str | None) -> None:
        self.http = httpx.AsyncClient(**_options(url, key))

    async def send(self, request: Request) -> Reply:
        try:
            answer = await self.http.request(**request.arguments())
        except httpx.TransportError as error:
            raise _lost(self.http.base_url, error) from error
        return Reply(answer.status_code, answer.headers, answer.content)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Reply]:
        try:
            async with self.http.stream(**request.arguments()) as answer:
                content = await answer.aread() if answer.is_error else b""
                yield Reply(answer.status_code, answer.headers, content, answer.aiter_lines())
        except (httpx.TransportError, httpx.StreamError) as error:
            raise _lost(self.http.base_url, error) from error

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _as_async(items: Iterator[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine over a ``Blocking`` transport to its end and return its value."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    coroutine.close()
    raise RuntimeError("A blocking call was suspended.")


def complete_each(items: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asynchronous iterator over a ``Blocking`` transport yields."""
    try:
        while True:
            with suppress(StopAsyncIteration):
                yield complete(_next(items))
                continue
            return
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            complete(close())


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)
