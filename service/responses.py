"""What each route may answer, for the OpenAPI document: every refusal is a problem document."""

from collections.abc import Mapping
from typing import Any

from service.errors import MEDIA_TYPE

PROBLEM_SCHEMA = {"$ref": "#/components/schemas/ProblemDetail"}
Responses = dict[int | str, dict[str, Any]]
MEANINGS = {
    400: "The body is not what it says: broken JSON, multipart or header.",
    401: "No API key, or one that is not valid; not asked for on loopback while there are no keys.",
    403: "The key's scopes do not allow this.",
    404: "There is no such thing.",
    405: "Not with this method.",
    406: "There is no such representation.",
    408: "The body does not come, or too slowly.",
    409: "Not now: the state of the resource is against it.",
    410: "It was there and has been removed.",
    411: "The body's length is not said and it is not chunked.",
    413: "Over a limit of `GET /limits`; `source.limit` says which.",
    415: "A media type or encoding that is not read here, and what to save instead.",
    416: "There are no such bytes.",
    422: "Understood and refused; `source` says where.",
    429: "Over a quota of the tenant, by `GET /limits`; see `Retry-After`.",
    503: "Redis does not answer, too many jobs wait, or the disk is nearly full; see `Retry-After`.",
    507: "The data directory has no room.",
}
REQUEST_ID = {
    "X-Request-ID": {"description": "the request's id, also in the log", "schema": {"type": "string"}}
}
LOCATION = {"Location": {"description": "the resource", "schema": {"type": "string"}}}
RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
CHALLENGE = {"WWW-Authenticate": {"description": "how to authenticate", "schema": {"type": "string"}}}
ETAG = {"ETag": {"description": "names this representation", "schema": {"type": "string"}}}
NOT_MODIFIED: Responses = {
    304: {"description": "The ETag given is still current.", "headers": ETAG | REQUEST_ID}
}


def problems(*statuses: int) -> Responses:
    """Return these refusals as OpenAPI responses."""
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> dict[str, Any]:
    headers = REQUEST_ID | (RETRY_AFTER if status in (429, 503, 507) else {})
    headers |= CHALLENGE if status == 401 else {}
    content = {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}
    return {"description": MEANINGS[status], "content": content, "headers": headers}


def merged(*parts: Mapping[Any, Any]) -> Responses:
    """Return all of these responses together."""
    return {status: answer for part in parts for status, answer in part.items()}


def content(*media_types: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an OpenAPI content map: the same schema (text or bytes unless given) as each media type."""
    return {media_type: {"schema": schema or {"type": "string"}} for media_type in media_types}
