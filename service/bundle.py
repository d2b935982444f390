"""A finished job as one zip that anybody can verify: spec, chain, result, seal, solution, and the verifier.

Members are stored as they are, not compressed, and dated 1980: the same job gives the same bytes. Every JSON is in
the canonical form that the seal digests, so the digests of the members are those in the chain and in the seal.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from newtond.contract.chain import canonical, linked, sealed, sealed_lines
from newtond.contract.errors import Gone, NotFound
from service.backend import Backend
from service.verification import sealed_end

VERIFIER = Path(__file__).with_name("verify.py")
CHUNK = 1 << 20


class _Outlet:
    """A file that only grows: what a zip writes is taken out and sent on."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._written.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        written, self._written = self._written, []
        return b"".join(written)


def bundle(backend: Backend, job_id: str) -> Iterator[bytes]:
    """Yield the zip, a piece at a time; raises, at once, NotFound, Conflict without a sealed result, and Gone."""
    finished = sealed_end(backend, job_id)
    assert finished.seal is not None
    assert finished.result is not None
    texts = {
        "spec.json": backend.jobs.inputs(job_id),
        "chain.ndjson": b"".join(
            linked(line) + b"\n" for line in sealed_lines(backend.jobs.lines(job_id), finished.seal)
        ),
        "result.json": canonical(sealed(backend.jobs.result(job_id))),
        "seal.json": canonical(finished.seal.model_dump()),
        "verify.py": VERIFIER.read_bytes(),
    }
    try:
        files = {
            f"solution/{name}.npy": backend.arrays.path(array.id)
            for name, array in finished.result.arrays.items()
        }
    except NotFound:
        raise Gone("Arrays of this result have been deleted.") from None
    return _zip(texts, files)


def _zip(texts: dict[str, bytes], files: dict[str, Path]) -> Iterator[bytes]:
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w") as archive:  # type: ignore[call-overload]
        for name, text in texts.items():
            archive.writestr(_member(name), text)
            yield outlet.taken()
        for name, path in files.items():
            with path.open("rb") as source, archive.open(_member(name), "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield outlet.taken()
    yield outlet.taken()


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o644 << 16
    return member
