"""Which format an upload is in: what the client says, by name, by media type or by the end of a file name."""

from typing import Literal, NoReturn

from newtond.contract.errors import UnsupportedFormat

FormatName = Literal["mtx", "npz", "npy", "svmlight", "arrow", "json"]
FORMATS: dict[str, FormatName] = {
    "mtx": "mtx",
    "npz": "npz",
    "npy": "npy",
    "svmlight": "svmlight",
    "arrow": "arrow",
    "json": "json",
}
_ENDINGS = FORMATS | {"libsvm": "svmlight", "svm": "svmlight", "feather": "arrow", "ipc": "arrow"}
MEDIA_TYPES: dict[str, FormatName] = {
    "text/x-matrix-market": "mtx",
    "application/x-npz": "npz",
    "application/x-npy": "npy",
    "text/x-svmlight": "svmlight",
    "application/vnd.apache.arrow.file": "arrow",
    "application/json": "json",
}
HOLDS: dict[str, tuple[str, ...]] = {"svmlight": ("A", "b", "groups")}
"""What a file of several arrays holds, in this order; the last only if the file has it."""
UNTOLD = frozenset(
    {"", "application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data"}
)
"""Media types that say nothing of the content: curl and browsers send them when they are told none."""

SPARSE = "scipy.sparse.save_npz('A.npz', A) for a sparse matrix"
DENSE = "numpy.save('A.npy', A) for a dense one"
_ADVICE = f"Save {SPARSE}, {DENSE}, or scipy.io.mmwrite('A.mtx', A)"
_FOREIGN = {
    "hdf5": "HDF5",
    "h5": "HDF5",
    "h5ad": "HDF5",
    "x-hdf5": "HDF5",
    "x-hdf": "HDF5",
    "mat": "MATLAB",
    "x-matlab-data": "MATLAB",
    "pkl": "pickle",
    "pickle": "pickle",
    "joblib": "pickle",
    "x-pickle": "pickle",
    "pt": "pickle",
    "parquet": "Parquet",
    "vnd.apache.parquet": "Parquet",
    "vnd.apache.arrow.stream": "Arrow stream",
    "csv": "CSV",
    "rds": "R",
    "xlsx": "Excel",
}


def format_of(media_type: str | None, name: str | None = None, filename: str | None = None) -> FormatName:
    """Return the format of an upload: ``name`` (``?format=``), or the media type, or the file name says it.

    Raises UnsupportedFormat, which says what to save instead.
    """
    if (known := known_format(media_type, name, filename)) is not None:
        return known
    told = _bare(media_type)
    return _refuse_name(name or (_ending(filename) if told in UNTOLD else told.rpartition("/")[2]))


def known_format(
    media_type: str | None, name: str | None = None, filename: str | None = None
) -> FormatName | None:
    """Return the format of an upload as ``format_of`` does, None if it is not one of ours."""
    if name is not None:
        return FORMATS.get(name)
    told = _bare(media_type)
    if told in UNTOLD | {"text/plain", "application/gzip"}:
        return _ENDINGS.get(_ending(filename))
    return MEDIA_TYPES.get(told)


def _bare(media_type: str | None) -> str:
    return (media_type or "").split(";", 1)[0].strip().lower()


def _ending(filename: str | None) -> str:
    return (filename or "").lower().removesuffix(".gz").rpartition(".")[2]


def _refuse_name(name: str) -> NoReturn:
    if name.lower() in _FOREIGN:
        refuse_foreign(_FOREIGN[name.lower()])
    raise UnsupportedFormat(
        "Say the format: Content-Type " + ", ".join(MEDIA_TYPES) + "; or ?format=" + "|".join(FORMATS) + "."
    )


def refuse_foreign(kind: str) -> NoReturn:
    """Raise the UnsupportedFormat of a kind of file that is known and not read."""
    raise UnsupportedFormat(f"{kind} files are not read. {_ADVICE}.")
