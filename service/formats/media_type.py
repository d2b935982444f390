"""Which format an upload is in: what the client says, by name, by media type or by the end of a file name."""

from typing import Literal, NoReturn

from newtond.contract.errors import UnsupportedFormat

FormatName = Literal["mtx", "npz", "npy", "json"]
FORMATS: dict[str, FormatName] = {"mtx": "mtx", "npz": "npz", "npy": "npy", "json": "json"}
MEDIA_TYPES: dict[str, FormatName] = {
    "text/x-matrix-market": "mtx",
    "application/x-npz": "npz",
    "application/x-npy": "npy",
    "application/json": "json",
}
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
    "feather": "Arrow",
    "arrow": "Arrow",
    "vnd.apache.arrow.file": "Arrow",
    "svmlight": "svmlight",
    "libsvm": "svmlight",
    "x-svmlight": "svmlight",
    "csv": "CSV",
    "rds": "R",
    "xlsx": "Excel",
}


def format_of(media_type: str | None, name: str | None = None, filename: str | None = None) -> FormatName:
    """Return the format of an upload: ``name`` (``?format=``), or the media type, or the file name says it.

    Raises UnsupportedFormat, which says what to save instead.
    """
    if name is not None:
        return FORMATS.get(name) or _refuse_name(name)
    told = (media_type or "").split(";", 1)[0].strip().lower()
    if told in MEDIA_TYPES:
        return MEDIA_TYPES[told]
    ending = _ending(filename)
    if told in UNTOLD | {"text/plain", "application/gzip"} and ending in FORMATS:
        return FORMATS[ending]
    return _refuse_name(ending if told in UNTOLD else told.rpartition("/")[2])


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
