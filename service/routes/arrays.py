"""Arrays: uploaded once, named by their digest, deleted when no job needs them."""

from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from newtond.contract.array import ArrayInfo, ArrayPicture
from newtond.contract.errors import InvalidArray
from service import responses
from service.backend import Backend, backend
from service.formats.media_type import MEDIA_TYPES
from service.parameters import ArrayIdPath
from service.parsing import parse
from service.picture import picture
from service.upload import Upload, check_room, save_stream, staging

router = APIRouter(prefix="/arrays", tags=["arrays"])
TheBackend = Annotated[Backend, Depends(backend)]
Format = Annotated[
    Literal["mtx", "npz", "npy", "json"] | None,
    Query(description="the format, where Content-Type does not say it"),
]
Duplicates = Annotated[
    Literal["error", "sum"], Query(description="what to do with entries at the same place of a sparse matrix")
]
STORED = {
    "model": ArrayInfo,
    "headers": responses.LOCATION | responses.REQUEST_ID,
    "description": "The array is stored.",
}
BODY = {
    "requestBody": {
        "required": True,
        "description": "The file as it is; `Content-Encoding: gzip` is accepted.",
        "content": responses.content(*MEDIA_TYPES, schema={"type": "string", "format": "binary"}),
    }
}


@router.post(
    "",
    summary="Upload a matrix or a vector",
    status_code=201,
    response_model=ArrayInfo,
    responses=responses.merged(
        {201: STORED, 200: STORED | {"description": "The same array was stored already."}},
        responses.problems(400, 411, 413, 415, 422, 503, 507),
    ),
    openapi_extra=BODY,
)
async def upload_array(
    request: Request, backend: TheBackend, format: Format = None, duplicates: Duplicates = "error"
) -> Response:
    """The media type or `?format=` names the format; the id is a digest of the array, whatever its format."""
    await to_thread.run_sync(check_room, backend.settings)
    with staging(backend.incoming) as folder:
        headers = request.headers
        upload = Upload(
            folder / "body", headers.get("content-type"), encoding=headers.get("content-encoding")
        )
        backend.metrics.count_upload(await save_stream(request.stream(), upload.path))
        stored = await parse(backend, upload, format=format, duplicates=duplicates)
    if len(stored) != 1:
        raise InvalidArray(f"This file holds {len(stored)} arrays; upload them one by one.")
    info, is_new = stored[0]
    return Response(
        info.model_dump_json(),
        201 if is_new else 200,
        headers={"Location": f"/arrays/{info.id}"},
        media_type="application/json",
    )


@router.get("/{array_id}", summary="What is known of an array", responses=responses.problems(404))
def get_array(array_id: ArrayIdPath, backend: TheBackend) -> ArrayInfo:
    return backend.arrays.info(array_id)


@router.get(
    "/{array_id}/picture",
    summary="Where an array's nonzeros lie, counted in at most 128 by 128 cells",
    responses=responses.problems(404),
)
def get_picture(array_id: ArrayIdPath, backend: TheBackend) -> ArrayPicture:
    """A large array is sampled evenly: the answer takes the same moment for every size."""
    return picture(backend.arrays.open(array_id), backend.arrays.info(array_id).nnz)


@router.delete(
    "/{array_id}",
    summary="Delete an array; 409 while an unfinished job needs it",
    status_code=204,
    responses=responses.problems(404, 409),
)
def delete_array(array_id: ArrayIdPath, backend: TheBackend) -> None:
    backend.delete_array(array_id)
