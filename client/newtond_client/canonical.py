"""Arrays in the server's canonical form, and their digest, computed before anything is sent.

A sparse matrix is CSR: ``indptr`` int64, ``indices`` int32 (int64 past 2³¹ columns) rising in each row, ``data``
float64 and nowhere zero. A dense array is float64 in C order. The digest is the SHA-256 of one line of JSON
and the buffers, all little-endian. The server computes the same from whatever it is sent.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from newtond_client.errors import InvalidInput
from newtond_client.transport import Body

CHUNK = 1 << 20
EXACT = 2**53
SPOOLED = 1 << 24
MEDIA_TYPES = {"dense": "application/x-npy", "csr": "application/x-npz"}


@dataclass(frozen=True, eq=False)
class Canonical:
    """An array (n,) or (n, d) in canonical form: ``data``, and of a sparse one ``indptr`` and ``indices``."""

    format: Literal["dense", "csr"]
    shape: tuple[int, ...]
    parts: dict[str, NDArray[Any]]

    def digest(self) -> str:
        """Return the id that the server will know this array by."""
        dtypes = {name: part.dtype.str for name, part in self.parts.items()}
        header = {"format": self.format, "shape": list(self.shape), **dtypes}
        state = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        for part in self.parts.values():
            state.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        return "sha256:" + state.hexdigest()

    def body(self) -> Body:
        """Return the file to upload: .npy of a dense array, SciPy's .npz of a sparse one."""
        file = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115 (the body reads it again at each retry)
        if self.format == "dense":
            np.save(file, self.parts["data"], allow_pickle=False)
        else:
            members: dict[str, Any] = dict(self.parts)
            np.savez(file, **members, shape=np.array(self.shape), format=np.array(b"csr"))
        return file_body(file)

    def dot(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return this matrix times ``x``, (d,) or (d, k)."""
        if self.format == "dense":
            product: NDArray[np.float64] = self.parts["data"] @ x
            return product
        if x.ndim == 2:
            return np.column_stack([self.dot(column) for column in x.T])
        terms = self.parts["data"] * x[self.parts["indices"]]
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.parts["indptr"]))
        sums: NDArray[np.float64] = np.bincount(rows, weights=terms, minlength=self.shape[0]).astype(float)
        return sums


def file_body(file: IO[bytes] | Any) -> Body:
    """Return the whole of a file as a body."""
    return Body(file.seek(0, 2), Chunks(file))


@dataclass(frozen=True)
class Chunks:
    """A file's bytes, from the start at each iteration."""

    file: IO[bytes] | Any

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(0)
        while chunk := self.file.read(CHUNK):
            yield chunk


def canonical(value: Any, name: str = "array") -> Canonical:
    """Return the canonical form of a NumPy array, nested lists, or a SciPy sparse matrix or array.

    Duplicates of a sparse matrix are summed, as SciPy means them. Raises InvalidInput, naming the entry.
    """
    if isinstance(value, Canonical):
        return value
    if hasattr(value, "tocsr"):
        return _sparse(value, name)
    array = np.asarray(value)
    if array.ndim not in (1, 2) or array.size == 0:
        raise InvalidInput(f"{name} has the shape {array.shape}; it needs one or two dimensions, none empty.")
    data = _floats(array, name)
    if not np.isfinite(data).all():
        entry = [int(i) for i in np.argwhere(~np.isfinite(data))[0]]
        raise InvalidInput(f"{name}: the value at {entry} is not finite.")
    return Canonical("dense", data.shape, {"data": data})


def csr(
    shape: tuple[int, int],
    indptr: NDArray[Any],
    indices: NDArray[Any],
    data: NDArray[Any],
    name: str = "array",
) -> Canonical:
    """Return the canonical form of CSR parts whose columns rise in each row and whose values are not zero."""
    if not np.isfinite(data).all():
        row = int(np.searchsorted(indptr, np.flatnonzero(~np.isfinite(data))[0], side="right")) - 1
        raise InvalidInput(f"{name}: a value in row {row} is not finite.")
    index = "<i4" if shape[1] <= 2**31 else "<i8"
    parts = {"indptr": indptr.astype("<i8"), "indices": indices.astype(index), "data": _floats(data, name)}
    return Canonical("csr", shape, parts)


def _sparse(value: Any, name: str) -> Canonical:
    matrix = value.tocsr()
    if len(matrix.shape) != 2 or 0 in matrix.shape:
        raise InvalidInput(
            f"{name} has the shape {matrix.shape}; a sparse array needs two dimensions, none empty."
        )
    if not matrix.has_canonical_format or not matrix.data.all():
        matrix = matrix.copy() if matrix is value else matrix
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return csr((int(matrix.shape[0]), int(matrix.shape[1])), matrix.indptr, matrix.indices, matrix.data, name)


def _floats(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Return the values as float64; raises InvalidInput where one would change."""
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} holds {array.dtype}, not real numbers.")
    if array.dtype.kind in "iu" and array.size and max(abs(int(array.max())), abs(int(array.min()))) > EXACT:
        raise InvalidInput(f"{name} holds integers past 2⁵³, which float64 does not hold exactly.")
    with np.errstate(over="ignore"):
        data = np.asarray(array, dtype="<f8", order="C")
    if (
        array.dtype.kind == "f"
        and array.dtype.itemsize > 8
        and not np.array_equal(data, array, equal_nan=True)
    ):
        raise InvalidInput(f"{name} holds {array.dtype} values that float64 does not hold exactly.")
    return data
