"""A file of the data directory as an answer, whole or one range of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from fastapi.responses import Response, StreamingResponse

from newtond.contract.errors import Gone
from service.byte_range import ByteRange

CHUNK = 1 << 18


def file_response(path: Path, size: int, part: ByteRange | None, headers: Mapping[str, str]) -> Response:
    """Return the file, or its ``part`` as 206; a file deleted meanwhile is read to its end. Raises Gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Gone("This array has been deleted.") from None
    start, stop = (part.start, part.stop) if part else (0, size)
    sent = dict(headers) | {"Content-Length": str(stop - start)}
    if part:
        sent["Content-Range"] = part.content_range
    return StreamingResponse(_read(file, start, stop), 206 if part else 200, headers=sent)


def _read(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < stop:
            chunk = file.read(min(CHUNK, stop - start))
            if not chunk:
                return
            start += len(chunk)
            yield chunk
