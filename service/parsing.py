"""An uploaded file to arrays in the store: its format is settled here, its content in the sandbox."""

from typing import Literal

from newtond.contract.errors import UnsupportedFormat
from service.backend import Backend
from service.formats.answer import Parsed
from service.formats.media_type import format_of
from service.upload import Upload

Encoding = Literal["gzip"] | None


async def parse(
    backend: Backend,
    upload: Upload,
    *,
    format: str | None = None,
    duplicates: Literal["error", "sum"] = "error",
) -> Parsed:
    """Return the arrays of ``upload``, each with whether it is new.

    Raises UnsupportedFormat, InvalidArray, TooLarge, StorageFull, Unavailable.
    """
    name = format_of(upload.media_type, format, upload.file_name)
    return await backend.sandbox.parse(upload.path, name, encoding=_encoding(upload), duplicates=duplicates)


def _encoding(upload: Upload) -> Encoding:
    told = (upload.encoding or "").strip().lower()
    if told in ("gzip", "x-gzip"):
        return "gzip"
    if told not in ("", "identity"):
        raise UnsupportedFormat("The only Content-Encoding read here is gzip.")
    return "gzip" if (upload.file_name or "").lower().endswith(".gz") else None
