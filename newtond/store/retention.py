"""What is no longer kept: jobs some time after they ended, arrays some time after the last job that names them.

A batch goes when the last of its jobs has. Nothing that a job needs goes. An array stays while any job here reads it
or has it as its result, and while an unfinished job is older than the array's last use (it may be about to name it as
a result). A job stays while an unfinished audit reads it. Between a submit's look at its arrays and its acceptance
nothing is removed.
"""

import time
from datetime import datetime

from newtond.store.tenant import Tenant

REMEMBERED = 10
"""How many times longer than a job it is remembered that there was one (410, not 404)."""


def collect(tenant: Tenant, seconds: float) -> tuple[list[str], list[str]]:
    """Remove what nobody has needed for ``seconds``; return the ids of those jobs and arrays."""
    now = time.time()
    tenant.jobs.forget(now - REMEMBERED * seconds)
    with tenant.claims():
        jobs = _expire_jobs(tenant, now - seconds)
        tenant.batches.expire(now - seconds)
        # In this order: a job that ends in between has been seen as unfinished, or its results are read below.
        when = min(now - seconds, _oldest_unfinished(tenant))
        return jobs, tenant.arrays.expire(when, tenant.jobs.arrays_named())


def _expire_jobs(tenant: Tenant, when: float) -> list[str]:
    audited = tenant.jobs.audited()
    expired = [job_id for job_id in tenant.jobs.finished_before(when) if job_id not in audited]
    for job_id in expired:
        tenant.jobs.expire(job_id)
    return expired


def _oldest_unfinished(tenant: Tenant) -> float:
    created = (tenant.jobs.accepted(job_id).created_at for job_id in tenant.jobs.unfinished())
    return min((datetime.fromisoformat(at).timestamp() for at in created), default=float("inf"))
