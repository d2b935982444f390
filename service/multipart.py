"""multipart/form-data as it streams in: the part ``spec`` into memory, every array into a file of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from newtond.contract.errors import InvalidSpec, MalformedRequest, TooLarge
from newtond.contract.solve import ARRAY_POINTERS
from service.upload import Upload, Writer

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

SPEC = "spec"
ALIASES = {"w": "weights"}


@dataclass
class Form:
    """What a multipart body held: the spec's bytes and the arrays' files by name."""

    spec: bytes | None = None
    uploads: dict[str, Upload] = field(default_factory=dict)


@dataclass
class _Part:
    headers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    writer: Writer | None = None


async def read_form(content_type: str, stream: AsyncIterator[bytes], folder: Path, spec_bytes: int) -> Form:
    """Read a form, its files into ``folder``; raises MalformedRequest, InvalidSpec, TooLarge, StorageFull."""
    reader = _FormReader(content_type, folder, spec_bytes)
    try:
        async for chunk in stream:
            await reader.feed(chunk)
        return reader.end()
    except FormParserError as error:
        raise MalformedRequest("The body is not the multipart/form-data that its boundary says.") from error
    finally:
        await reader.close()


class _FormReader:
    """Turns the parser's callbacks into files; they are noted first and awaited after each chunk."""

    def __init__(self, content_type: str, folder: Path, spec_bytes: int) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise MalformedRequest("multipart/form-data needs a boundary.")
        self._parser = MultipartParser(boundary, self._callbacks())
        self._folder = folder
        self._spec_bytes = spec_bytes
        self._form = Form()
        self._part = _Part()
        self._header = b"", b""
        self._spec = bytearray()
        self._todo: list[tuple[str, bytes]] = []
        self._ended = False

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_header_field": lambda data, start, end: self._on_header(data[start:end], b""),
            "on_header_value": lambda data, start, end: self._on_header(b"", data[start:end]),
            "on_header_end": lambda: self._todo.append(("header", b"")),
            "on_headers_finished": lambda: self._todo.append(("begin", b"")),
            "on_part_data": lambda data, start, end: self._todo.append(("data", data[start:end])),
            "on_part_end": lambda: self._todo.append(("end", b"")),
            "on_end": self._on_end,
        }

    def _on_header(self, name: bytes, value: bytes) -> None:
        kind = "name" if name else "value"
        self._todo.append((kind, name or value))

    def _on_end(self) -> None:
        self._ended = True

    async def feed(self, chunk: bytes) -> None:
        """Parse a chunk and write what it held."""
        self._parser.write(chunk)
        todo, self._todo = self._todo, []
        for what, data in todo:
            await self._do(what, data)

    async def _do(self, what: str, data: bytes) -> None:
        if what == "name":
            self._header = self._header[0] + data, self._header[1]
        elif what == "value":
            self._header = self._header[0], self._header[1] + data
        elif what == "header":
            self._end_header()
        elif what == "begin":
            self._begin_part()
        elif what == "data":
            await self._write(data)
        else:
            await self._end_part()

    def _end_header(self) -> None:
        name, value = (half.decode("latin-1") for half in self._header)
        self._part.headers[name.lower()] = value
        self._header = b"", b""

    def _begin_part(self) -> None:
        options = parse_options_header(self._part.headers.get("content-disposition", ""))[1]
        name = options.get(b"name", b"").decode("latin-1")
        self._part.name = name = ALIASES.get(name, name)
        self._refuse_stranger(name)
        if name != SPEC:
            path = self._folder / f"{len(self._form.uploads)}.part"
            self._part.writer = Writer(path)
            file_name = options[b"filename"].decode("latin-1") if b"filename" in options else None
            self._form.uploads[name] = Upload(
                path,
                self._part.headers.get("content-type"),
                file_name,
                self._part.headers.get("content-encoding"),
            )

    def _refuse_stranger(self, name: str) -> None:
        if name != SPEC and name not in ARRAY_POINTERS:
            known = ", ".join((SPEC, *ARRAY_POINTERS))
            raise InvalidSpec(f"A part has a name that is none of {known}.", source={"part": None})
        if name in self._form.uploads or (name == SPEC and self._form.spec is not None):
            raise InvalidSpec(f"The part {name} comes twice.", source={"part": name})

    async def _write(self, data: bytes) -> None:
        if self._part.writer is not None:
            await self._part.writer.write(data)
            return
        self._spec += data
        if len(self._spec) > self._spec_bytes:
            source = {"part": SPEC, "limit": self._spec_bytes}
            raise TooLarge(f"The part spec is larger than {self._spec_bytes} bytes.", source=source)

    async def _end_part(self) -> None:
        await self.close()
        if self._part.name == SPEC:
            self._form.spec = bytes(self._spec)
        self._part = _Part()

    def end(self) -> Form:
        """Return the form; raises MalformedRequest if the body broke off."""
        if not self._ended:
            raise MalformedRequest("The body ends before its last boundary.")
        return self._form

    async def close(self) -> None:
        """Close the file that is being written."""
        writer, self._part.writer = self._part.writer, None
        if writer is not None:
            await writer.close()
