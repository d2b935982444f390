"""What the service reads from its environment (NEWTOND_*), once, when an app is made."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from newtond.contract.model import Model

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Limits(Model):
    """The resource of ``GET /limits``: every bound that a request is held to."""

    json_bytes: Annotated[Count, Field(description="largest JSON body, or `spec` part of a multipart body")]
    upload_bytes: Annotated[Count, Field(description="largest upload or multipart body, on the wire")]
    inflated_bytes: Annotated[Count, Field(description="largest upload, decompressed")]
    inflation_ratio: Annotated[Count, Field(description="largest ratio of decompressed to compressed size")]
    nonzeros: Annotated[Count, Field(description="most entries of one array")]
    job_seconds: Annotated[Seconds, Field(description="largest solver.time_limit")]
    queued_jobs: Annotated[Count, Field(description="jobs that may wait before submits get 503")]
    tenant_queued_jobs: Annotated[Count, Field(description="jobs of one tenant that may wait; then 429")]
    tenant_running_jobs: Annotated[Count, Field(description="solves of one tenant at once; the others wait")]
    tenant_stored_bytes: Annotated[Count, Field(description="bytes of one tenant's arrays; then 429")]
    tenant_requests_per_second: Annotated[
        float, Field(gt=0, description="requests of one tenant a second; then 429")
    ]
    tenant_streams: Annotated[Count, Field(description="open event streams of one tenant; then 429")]
    retention_seconds: Annotated[
        Seconds, Field(description="how long a finished job is kept, and an array that no job names")
    ]
    batch_jobs: Annotated[Count, Field(description="most members of one batch")]
    wait_seconds: Annotated[Seconds, Field(description="longest Prefer: wait")]
    plan_seconds: Annotated[Seconds, Field(description="how long a dry run is waited for before it gets 202")]
    page_size: Annotated[Count, Field(description="most entries of one page of a list")]
    parallel_parses: Annotated[Count, Field(description="uploads parsed at once; others wait their turn")]


class ServiceSettings(BaseSettings):
    """Settings of the API process; each is also the environment variable NEWTOND_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="NEWTOND_", extra="ignore", frozen=True)

    data_dir: Annotated[Path, Field(description="where arrays and jobs rest")] = Path("newtond-data")
    redis_url: Annotated[str, Field(description="redis://, rediss:// or unix://")] = (
        "redis://127.0.0.1:6379/0"
    )
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    published: Annotated[
        str | None, Field(description="host[:port] where others reach a container's port, instead of host")
    ] = None
    allow_anonymous_from_anywhere: Annotated[
        bool, Field(description="let anyone in who reaches the port, while there are no API keys")
    ] = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    json_bytes: Count = 1_000_000
    upload_bytes: Count = 2_000_000_000
    inflated_bytes: Count = 16_000_000_000
    inflation_ratio: Count = 200
    nonzeros: Count = 1_000_000_000
    job_seconds: Seconds = 6 * 3600.0
    queued_jobs: Count = 10_000
    tenant_queued_jobs: Count = 1000
    tenant_running_jobs: Count = 64
    tenant_stored_bytes: Count = 100_000_000_000
    tenant_requests_per_second: Annotated[float, Field(gt=0)] = 500.0
    tenant_streams: Count = 100
    retention_seconds: Seconds = 7 * 86_400.0
    batch_jobs: Count = 500
    wait_seconds: Seconds = 60.0
    plan_seconds: Seconds = 30.0
    page_size: Count = 100
    parallel_parses: Annotated[Count, Field(default_factory=lambda: os.cpu_count() or 1)]

    low_water_bytes: Annotated[int, Field(ge=0, description="free space below which writes are refused")] = (
        10**9
    )
    reconcile_seconds: Annotated[Seconds, Field(description="how often lost jobs are looked for")] = 15.0
    collect_seconds: Annotated[Seconds, Field(description="how often what expired is removed")] = 60.0
    keep_alive_seconds: Annotated[
        Seconds, Field(description="how often a silent event stream is heard of")
    ] = 15.0
    drain_seconds: Annotated[
        float, Field(ge=0, description="how long /readyz says 503 before a stopped service stops listening")
    ] = 0.0
    shutdown_seconds: Annotated[
        Seconds, Field(description="how long open requests get to end after that")
    ] = 5.0
    header_seconds: Annotated[Seconds, Field(description="how long a request's head may take; then 408")] = (
        15.0
    )
    body_seconds: Annotated[
        Seconds, Field(description="how long a body may stall in all, past its bytes' due time; then 408")
    ] = 30.0
    body_bytes_per_second: Annotated[
        Count, Field(description="the speed that a body must come at, and an answer be taken at")
    ] = 1000
    answer_seconds: Annotated[
        Seconds, Field(description="how long an answer may be taken more slowly; then the connection is cut")
    ] = 30.0
    connections: Annotated[Count, Field(description="open connections; more are closed at once")] = 1000
    address_connections: Annotated[
        Count, Field(description="open connections of one address (IPv6: /64); more are closed at once")
    ] = 500

    @property
    def reached_as(self) -> str:
        """The host that decides who can reach this service."""
        return self.published.rpartition(":")[0] or self.published if self.published else self.host

    def limits(self) -> Limits:
        """Return the bounds that callers may read."""
        return Limits(**{name: getattr(self, name) for name in Limits.model_fields})
