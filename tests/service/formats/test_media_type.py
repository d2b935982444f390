"""A format is told by name, by media type or by a file name, in that order."""

import pytest

from newtond.contract.errors import UnsupportedFormat
from service.formats.media_type import format_of


@pytest.mark.parametrize(
    ("told", "format"),
    [
        (("text/x-matrix-market",), "mtx"),
        (("Application/X-NPZ; charset=binary",), "npz"),
        (("application/json", "npy"), "npy"),
        ((None, "mtx"), "mtx"),
        ((None, None, "A.npy"), "npy"),
        (("application/octet-stream", None, "C:\\data\\A.MTX.GZ"), "mtx"),
        (("application/gzip", None, "A.mtx.gz"), "mtx"),
        (("text/plain", None, "A.mtx"), "mtx"),
        (("application/x-www-form-urlencoded", "npz", "x"), "npz"),
        (("application/x-npy", None, "A.mtx"), "npy"),
        (("text/x-svmlight; index_base=0",), "svmlight"),
        (("application/vnd.apache.arrow.file",), "arrow"),
        (("text/plain", None, "news20.libsvm.gz"), "svmlight"),
        ((None, None, "A.feather"), "arrow"),
    ],
)
def test_what_is_told_is_understood(told, format):
    assert format_of(*told) == format


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ((None,), "Say the format: Content-Type text/x-matrix-market"),
        (("application/octet-stream",), "Say the format"),
        ((None, "hdf5"), "HDF5 files are not read. Save scipy.sparse.save_npz"),
        (("application/x-hdf5",), "HDF5 files are not read"),
        ((None, None, "A.mat"), "MATLAB files are not read"),
        ((None, None, "model.pkl"), "pickle files are not read"),
        (("application/vnd.apache.parquet",), "Parquet files are not read"),
        (("text/csv",), "CSV files are not read"),
        ((None, "../../etc/passwd"), "Say the format"),
        (("application/vnd.apache.arrow.stream",), "Arrow stream files are not read"),
    ],
)
def test_what_is_not_read_is_refused_with_what_to_save(told, words):
    with pytest.raises(UnsupportedFormat, match=words.replace("(", r"\(")):
        format_of(*told)
