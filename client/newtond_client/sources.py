"""What a caller may give as an array, brought to one of three: an id, a canonical array, a file to send as it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from newtond_client.canonical import Canonical, canonical, csr
from newtond_client.errors import InvalidInput

ARRAY_ID = re.compile(r"sha256:[0-9a-f]{64}")
MEDIA_TYPES = {
    ".mtx": "text/x-matrix-market",
    ".json": "application/json",
    ".arrow": "application/vnd.apache.arrow.file",
    ".svmlight": "text/x-svmlight",
}


@dataclass(frozen=True)
class File:
    """A file that the server reads itself, and says where if it cannot."""

    path: Path
    media_type: str
    encoding: str | None


Source = str | Canonical | File


def source_of(value: Any, name: str) -> Source:
    """Return what ``value`` is: an id ``sha256:…``, a path, or numbers; raises InvalidInput."""
    if isinstance(value, str):
        if ARRAY_ID.fullmatch(value):
            return value
        raise InvalidInput(f"{name}: {value!r} is no array id; a file is given as pathlib.Path({value!r}).")
    if isinstance(value, Path):
        return read_file(value)
    return canonical(value, name)


def read_file(path: Path) -> Canonical | File:
    """Return a .npy or SciPy .npz file as an array, a .mtx or .json (also .gz) as a file to send."""
    if not path.is_file():
        raise InvalidInput(f"There is no file {path}.")
    endings = path.suffixes
    if endings[-1:] == [".npy"]:
        return canonical(_loaded(path), path.name)
    if endings[-1:] == [".npz"]:
        return _sparse(_loaded(path), path)
    plain = [ending for ending in endings if ending != ".gz"][-1:]
    if plain and plain[0] in MEDIA_TYPES:
        return File(path, MEDIA_TYPES[plain[0]], "gzip" if endings[-1] == ".gz" else None)
    others = ", ".join(MEDIA_TYPES)
    raise InvalidInput(f"{path.name}: arrays are read from .npy, .npz and (also as .gz) {others} files.")


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path.name}: {error}") from error


def _sparse(parts: Mapping[str, Any], path: Path) -> Canonical:
    """Return the CSR matrix that scipy.sparse.save_npz wrote; other layouts are SciPy's to convert."""
    if "indptr" not in parts or bytes(parts["format"].item()) != b"csr":
        return canonical(_by_scipy(path), path.name)
    shape = tuple(int(length) for length in parts["shape"])
    indptr, indices, data = (parts[name] for name in ("indptr", "indices", "data"))
    if _is_canonical(shape, indptr, indices, data):
        return csr((shape[0], shape[1]), indptr, indices, data, path.name)
    return canonical(_by_scipy(path), path.name)


def _is_canonical(shape: tuple[int, ...], indptr: Any, indices: Any, data: Any) -> bool:
    """Whether the parts are a CSR matrix whose columns rise strictly in each row, without explicit zeros."""
    if len(indptr) != shape[0] + 1 or indptr[0] != 0 or not len(indices) == len(data) == indptr[-1] > 0:
        return False
    if (np.diff(indptr) < 0).any() or indices.min() < 0 or indices.max() >= shape[1]:
        return False
    rises = np.diff(indices) > 0
    heads = indptr[1:-1]
    rises[heads[(heads > 0) & (heads < len(indices))] - 1] = True
    return bool(rises.all() and data.all())


def _by_scipy(path: Path) -> Any:
    from newtond_client.optional import needed

    try:
        matrix = needed("scipy.sparse", "to read this .npz layout").load_npz(path)
        matrix.tocsr().check_format(full_check=True)
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"{path.name} is no sparse matrix of scipy.sparse.save_npz: {error}") from error
    return matrix
