"""``python -m service``: the API on its own, configured by NEWTOND_* variables."""

import signal
import sys
from types import FrameType

import uvicorn

from service.settings import ServiceSettings


def main() -> None:
    """Serve until a signal; open event streams get ``shutdown_seconds`` to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again once it has stopped: by then there is nothing left to do.
        signal.signal(number, _leave)
    settings = ServiceSettings()
    uvicorn.run(
        "service.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.shutdown_seconds),
    )


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
