"""An uploaded file to arrays in the store: its format is settled here, its content in the sandbox."""

from typing import Literal

from anyio import to_thread

from newtond.contract.array import ArrayInfo
from newtond.contract.errors import UnsupportedFormat
from service.backend import Backend
from service.formats.media_type import HOLDS, format_of, known_format
from service.formats.options import NO_OPTIONS, Options, from_media_type
from service.upload import Upload

Encoding = Literal["gzip"] | None
Stored = dict[str, tuple[ArrayInfo, bool]]
"""Arrays by the names that a file of several gives them, and whether each is new; a single one has none."""


def names_in(upload: Upload) -> tuple[str, ...]:
    """Return the names of the arrays that a file of several holds, none of any other file."""
    return HOLDS.get(known_format(upload.media_type, None, upload.file_name) or "", ())


async def parse(
    backend: Backend, upload: Upload, *, format: str | None = None, options: Options = NO_OPTIONS
) -> Stored:
    """Return the arrays of ``upload``; the parameters of its media type say what ``options`` do not.

    Raises UnsupportedFormat, InvalidSpec, InvalidArray, TooLarge, StorageFull, QuotaExceeded, Unavailable.
    """
    name = format_of(upload.media_type, format, upload.file_name)
    stored = await backend.sandbox.parse(
        upload.path,
        name,
        encoding=_encoding(upload),
        options=from_media_type(upload.media_type, options),
        store=backend.arrays.root,
        room=await to_thread.run_sync(backend.quotas.room, backend.tenant),
    )
    return dict(zip(HOLDS.get(name, ("",)), stored, strict=False))


def _encoding(upload: Upload) -> Encoding:
    told = (upload.encoding or "").strip().lower()
    if told in ("gzip", "x-gzip"):
        return "gzip"
    if told not in ("", "identity"):
        raise UnsupportedFormat("The only Content-Encoding read here is gzip.")
    return "gzip" if (upload.file_name or "").lower().endswith(".gz") else None
