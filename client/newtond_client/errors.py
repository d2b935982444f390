"""Every exception of the client, as one tree.

ClientError
├── ConnectionLost                   the server does not answer, after every retry
├── MissingPackage                   an optional package is needed, and which
├── ServerNotStarted                 the embedded server, and the end of what it said
├── UnexpectedAnswer                 what came back is not what the API promises
├── InvalidInput                     refused before anything was sent: a ValueError too
├── JobCancelled                     the job was cancelled before it had an iterate
├── ApiError                         the server's refusal: status, detail, source, request_id
│   ├── RequestError, Throttled, …   one class a slug of ``urn:newtond:error:``
│   └── SolveError                   a job that failed: it has no answer
└── Interrupted                      a KeyboardInterrupt while waiting: the job goes on, and which

A slug that this client does not know becomes the class of its status, so that a newer server is understood.
"""

from collections.abc import Iterator
from typing import ClassVar

from newtond_client.models import ProblemDetail

PREFIX = "urn:newtond:error:"


class ClientError(Exception):
    """The root."""


class ConnectionLost(ClientError):
    """The server could not be reached, or the connection broke, and no retry helped."""


class MissingPackage(ClientError, ImportError):
    """A feature needs a package that is not installed."""


class ServerNotStarted(ClientError):
    """The embedded server did not come up."""


class UnexpectedAnswer(ClientError):
    """The server answered in a way that its API does not have."""


class InvalidInput(ClientError, ValueError):
    """An argument that cannot be sent."""


class JobCancelled(ClientError):
    """The job was cancelled before it had an iterate to keep."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while waiting for a job, which goes on on the server."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"{job_id} goes on on the server; client.job({job_id!r}) takes it up again")
        self.job_id = job_id


class NotConverged(UserWarning):
    """A solve stopped at a limit: its answer is the best iterate so far."""


class ApiError(ClientError):
    """A refusal as the server words it (RFC 9457); ``source`` says where in the input."""

    slug: ClassVar[str] = "error"
    status: ClassVar[int | None] = None

    def __init__(self, problem: ProblemDetail, job_id: str | None = None) -> None:
        source = problem.get("source") or {}
        where = "".join(f"\n  {name}: {value}" for name, value in source.items())
        super().__init__(problem["detail"] + where)
        self.problem = problem
        self.detail = problem["detail"]
        self.source = source
        self.status_code = problem["status"]
        self.request_id = problem.get("request_id")
        self.job_id = job_id


class RequestError(ApiError):
    slug, status = "bad-request", 400


class Unauthorised(RequestError):
    slug, status = "unauthorised", 401


class Forbidden(RequestError):
    slug, status = "forbidden", 403


class RequestTimeout(RequestError):
    slug, status = "request-timeout", 408


class MalformedRequest(RequestError):
    slug = "malformed-request"


class InvalidSpec(RequestError):
    slug, status = "invalid-spec", 422


class InvalidArray(RequestError):
    slug = "invalid-array"


class UnsupportedFormat(RequestError):
    slug, status = "unsupported-format", 415


class TooLarge(RequestError):
    slug, status = "too-large", 413


class NotFound(RequestError):
    slug, status = "not-found", 404


class Conflict(RequestError):
    slug, status = "conflict", 409


class Gone(NotFound):
    slug, status = "gone", 410


class NotAcceptable(RequestError):
    slug, status = "not-acceptable", 406


class LengthRequired(RequestError):
    slug, status = "length-required", 411


class RangeNotSatisfiable(RequestError):
    slug, status = "range-not-satisfiable", 416


class Throttled(ApiError):
    slug, status = "throttled", 429


class RateLimited(Throttled):
    slug = "rate-limited"


class QuotaExceeded(Throttled):
    slug = "quota-exceeded"


class Unavailable(ApiError):
    slug, status = "unavailable", 503


class QueueUnavailable(Unavailable):
    slug = "queue-unavailable"


class QueueFull(Unavailable):
    slug = "queue-full"


class StorageLow(Unavailable):
    slug = "storage-low"


class StorageFull(Unavailable):
    slug, status = "storage-full", 507


class SolveError(ApiError):
    slug = "solve-failed"


class NonFinite(SolveError):
    slug = "non-finite"


class OutOfMemory(SolveError):
    slug = "out-of-memory"


class RetriesExhausted(SolveError):
    slug = "retries-exhausted"


class InternalError(ApiError):
    slug, status = "internal", 500


def api_error(problem: ProblemDetail, job_id: str | None = None) -> ApiError:
    """Return the exception of a problem document: by its slug, else by its status."""
    slug = problem["type"].removeprefix(PREFIX)
    for cls in _tree(ApiError):
        if cls.slug == slug:
            return cls(problem, job_id)
    return _of_status(problem["status"])(problem, job_id)


def _tree(cls: type[ApiError]) -> Iterator[type[ApiError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)


def _of_status(status: int) -> type[ApiError]:
    for cls in _tree(ApiError):
        if "status" in vars(cls) and cls.status == status:
            return cls
    return InternalError if status >= 500 else RequestError
