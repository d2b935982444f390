"""``python -m service``: the API on its own, configured by NEWTOND_* variables."""

import signal
import sys
from types import FrameType

import uvicorn

from newtond.contract.errors import SetupError
from newtond.store import DataDirectory
from service.backend import open_door
from service.connection import PatientProtocol
from service.settings import ServiceSettings


def main() -> None:
    """Serve until a signal; open event streams get ``shutdown_seconds`` to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again once it has stopped: by then there is nothing left to do.
        signal.signal(number, _leave)
    settings = ServiceSettings()
    try:
        DataDirectory(settings.data_dir.resolve())
        open_door(settings)
    except SetupError as error:
        sys.exit(f"newtond: {error.detail}")
    PatientProtocol.header_seconds = settings.header_seconds
    PatientProtocol.most_connections = settings.connections
    uvicorn.run(
        "service.app:create_app",
        factory=True,
        http=PatientProtocol,
        proxy_headers=False,
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
