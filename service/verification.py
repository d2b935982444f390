"""What a finished job can be asked for as evidence: audits of its kept iterates."""

from newtond.contract.audit import Audit, AuditRequest
from newtond.contract.errors import Conflict, Gone, InvalidSpec, NotFound
from newtond.contract.job import Accepted, Finished
from service.backend import Backend
from service.submission import accept

KEEP = "it was not solved with solver.audit: true, so its iterates were not kept"


def sealed_end(backend: Backend, job_id: str) -> Finished:
    """Return how the job ended; raises NotFound, and Conflict where there is no sealed result."""
    finished = backend.jobs.finished(job_id)
    if finished is None:
        raise Conflict("The job has not finished.", source={"status": "unfinished"})
    if finished.seal is None:
        raise Conflict("The job ended without a sealed result.", source={"status": finished.status})
    return finished


def accept_audit(
    backend: Backend, job_id: str, asked: AuditRequest, idempotency_key: str | None, request_id: str
) -> Accepted:
    """Make an audit of the job durable and enqueue it.

    Raises NotFound, Conflict where there is no sealed result, InvalidSpec where no iterates were kept, Gone
    where an input array was deleted.
    """
    sealed_end(backend, job_id)
    spec = backend.jobs.accepted(job_id).spec
    if not spec.solver.audit:
        raise InvalidSpec(f"The job cannot be audited: {KEEP}.", source={"job_id": job_id})
    audit = Audit(job_id=job_id, **asked.model_dump())
    try:
        return accept(backend, spec, "audit", idempotency_key, request_id, audit)
    except NotFound as error:
        raise Gone(f"An array that the audit needs has been deleted. {error.detail}") from None
