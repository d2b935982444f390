"""``python -m service``: the API on its own, configured by NEWTOND_* variables."""

import signal
import sys
from functools import partial
from math import ceil
from types import FrameType

import uvicorn

from newtond.contract.errors import SetupError
from newtond.store import DataDirectory
from service.app import create_app
from service.backend import open_door
from service.connection import PatientProtocol
from service.departure import Departure
from service.neighbours import Neighbours
from service.server import DepartingServer
from service.settings import ServiceSettings


def main() -> None:
    """Serve until a signal; say so for ``drain_seconds``, then open requests get ``shutdown_seconds`` to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again once it has stopped: by then there is nothing left to do.
        signal.signal(number, _leave)
    settings = ServiceSettings()
    try:
        DataDirectory(settings.data_dir.resolve())
        open_door(settings)
    except SetupError as error:
        sys.exit(f"newtond: {error.detail}")
    _server(settings).run()


def _server(settings: ServiceSettings) -> DepartingServer:
    PatientProtocol.settings, PatientProtocol.neighbours = settings, Neighbours()
    departure = Departure()
    config = uvicorn.Config(
        partial(create_app, settings, departure),
        factory=True,
        http=PatientProtocol,
        ws="none",
        proxy_headers=False,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=ceil(settings.shutdown_seconds),
    )
    return DepartingServer(config, departure, settings.drain_seconds)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
