"""An upload, whatever its format, to canonical arrays at rest. Runs in the parsing child."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from newtond.contract.array import ArrayInfo
from newtond.contract.errors import InvalidArray, UnsupportedFormat
from newtond.store.arrays import ArrayStore
from service.formats import arrow, json, matrix_market, npy, npz, svmlight
from service.formats.coordinates import Compressed
from service.formats.limits import FormatLimits
from service.formats.magic import encoding_of
from service.formats.options import Options

Read = Compressed | NDArray[np.float64]


def read(path: Path, format: str, encoding: str | None, options: Options, limits: FormatLimits) -> list[Read]:
    """Return the arrays of an upload; raises InvalidArray, InvalidSpec, UnsupportedFormat, TooLarge."""
    options.check(format)
    limits.check_upload(path.stat().st_size)
    encoding = encoding_of(path, format, encoding)
    if format == "mtx":
        return [matrix_market.read(path, encoding, options.duplicates, limits)]
    if format == "json":
        return [json.read(path, encoding, options.duplicates, limits)]
    if format == "npy":
        return [npy.read(path, encoding, limits)]
    if format == "npz":
        return [npz.read(path, options.duplicates, limits)]
    if format == "svmlight":
        return [*svmlight.read(path, encoding, options, limits)]
    if format == "arrow":
        return [arrow.read(path, encoding, options, limits)]
    raise UnsupportedFormat(f"No reader for the format {format}.")


def put(store: ArrayStore, array: Read) -> tuple[ArrayInfo, bool]:
    """Store what was read; raises StorageFull."""
    if isinstance(array, Compressed):
        return store.put_csr(array.shape, array.indptr, array.indices, array.data)
    return store.put_dense(array)


def warm(directory: Path) -> None:
    """Run every compiled kernel once on small files: a child forked afterwards compiles nothing."""
    text, limits = directory / "warm", FormatLimits()
    text.write_text("1 qid:1 1:2 # warm\n1 qid:2 2:5e-400\n")
    read(text, "svmlight", None, Options(), limits)
    rows = "".join(f"{1 + k % 2} {40 - k} {k}.5e-400\n" for k in range(40))
    for banner, body in (
        ("coordinate real general", f"2 40 41\n{rows}1 40 1\n"),
        ("coordinate integer symmetric", "1 1 1\n1 1 1\n"),
        ("array real general", "1 1\n1\n"),
    ):
        text.write_text(f"%%MatrixMarket matrix {banner}\n{body}")
        try:
            read(text, "mtx", None, Options(), limits)
        except InvalidArray as error:
            # the duplicate at the end is there to run the search for its lines
            if not error.detail.startswith("Lines 3 and 43 "):
                raise
