"""The valid .npy, .npz and JSON files, usual and odd, come back exactly."""

import io
import json
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from service.formats import json as json_format
from service.formats import npy
from service.formats.limits import FormatLimits

TYPES = ["?", "i1", "u1", "<i2", ">i2", "<u4", ">i4", "<i8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]


def saved(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def sparse(matrix, **options):
    file = io.BytesIO()
    sp.save_npz(file, matrix, **options)
    return file.getvalue()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_type_of_number_is_converted_exactly(read, dtype, order):
    array = np.array([[0, 1, 2], [3, 100, 5]]).astype(dtype)
    assert np.array_equal(read(saved(np.asarray(array, order=order)), "npy"), array.astype(float))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("compress", [False, True])
def test_every_version_is_read_plain_and_compressed(read, version, compress):
    vector = np.array([1e-320, -0.0, 1.7976931348623157e308])
    assert read(saved(vector, version), "npy", compress=compress).tobytes() == vector.tobytes()


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
        b"{'shape':(2,),'fortran_order':False,'descr':'<f8'}",
        b"{'descr': '<f8', 'fortran_order': True, 'shape': (2 , 1), }   \n",
    ],
)
def test_the_headers_of_other_writers_are_read(read, header):
    content = (
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + np.array([1.0, 2.0]).tobytes()
    )
    assert read(content, "npy").reshape(-1).tolist() == [1, 2]


def test_integers_up_to_2_to_the_53_are_read(read):
    array = np.array([2**53, -(2**53)])
    assert read(saved(array), "npy").tolist() == [2.0**53, -(2.0**53)]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays(
        np.float64,
        array_shapes(max_dims=2, max_side=6),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_any_array_comes_back_from_npy_and_json(tmp_path, array):
    path = tmp_path / "upload"
    path.write_bytes(saved(array))
    assert npy.read(path, None, FormatLimits()).tobytes() == array.tobytes()
    path.write_text(json.dumps(array.tolist()))
    assert json_format.read(path, None, "error", FormatLimits()).tobytes() == array.tobytes()


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
@pytest.mark.parametrize("container", ["array", "matrix"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_every_sparse_matrix_that_scipy_saves_is_read(read, layout, container, compressed, index):
    matrix = sp.random_array((50, 30), density=0.1, rng=np.random.default_rng(3), format=layout)
    if layout == "coo":
        matrix.coords = tuple(axis.astype(index) for axis in matrix.coords)
    else:
        matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    if container == "matrix":
        matrix = getattr(sp, f"{layout}_matrix")(matrix)
    back = read(sparse(matrix, compressed=compressed), "npz")
    assert np.array_equal(back.toarray(), matrix.toarray())


def test_unsorted_columns_are_sorted_and_zeros_dropped(parse, read):
    matrix = sp.csr_array((np.array([1.0, 0.0, 2.0]), np.array([2, 1, 0]), np.array([0, 3])), (1, 3))
    assert parse(sparse(matrix), "npz").nnz == 2
    assert read(sparse(matrix), "npz").toarray().tolist() == [[2, 0, 1]]


def test_duplicates_of_a_sparse_matrix_are_added_on_request(read):
    matrix = sp.coo_array((np.array([1.0, 2.0]), (np.array([0, 0]), np.array([1, 1]))), (1, 2))
    assert read(sparse(matrix), "npz", duplicates="sum").toarray().tolist() == [[0, 3]]


def test_single_precision_and_integers_in_a_sparse_matrix_are_converted(read):
    assert read(sparse(sp.csr_array(np.array([[0, 7]], dtype=np.int8))), "npz")[0, 1] == 7
    assert read(sparse(sp.csr_array(np.array([[0, 0.5]], dtype=np.float32))), "npz")[0, 1] == 0.5


def test_a_zip64_archive_is_read(read):
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(sparse(sp.csr_array(np.eye(3))))) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        for name in old.namelist():
            with new.open(name, "w", force_zip64=True) as part:
                part.write(old.read(name))
    assert read(file.getvalue(), "npz").toarray().tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"[1, 2.5, -3e-320]", [1, 2.5, -3e-320]),
        (b" [[1],\r\n[9007199254740993]] ", [[1], [2.0**53]]),
        (b"[1000000000000000000000000]", [1e24]),
    ],
)
def test_lists_of_numbers_are_read(read, content, values):
    assert read(content, "json").tolist() == values


def test_coordinates_in_any_order_are_read(read):
    document = {"shape": [2, 3], "row": [1, 0, 1], "col": [2, 1, 0], "value": [3, 0, 4.5]}
    assert read(json.dumps(document).encode(), "json").toarray().tolist() == [[0, 0, 0], [4.5, 0, 3]]
