"""Operations: limits, version, whether we live, whether we are ready, what Prometheus reads."""

import platform
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response

import newtond
from newtond.contract.errors import NewtondError, Unavailable
from newtond.contract.model import Model
from service import metrics
from service.auth import is_local
from service.backend import Backend, House, backend, house
from service.responses import content, problems
from service.settings import Limits
from service.upload import check_room, check_writable

router = APIRouter(tags=["operations"])
TheBackend = Annotated[Backend, Depends(backend)]
TheHouse = Annotated[House, Depends(house)]


class Version(Model):
    """What runs here."""

    newtond: str
    python: str


class Health(Model):
    """The service lives, or is ready."""

    status: Literal["ok"] = "ok"


def operators_house(request: Request) -> House:
    """Return the house to who comes from this machine or has the scope admin; else raise."""
    found = house(request)
    if not is_local(request):
        caller = found.door.caller(request)
        caller.check("admin")
        found.quotas.count_request(caller.tenant)
    return found


@router.get("/limits", summary="Every bound that a request is held to")
def limits(backend: TheBackend) -> Limits:
    return backend.settings.limits()


@router.get("/version", summary="What runs here")
def version() -> Version:
    return Version(newtond=newtond.__version__, python=platform.python_version())


@router.get("/livez", summary="Whether the process answers")
async def livez() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Whether work could be taken now: Redis answers, there is room on disk, the service does not leave",
    responses=problems(503),
)
def readyz(house: TheHouse) -> Health:
    if house.departure.draining:
        raise Unavailable("Not ready: draining, the service is about to end.", source={"check": "draining"})
    checks: dict[str, Callable[[], None]] = {
        "redis": house.queue.ping,
        "data_directory": lambda: check_writable(house.incoming),
        "disk": lambda: check_room(house.settings),
    }
    for name, check in checks.items():
        try:
            check()
        except (NewtondError, OSError) as error:
            raise Unavailable(f"Not ready: {name}.", source={"check": name}) from error
    return Health()


@router.get(
    "/metrics",
    summary="Requests, refusals, uploads, jobs and the queue, for Prometheus; from this machine, or for admins",
    response_class=Response,
    responses={200: {"content": content(metrics.MEDIA_TYPE), "description": "Prometheus text"}},
    openapi_extra={"security": [{}, {"key": []}]},
)
def read_metrics(house: Annotated[House, Depends(operators_house)]) -> Response:
    return Response(house.metrics.page(), headers={"Content-Type": metrics.MEDIA_TYPE})
