"""Errors as HTTP says them: the status of every exception, and its RFC 9457 body."""

from newtond.contract import errors
from newtond.contract.job import ProblemDetail

STATUS: dict[type[errors.NewtondError], int] = {
    errors.RequestError: 400,
    errors.MalformedRequest: 400,
    errors.Unauthorised: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotAcceptable: 406,
    errors.RequestTimeout: 408,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.LengthRequired: 411,
    errors.TooLarge: 413,
    errors.UnsupportedFormat: 415,
    errors.RangeNotSatisfiable: 416,
    errors.InvalidSpec: 422,
    errors.InvalidArray: 422,
    errors.SolveError: 422,
    errors.Throttled: 429,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
    errors.NewtondError: 500,
}
TYPE_PREFIX = "urn:newtond:error:"


def status_of(error: errors.NewtondError) -> int:
    """Return the status of the nearest ancestor of ``error`` that has one."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def problem_detail(error: errors.NewtondError, request_id: str | None = None) -> ProblemDetail:
    """Return ``error`` as data; its ``type`` is stable and its ``status`` the one that HTTP would answer."""
    return ProblemDetail(
        type=TYPE_PREFIX + error.slug,
        title=error.title,
        status=status_of(error),
        detail=error.detail,
        source=error.source,
        request_id=request_id,
    )
