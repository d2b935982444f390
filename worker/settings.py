"""What the worker reads from its environment (NEWTOND_*), once, when it starts."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from newtond.store.queue import HEARTBEAT_SECONDS, LEASE_HEARTBEATS, RECONCILE_SECONDS

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class WorkerSettings(BaseSettings):
    """Settings of a worker process; each is also the environment variable NEWTOND_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="NEWTOND_", extra="ignore", frozen=True)

    data_dir: Annotated[Path, Field(description="where arrays and jobs rest")] = Path("newtond-data")
    redis_url: Annotated[str, Field(description="redis://, rediss:// or unix://")] = (
        "redis://127.0.0.1:6379/0"
    )
    threads: Annotated[Count | None, Field(description="threads of one solve (cores / workers)")] = None
    workers: Annotated[Count, Field(description="workers that share this machine's cores")] = 1
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    heartbeat: Annotated[Seconds, Field(description="how often the lease is renewed; it lasts three")] = (
        HEARTBEAT_SECONDS
    )
    reconcile_seconds: Annotated[Seconds, Field(description="how often lost jobs are looked for")] = (
        RECONCILE_SECONDS
    )
    max_attempts: Annotated[Count, Field(description="deaths of the worker at one job before it fails")] = 5
    tenant_running_jobs: Annotated[Count, Field(description="solves of one tenant that run at once")] = 64
    checkpoint_seconds: Annotated[Seconds, Field(description="at most one checkpoint in this time")] = 1.0
    cancel_seconds: Annotated[
        Seconds, Field(description="how long one iteration may outlast a cancel or the time limit")
    ] = 5.0
    conclude_seconds: Annotated[
        Seconds, Field(description="longest computation of result and certificate")
    ] = 3600.0
    stop_seconds: Annotated[Seconds, Field(description="how long a solve gets to checkpoint on SIGTERM")] = (
        4.0
    )

    def solve_threads(self, asked: int | None) -> int:
        """Return the threads of a solve: as asked, as set, or this worker's share; at most the cores."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(asked or self.threads or max(1, cores // self.workers), cores)

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts that nobody renews."""
        return LEASE_HEARTBEATS * self.heartbeat
