"""What Prometheus reads: requests as they happen, and the jobs as the data directory has them."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from newtond.contract.errors import NotFound, QueueUnavailable
from newtond.contract.job import Accepted
from newtond.store import DataDirectory
from newtond.store.queue import JobQueue
from newtond.store.tenant import Tenant

MEDIA_TYPE = "text/plain; version=1.0.0; charset=utf-8"
Outcome = tuple[str, str, str, str]


class Ended(NamedTuple):
    """What is kept of a finished job: how it ended, and where its seconds went."""

    outcome: Outcome
    phases: dict[str, float]


class Metrics:
    """The counters of one app; a registry of its own, so that two apps in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route")
        self._requests = Counter(
            "newtond_requests", "Requests answered", (*labels, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "newtond_request_seconds", "Time to the end of an answer", labels, registry=self.registry
        )
        self._refusals = Counter(
            "newtond_refusals", "Requests refused or failed, by error type", ("type",), registry=self.registry
        )
        self._uploaded = Counter("newtond_upload_bytes", "Bytes of uploads received", registry=self.registry)

        self._expired = Counter(
            "newtond_expired",
            "Jobs and arrays removed, their time being over",
            ("what",),
            registry=self.registry,
        )

    def count_expired(self, jobs: int, arrays: int) -> None:
        """Count what was removed."""
        self._expired.labels("job").inc(jobs)
        self._expired.labels("array").inc(arrays)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def count_refusal(self, slug: str) -> None:
        """Count one answer that was an error, by the last part of its type."""
        self._refusals.labels(slug).inc()

    def count_upload(self, size: int) -> None:
        """Count the bytes of one upload."""
        self._uploaded.inc(size)

    def page(self) -> bytes:
        """Return all of it as Prometheus text."""
        return generate_latest(self.registry)


class JobCensus(Collector):
    """Counts the jobs of the data directory at each scrape; a finished one is read once only."""

    def __init__(self, data: DataDirectory, queue: JobQueue) -> None:
        self._data = data
        self._queue = queue
        self._ended: dict[str, Ended] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield jobs by kind and outcome, those unfinished, the oldest one's age and the queue's depth."""
        waiting = self._look()
        solves = GaugeMetricFamily(
            "newtond_jobs_finished",
            "Finished jobs kept",
            labels=("task", "kind", "status", "termination"),
        )
        for outcome, count in Tally(ended.outcome for ended in self._ended.values()).items():
            solves.add_metric(outcome, count)
        yield solves
        yield self._phases()
        yield self._stored()
        yield GaugeMetricFamily("newtond_jobs_unfinished", "Jobs accepted and not finished", len(waiting))
        yield GaugeMetricFamily(
            "newtond_job_age_seconds", "Age of the oldest unfinished job", value=_oldest(waiting)
        )
        queued = (job for job in waiting if not self._data.tenant(job.tenant).jobs.attempts(job.job_id))
        yield GaugeMetricFamily(
            "newtond_queue_age_seconds", "Age of the oldest job that has not begun", value=_oldest(queued)
        )
        yield from self._depth()

    def _look(self) -> list[Accepted]:
        owners = {job_id: tenant for tenant in self._data.tenants() for job_id in tenant.jobs.ids()}
        self._ended = {job_id: self._ended[job_id] for job_id in owners if job_id in self._ended}
        fresh = ((tenant, job_id) for job_id, tenant in owners.items() if job_id not in self._ended)
        return [waiting for tenant, job_id in fresh if (waiting := self._read(tenant, job_id))]

    def _read(self, tenant: Tenant, job_id: str) -> Accepted | None:
        """Note a finished job's outcome; return an unfinished one."""
        try:
            accepted, finished = tenant.jobs.accepted(job_id), tenant.jobs.finished(job_id)
        except NotFound:  # purged since it was listed
            return None
        if finished is None:
            return accepted
        kind, termination = accepted.spec.problem.kind, finished.termination or ""
        self._ended[job_id] = Ended((accepted.task, kind, finished.status, termination), finished.phases)
        return None

    def _phases(self) -> Metric:
        family = GaugeMetricFamily(
            "newtond_phase_seconds", "Seconds of the finished jobs kept", labels=("task", "kind", "phase")
        )
        seconds: dict[tuple[str, str, str], float] = {}
        for (task, kind, *_), phases in self._ended.values():
            for phase, spent in phases.items():
                seconds[task, kind, phase] = seconds.get((task, kind, phase), 0.0) + spent
        for labels, spent in seconds.items():
            family.add_metric(labels, spent)
        return family

    def _stored(self) -> Metric:
        family = GaugeMetricFamily("newtond_stored_bytes", "Bytes of arrays kept", labels=("tenant",))
        for tenant in self._data.tenants():
            family.add_metric([tenant.name], tenant.arrays.stored_bytes())
        return family

    def _depth(self) -> Iterator[Metric]:
        losses = GaugeMetricFamily(
            "newtond_lease_losses",
            "Leases that ran out (expired) or that another worker had (taken), since Redis was wiped",
            labels=("how",),
        )
        try:
            depth, up = self._queue.depth(), 1
            for how, count in self._queue.counts().items():
                losses.add_metric([how], count)
        except QueueUnavailable:
            depth, up = None, 0
        yield losses
        yield GaugeMetricFamily("newtond_redis_up", "Whether Redis answers", value=up)
        if depth is not None:
            yield GaugeMetricFamily("newtond_queue_depth", "Jobs that wait in Redis", value=depth)


def _oldest(waiting: Iterable[Accepted]) -> float:
    now = datetime.now(UTC)
    return max(
        ((now - datetime.fromisoformat(job.created_at)).total_seconds() for job in waiting), default=0.0
    )
