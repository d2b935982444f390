"""Event streams, counted: a tenant may hold so many open, and one that ends however it ends is given back."""

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.backend import Backend

EVENTS = "text/event-stream"


class CountedStream(StreamingResponse):
    """An answer of events that counts as open until the caller has left or it has ended."""

    def __init__(self, backend: Backend, events: AsyncIterator[str]) -> None:
        """Raises QuotaExceeded."""
        super().__init__(events, media_type=EVENTS, headers={"Cache-Control": "no-store"})
        self._quotas, self._tenant = backend.quotas, backend.tenant.name
        self._quotas.open_stream(self._tenant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._quotas.close_stream(self._tenant)
