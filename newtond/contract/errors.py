"""Every exception of newtond, as one tree.

NewtondError
├── RequestError                     the caller's to mend
│   ├── MalformedRequest             the bytes are not what they say
│   ├── Unauthorised                 no key, or one that is not valid
│   ├── Forbidden                    a key without the scope for this
│   ├── RequestTimeout               the body does not come
│   ├── InvalidSpec                  the spec contradicts itself or its arrays
│   ├── InvalidArray                 an upload or an inline array is wrong, and where
│   ├── UnsupportedFormat            a media type that is not read here, and what to save instead
│   ├── TooLarge                     over a limit, and which
│   ├── LengthRequired               a body of unsaid length
│   ├── NotFound                     no such array, job, problem or result
│   │   └── Gone                     it was there and has been removed
│   ├── Conflict                     not now, or not with this key
│   ├── NotAcceptable                no such representation
│   └── RangeNotSatisfiable          no such bytes
├── Throttled                        a tenant's own bound: try again later
│   ├── RateLimited                  too many requests a second
│   └── QuotaExceeded                too many jobs, bytes or streams
├── Unavailable                      the server's to mend: try again later
│   ├── QueueUnavailable             Redis does not answer
│   ├── QueueFull                    too many jobs wait
│   ├── StorageLow                   the data directory is below its low-water mark
│   └── StorageFull                  the data directory has no room
├── SolveError                       a job that cannot give an answer
│   ├── NonFinite                    the objective is not finite where the solve must start
│   ├── OutOfMemory                  the plan needs more memory than a worker has
│   └── RetriesExhausted             the worker died at this job too often
├── InternalError                    a fault of newtond's own
└── SetupError                       the operator's to mend: what newtond needs to run on this machine
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class NewtondError(Exception):
    """The root; ``slug`` is the stable last part of the error's ``type``, ``detail`` a sentence for a person."""

    slug: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"

    def __init__(self, detail: str, *, source: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.source = dict(source) if source else None


class RequestError(NewtondError):
    slug, title = "bad-request", "Bad request"


class MalformedRequest(RequestError):
    slug, title = "malformed-request", "Malformed request"


class Unauthorised(RequestError):
    slug, title = "unauthorised", "Unauthorised"


class Forbidden(RequestError):
    slug, title = "forbidden", "Forbidden"


class RequestTimeout(RequestError):
    slug, title = "request-timeout", "Request timeout"


class InvalidSpec(RequestError):
    slug, title = "invalid-spec", "Invalid spec"


class InvalidArray(RequestError):
    slug, title = "invalid-array", "Invalid array"


class UnsupportedFormat(RequestError):
    slug, title = "unsupported-format", "Unsupported format"


class TooLarge(RequestError):
    slug, title = "too-large", "Too large"


class NotFound(RequestError):
    slug, title = "not-found", "Not found"


class Conflict(RequestError):
    slug, title = "conflict", "Conflict"


class Gone(NotFound):
    slug, title = "gone", "Gone"


class NotAcceptable(RequestError):
    slug, title = "not-acceptable", "Not acceptable"


class LengthRequired(RequestError):
    slug, title = "length-required", "Length required"


class RangeNotSatisfiable(RequestError):
    slug, title = "range-not-satisfiable", "Range not satisfiable"


class Throttled(NewtondError):
    """Raised with the seconds after which to try again."""

    slug, title = "throttled", "Throttled"

    def __init__(
        self, detail: str, *, source: Mapping[str, Any] | None = None, retry_after: float = 5.0
    ) -> None:
        super().__init__(detail, source=source)
        self.retry_after = retry_after


class RateLimited(Throttled):
    slug, title = "rate-limited", "Rate limited"


class QuotaExceeded(Throttled):
    slug, title = "quota-exceeded", "Quota exceeded"


class Unavailable(NewtondError):
    slug, title = "unavailable", "Unavailable"


class QueueUnavailable(Unavailable):
    slug, title = "queue-unavailable", "Queue unavailable"


class QueueFull(Unavailable):
    slug, title = "queue-full", "Queue full"


class StorageLow(Unavailable):
    slug, title = "storage-low", "Storage low"


class StorageFull(Unavailable):
    slug, title = "storage-full", "Storage full"


class SolveError(NewtondError):
    slug, title = "solve-failed", "Solve failed"


class NonFinite(SolveError):
    slug, title = "non-finite", "Not finite"


class OutOfMemory(SolveError):
    slug, title = "out-of-memory", "Out of memory"


class RetriesExhausted(SolveError):
    slug, title = "retries-exhausted", "Retries exhausted"


class InternalError(NewtondError):
    slug, title = "internal", "Internal error"


class SetupError(NewtondError):
    slug, title = "setup", "Cannot start"
