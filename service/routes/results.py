"""Results: the scalars and the certificate as one resource, every array as one more."""

from collections.abc import Callable, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.responses import StreamingResponse

from newtond.contract.errors import Gone, NotFound
from newtond.contract.problem import PROBLEMS
from newtond.contract.result import Result, ResultArray
from newtond.store.arrays import StoredArray
from service import responses
from service.arrow_file import array_arrow
from service.backend import Backend, backend
from service.byte_range import requested_range
from service.download import file_response
from service.entity_tag import IfNoneMatch, entity_tag, matches
from service.negotiation import Accept, choose
from service.parameters import JobIdPath
from service.results import arrays_of, result_of
from service.tables import NamedArray, array_csv, array_json, array_matrix_market

router = APIRouter(prefix="/jobs", tags=["results"])
TheBackend = Annotated[Backend, Depends(backend)]
NPY, MTX, CSV, JSON = "application/x-npy", "text/x-matrix-market", "text/csv", "application/json"
ARROW = "application/vnd.apache.arrow.file"
Writer = Callable[[NamedArray], Iterator[str] | Iterator[bytes]]
WRITERS: dict[str, Writer] = {
    MTX: array_matrix_market,
    CSV: array_csv,
    JSON: array_json,
    ARROW: array_arrow,
}
SUFFIXES = {NPY: "npy", MTX: "mtx", CSV: "csv", JSON: "json", ARROW: "arrow"}


@router.get(
    "/{job_id}/result",
    summary="Scalars, certificate, plan, and links to the arrays",
    response_model=Result,
    responses=responses.merged(
        {200: {"model": Result, "headers": responses.ETAG | responses.REQUEST_ID}},
        responses.NOT_MODIFIED,
        responses.problems(404, 409, 410, 422),
    ),
)
def get_result(job_id: JobIdPath, backend: TheBackend, if_none_match: IfNoneMatch = None) -> Response:
    result = result_of(backend, job_id)
    if not all(backend.arrays.exists(array.id) for array in result.arrays.values()):
        raise Gone("Arrays of this result have been deleted.")
    body = result.model_dump_json().encode()
    headers = {"ETag": entity_tag(body), "Cache-Control": "no-cache"}
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


@router.get(
    "/{job_id}/result/{name}",
    summary="One array of the result",
    response_class=Response,
    responses=responses.merged(
        {
            200: {
                "content": responses.content(*SUFFIXES),
                "headers": responses.ETAG,
                "description": "The array.",
            },
            206: {"content": responses.content(NPY), "description": "A part of the .npy file."},
        },
        responses.NOT_MODIFIED,
        responses.problems(404, 406, 409, 410, 416, 422),
    ),
)
def get_result_array(
    job_id: JobIdPath,
    name: Annotated[str, Path(examples=["x"])],
    backend: TheBackend,
    accept: Accept = None,
    if_none_match: IfNoneMatch = None,
    if_range: Annotated[str | None, Header()] = None,
    range: Annotated[str | None, Header(description="of the .npy file, one range of bytes")] = None,
) -> Response:
    """`Accept` chooses: .npy (the default, also by `Range`), Matrix Market, CSV (with column names), JSON, Arrow."""
    arrays = arrays_of(backend, job_id)
    if name not in arrays:
        raise NotFound("This result has no array of that name; it has " + ", ".join(arrays) + ".")
    media_type = choose(accept, tuple(SUFFIXES))
    headers = _headers(arrays[name], name, SUFFIXES[media_type])
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    stored = _open(backend, arrays[name])
    if media_type != NPY:
        pieces = WRITERS[media_type](_named(backend, job_id, name, stored))
        return StreamingResponse(pieces, headers=headers, media_type=media_type)
    path = backend.arrays.path(stored.id)
    part = range if if_range in (None, headers["ETag"]) else None
    size = path.stat().st_size
    return file_response(path, size, requested_range(part, size), headers | {"Content-Type": NPY})


def _headers(array: ResultArray, name: str, suffix: str) -> dict[str, str]:
    return {
        "ETag": f'"{array.id.removeprefix("sha256:")[:32]}.{suffix}"',
        "Cache-Control": "no-cache",
        "Vary": "Accept",
        "Accept-Ranges": "bytes" if suffix == "npy" else "none",
        "Content-Disposition": f'attachment; filename="{name}.{suffix}"',
    }


def _open(backend: Backend, array: ResultArray) -> StoredArray:
    try:
        return backend.arrays.open(array.id)
    except NotFound:
        raise Gone("This array has been deleted.") from None


def _named(backend: Backend, job_id: str, name: str, stored: StoredArray) -> NamedArray:
    """Give the rows the columns' names where the array has an entry for each column of A."""
    spec = backend.jobs.accepted(job_id).spec
    role = PROBLEMS[spec.problem.kind].results.get(name)
    by_column = role is not None and role.shape[0] == "d"
    return NamedArray(name, stored.parts["data"], spec.column_names if by_column else None)
