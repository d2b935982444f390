"""What the routes stand on: the stores, the queue and the sandbox of one app, opened and closed with it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from anyio import to_thread
from fastapi import Request

from newtond.contract.errors import Conflict, QueueUnavailable, Unavailable
from newtond.store import DataDirectory
from newtond.store.arrays import ArrayStore
from newtond.store.jobs import JobStore
from newtond.store.queue import JobQueue
from service import upload
from service.deletions import Deletions
from service.formats.limits import FormatLimits
from service.formats.sandbox import Sandbox
from service.metrics import JobCensus, Metrics
from service.settings import ServiceSettings

log = structlog.get_logger("newtond.service")


@dataclass(frozen=True)
class Backend:
    """Everything that a request may use; a caller's share of it is cut out here and nowhere else."""

    settings: ServiceSettings
    arrays: ArrayStore
    jobs: JobStore
    queue: JobQueue
    sandbox: Sandbox
    metrics: Metrics
    deletions: Deletions
    incoming: Path
    _claims: threading.Lock = field(default_factory=threading.Lock)

    def delete_array(self, array_id: str) -> None:
        """Remove an array; raises NotFound, and Conflict while an unfinished job reads it."""
        with self.claims():
            if array_id in self.jobs.arrays_in_use():
                raise Conflict("An unfinished job needs this array.")
            self.arrays.delete(array_id)

    @contextmanager
    def claims(self) -> Iterator[None]:
        """Hold the arrays as they are: between a submit's look at them and its acceptance none is deleted."""
        with self._claims:
            yield

    def reconcile(self) -> None:
        """Enqueue again what Redis lost, and purge what was to be deleted; raises QueueUnavailable."""
        self.deletions.carry_out(self.jobs)
        for job_id in self.queue.reconcile(self.jobs):
            log.warning("job enqueued again", job_id=job_id)


def backend(request: Request) -> Backend:
    """Return the backend of this request's app."""
    found = request.app.state.backend
    assert isinstance(found, Backend)
    return found


def open_backend(settings: ServiceSettings, metrics: Metrics) -> Backend:
    """Open the stores under the data directory; raises SetupError or OSError where it is not for us."""
    root = settings.data_dir.resolve()
    data = DataDirectory(root)
    incoming = root / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    upload.sweep(incoming)
    queue = JobQueue(settings.redis_url)
    metrics.registry.register(JobCensus(data.jobs, queue))
    return Backend(
        settings=settings,
        arrays=data.arrays,
        jobs=data.jobs,
        queue=queue,
        sandbox=Sandbox(root, format_limits(settings)),
        metrics=metrics,
        deletions=Deletions(root / "deletions"),
        incoming=incoming,
    )


def format_limits(settings: ServiceSettings) -> FormatLimits:
    """Return what the settings say of uploads, in the parsers' words."""
    return FormatLimits(
        json_bytes=settings.json_bytes,
        upload_bytes=settings.upload_bytes,
        inflated_bytes=settings.inflated_bytes,
        ratio=settings.inflation_ratio,
        entries=settings.nonzeros,
        children=settings.parallel_parses,
    )


@asynccontextmanager
async def running(settings: ServiceSettings, metrics: Metrics) -> AsyncIterator[Backend]:
    """Open a backend, keep it reconciled, and close it."""
    opened = await to_thread.run_sync(open_backend, settings, metrics)
    opened.arrays.sweep()
    opened.sandbox.start()
    loop = asyncio.create_task(_reconcile_for_ever(opened))
    try:
        yield opened
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        opened.sandbox.close()
        opened.queue.connection.close()


async def _reconcile_for_ever(opened: Backend) -> None:
    """Nothing may end this loop: what fails now is tried again."""
    while True:
        try:
            await to_thread.run_sync(opened.reconcile)
        except QueueUnavailable:
            log.warning("reconciler: Redis does not answer")
        except (OSError, Unavailable):
            log.exception("reconciler failed")
        await asyncio.sleep(opened.settings.reconcile_seconds)
