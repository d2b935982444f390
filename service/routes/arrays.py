"""Arrays: uploaded once, named by their digest, deleted when no job needs them."""

from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from newtond.contract.array import ArrayFile, ArrayInfo, ArrayPicture
from service import responses
from service.backend import Backend, backend
from service.formats.media_type import MEDIA_TYPES, FormatName
from service.formats.options import Options
from service.parameters import ArrayIdPath
from service.parsing import Stored, parse
from service.picture import picture
from service.upload import Upload, check_room, save_stream, staging

router = APIRouter(prefix="/arrays", tags=["arrays"])
TheBackend = Annotated[Backend, Depends(backend)]
Format = Annotated[
    FormatName | None,
    Query(description="the format, where Content-Type does not say it"),
]
Duplicates = Annotated[
    Literal["error", "sum"], Query(description="what to do with entries at the same place of a sparse matrix")
]
IndexBase = Annotated[
    int | None, Query(ge=0, le=1, description="of svmlight: what the first column is called, 1 unless said")
]
Dimension = Annotated[
    int | None,
    Query(ge=1, lt=2**31, description="of the matrix, where its file does not say it: svmlight, Arrow"),
]
STORED = {
    "model": ArrayInfo | ArrayFile,
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
    response_model=ArrayInfo | ArrayFile,
    responses=responses.merged(
        {201: STORED, 200: STORED | {"description": "The same array was stored already."}},
        responses.problems(400, 408, 411, 413, 415, 422, 503, 507),
    ),
    openapi_extra=BODY,
)
async def upload_array(
    request: Request,
    backend: TheBackend,
    format: Format = None,
    duplicates: Duplicates = "error",
    index_base: IndexBase = None,
    rows: Dimension = None,
    columns: Dimension = None,
) -> Response:
    """The media type or `?format=` names the format; the id is a digest of the array, whatever its format.

    An svmlight file is two arrays or three: the answer is `{"arrays": {"A": …, "b": …}}`, with `groups` where its
    lines have a qid, and `Location` is A's.
    """
    await to_thread.run_sync(check_room, backend.settings)
    options = Options(duplicates, index_base, rows, columns)
    with staging(backend.incoming) as folder:
        headers = request.headers
        upload = Upload(
            folder / "body", headers.get("content-type"), encoding=headers.get("content-encoding")
        )
        backend.metrics.count_upload(await save_stream(request.stream(), upload.path))
        stored = await parse(backend, upload, format=format, options=options)
    return _answer(stored)


def _answer(stored: Stored) -> Response:
    infos = {name: info for name, (info, _) in stored.items()}
    first = next(iter(infos.values()))
    return Response(
        (first if "" in infos else ArrayFile(arrays=infos)).model_dump_json(),
        201 if any(is_new for _, is_new in stored.values()) else 200,
        headers={"Location": f"/arrays/{first.id}"},
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
