"""The app: routes, layers, and a backend that is opened and closed with it. Importing this does nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import newtond
from service.backend import running
from service.body_limit import BodyLimit
from service.departure import Departure
from service.errors import handle_errors
from service.logs import configure_logs
from service.metrics import Metrics
from service.openapi import describe
from service.request_context import RequestContext
from service.routes import (
    arrays,
    batches,
    health,
    jobs,
    pages,
    predictions,
    problems,
    results,
    solve,
    trace,
    verification,
)
from service.settings import ServiceSettings

TITLE = "newtond"
ROUTERS = (
    solve.router,
    jobs.router,
    batches.router,
    trace.router,
    results.router,
    predictions.router,
    verification.router,
    arrays.router,
    problems.router,
    health.router,
    pages.router,
)


def create_app(settings: ServiceSettings | None = None, departure: Departure | None = None) -> FastAPI:
    """Return the service as an ASGI app; settings come from the environment (NEWTOND_*) unless given.

    A server that tells when it leaves does so by ``departure``.
    """
    settings = settings or ServiceSettings()
    configure_logs(settings.log_level)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, metrics, departure or Departure()) as app.state.house:
            yield

    app = FastAPI(
        title=TITLE,
        version=newtond.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    handle_errors(app)
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(RequestContext, metrics=metrics)
    describe(app)
    return app
