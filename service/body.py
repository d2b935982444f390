"""A body that brings a JSON document, and arrays beside it when it is multipart."""

from pathlib import Path

from anyio import to_thread
from fastapi import Request

from newtond.contract.errors import InvalidSpec, UnsupportedFormat
from service.backend import Backend
from service.document import Document, read_document
from service.multipart import SPEC, read_form
from service.upload import Upload


async def read_body(
    request: Request, backend: Backend, folder: Path, *, needs_spec: bool = True
) -> tuple[Document, dict[str, Upload]]:
    """Return the document and the arrays that came beside it, their files in ``folder``.

    Raises UnsupportedFormat, InvalidSpec where a form has no ``spec`` and needs one, …
    """
    media_type, path = request.headers.get("content-type", ""), request.scope["route"].path
    if "content-encoding" in request.headers:
        raise UnsupportedFormat(f"POST {path} takes no Content-Encoding; a part or an upload to /arrays may.")
    if media_type.lower().startswith("multipart/form-data"):
        return await _read_form(request, backend, folder, needs_spec)
    if not says_json(request):
        raise UnsupportedFormat(f"POST {path} takes application/json or multipart/form-data.")
    return await to_thread.run_sync(read_document, await request.body()), {}


def says_json(request: Request) -> bool:
    """Whether a body is said to be JSON, or nothing is said of it."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    return media_type in ("application/json", "")


async def _read_form(
    request: Request, backend: Backend, folder: Path, needs_spec: bool
) -> tuple[Document, dict[str, Upload]]:
    content_type, limit = request.headers["content-type"], backend.settings.json_bytes
    form = await read_form(content_type, request.stream(), folder, limit)
    backend.metrics.count_upload(sum(upload.path.stat().st_size for upload in form.uploads.values()))
    if form.spec is None:
        if needs_spec:
            raise InvalidSpec("The part spec is missing.", source={"part": SPEC})
        return {}, form.uploads
    return await to_thread.run_sync(read_document, form.spec), form.uploads
