"""What the routes stand on: the stores, the queue and the sandbox of one app, opened and closed with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from anyio import to_thread
from fastapi import Request

from newtond.contract.errors import Conflict, NotFound, QueueUnavailable, Unavailable
from newtond.store import DataDirectory
from newtond.store.arrays import ArrayStore
from newtond.store.batches import BatchStore
from newtond.store.credentials import Credentials, check_exposed, is_loopback
from newtond.store.jobs import JobStore
from newtond.store.queue import JobQueue
from newtond.store.retention import collect
from newtond.store.tenant import Tenant
from service import upload
from service.auth import Door, Key, needed_scope
from service.deletions import Deletions
from service.departure import Departure
from service.ended_jobs import EndedJobs
from service.formats.limits import FormatLimits
from service.formats.sandbox import Sandbox
from service.metrics import JobCensus, Metrics
from service.quotas import Quotas
from service.settings import ServiceSettings

log = structlog.get_logger("newtond.service")


@dataclass(frozen=True)
class House:
    """What all tenants share: one data directory, one queue, one sandbox, one door."""

    settings: ServiceSettings
    data: DataDirectory
    queue: JobQueue
    sandbox: Sandbox
    metrics: Metrics
    quotas: Quotas
    door: Door
    departure: Departure
    incoming: Path
    ended: EndedJobs

    def share(self, tenant: str) -> "Backend":
        """Return a tenant's share."""
        return Backend(self, self.data.tenant(tenant))

    def shares(self) -> Iterator["Backend"]:
        """Yield every tenant's share."""
        for tenant in self.data.tenants():
            yield Backend(self, tenant)

    def reconcile(self) -> None:
        """Enqueue again what Redis lost, and purge what was to be deleted; raises QueueUnavailable.

        Batches that a service died over are placed to their last job first.
        """
        for share in self.shares():
            share.batches.complete()
            share.deletions.carry_out(share.jobs)
        for job_id in self.queue.reconcile(self.data):
            log.warning("job enqueued again", job_id=job_id)

    def collect(self) -> None:
        """Remove the jobs and arrays whose time is over; raises OSError."""
        for tenant in self.data.tenants():
            jobs, arrays = collect(tenant, self.settings.retention_seconds)
            self.metrics.count_expired(len(jobs), len(arrays))
            if jobs or arrays:
                log.info("expired", tenant=tenant.name, jobs=len(jobs), arrays=len(arrays))


@dataclass(frozen=True)
class Backend:
    """Everything that a request may use: its tenant's share of the house."""

    house: House
    tenant: Tenant

    @property
    def settings(self) -> ServiceSettings:
        return self.house.settings

    @property
    def arrays(self) -> ArrayStore:
        return self.tenant.arrays

    @property
    def jobs(self) -> JobStore:
        return self.tenant.jobs

    @property
    def batches(self) -> BatchStore:
        return self.tenant.batches

    @property
    def queue(self) -> JobQueue:
        return self.house.queue

    @property
    def sandbox(self) -> Sandbox:
        return self.house.sandbox

    @property
    def metrics(self) -> Metrics:
        return self.house.metrics

    @property
    def quotas(self) -> Quotas:
        return self.house.quotas

    @property
    def departure(self) -> Departure:
        return self.house.departure

    @property
    def incoming(self) -> Path:
        return self.house.incoming

    @property
    def deletions(self) -> Deletions:
        return Deletions(self.tenant.path / "deletions")

    def delete_array(self, array_id: str) -> None:
        """Remove an array; raises NotFound, and Conflict while an unfinished job reads it."""
        with self.claims():
            if array_id in self.jobs.arrays_in_use():
                raise Conflict("An unfinished job needs this array.")
            self.arrays.delete(array_id)

    def claims(self) -> AbstractContextManager[None]:
        """Hold the tenant's arrays as they are."""
        return self.tenant.claims()


def house(request: Request) -> House:
    """Return what all requests of this app share; no key is asked for."""
    found = request.app.state.house
    assert isinstance(found, House)
    return found


def backend(request: Request, key: Key = None) -> Backend:
    """Return the caller's share; raises Unauthorised, Forbidden, RateLimited.

    What depends on this is refused without a key, so a route that does not is for everyone.
    """
    shared = house(request)
    caller = shared.door.caller(request)
    request.scope["tenant"] = caller.tenant
    caller.check(needed_scope(request))
    shared.quotas.count_request(caller.tenant)
    return shared.share(caller.tenant)


def open_house(settings: ServiceSettings, metrics: Metrics, departure: Departure) -> House:
    """Open the stores under the data directory; raises SetupError or OSError where it is not for us."""
    root = settings.data_dir.resolve()
    data = DataDirectory(root)
    incoming = root / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    upload.sweep(incoming)
    queue = JobQueue(settings.redis_url)
    metrics.registry.register(JobCensus(data, queue))
    return House(
        settings=settings,
        data=data,
        queue=queue,
        sandbox=Sandbox(root, format_limits(settings)),
        metrics=metrics,
        quotas=Quotas(settings),
        door=open_door(settings),
        departure=departure,
        incoming=incoming,
        ended=EndedJobs(),
    )


def open_door(settings: ServiceSettings) -> Door:
    """Return who is let in; raises SetupError where that would be anyone from anywhere, unsaid."""
    credentials = Credentials(settings.data_dir.resolve())
    anonymous = settings.allow_anonymous_from_anywhere
    host = settings.reached_as
    check_exposed(host, credentials, anonymous)
    return Door(credentials, open=anonymous or is_loopback(host), anywhere=anonymous)


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
async def running(settings: ServiceSettings, metrics: Metrics, departure: Departure) -> AsyncIterator[House]:
    """Open a house, keep it reconciled, and close it."""
    opened = await to_thread.run_sync(open_house, settings, metrics, departure)
    for share in opened.shares():
        share.arrays.sweep()
    opened.sandbox.start()
    settings = opened.settings
    loops = [
        asyncio.create_task(_for_ever("reconciler", opened.reconcile, settings.reconcile_seconds)),
        asyncio.create_task(_for_ever("collector", opened.collect, settings.collect_seconds)),
    ]
    try:
        yield opened
    finally:
        for loop in loops:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop
        opened.sandbox.close()
        opened.queue.connection.close()


async def _for_ever(name: str, work: Callable[[], None], seconds: float) -> None:
    """Nothing may end this loop: what fails now is tried again."""
    while True:
        try:
            await to_thread.run_sync(work)
        except QueueUnavailable:
            log.warning(f"{name}: Redis does not answer")
        except (OSError, Unavailable, NotFound):
            log.exception(f"{name} failed")
        await asyncio.sleep(seconds)
