"""The Matrix Market scanner against Python's float, SciPy's writer, and the odd valid file."""

import gzip
import io
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newtond.contract.errors import InvalidArray
from service.formats import matrix_market
from service.formats.limits import FormatLimits

COORDINATE = b"%%MatrixMarket matrix coordinate real general\n"
NUMBER = (
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.integers(-(10**25), 10**25).map(str)
    | st.from_regex(r"\A[+-]?[0-9]{1,30}\.?[0-9]{0,30}(e[+-]?[0-9]{1,2})?\Z")
)
NOISE = st.sampled_from(["", "% a comment\n", "\n", "  \t\n", "%\r\n", "\r\n"])
BLANKS = st.sampled_from([" ", "\t", "   ", " \t "])
END = st.sampled_from(["\n", "\r\n", " \n", "\t\r\n"])


@dataclass
class File:
    text: str
    dense: np.ndarray


@st.composite
def coordinate_files(draw):
    """A valid file with comments, blanks and line ends anywhere, and the matrix it means."""
    n, d = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    places = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, d - 1)), unique=True, max_size=12))
    text, dense = f"%%MatrixMarket matrix coordinate real general{draw(END)}", np.zeros((n, d))
    text += f"{draw(NOISE)}{n}{draw(BLANKS)}{d}{draw(BLANKS)}{len(places)}{draw(END)}"
    for row, column in places:
        word = draw(NUMBER)
        dense[row, column] = float(word)
        text += f"{draw(NOISE)}{row + 1}{draw(BLANKS)}{column + 1}{draw(BLANKS)}{word}{draw(END)}"
    return File(text.rstrip("\n") if draw(st.booleans()) else text, dense)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(coordinate_files())
def test_a_valid_file_is_read_as_python_reads_it(tmp_path, file):
    path = tmp_path / "A.mtx"
    path.write_bytes(file.text.encode())
    matrix = matrix_market.read(path, None, "error", FormatLimits())
    back = sp.csr_array((matrix.data, matrix.indices, matrix.indptr), matrix.shape).toarray()
    assert np.array_equal(back, file.dense)
    assert np.count_nonzero(file.dense) == len(matrix.data)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=120) | st.text("0123456789 .eE+-\n\r\t%,", max_size=120).map(str.encode), st.booleans()
)
def test_noise_is_refused_or_read_and_never_crashes(tmp_path, body, whole):
    path = tmp_path / "A.mtx"
    path.write_bytes(body if whole else COORDINATE + b"3 3 2\n" + body)
    with suppress(InvalidArray):
        matrix_market.read(path, None, "sum", FormatLimits())


@pytest.mark.parametrize("block", [64, 65, 66, 67, 100])
def test_blocks_may_end_anywhere(tmp_path, monkeypatch, block):
    monkeypatch.setattr("service.formats.text.BLOCK", block)
    path, values = tmp_path / "b.mtx", np.random.default_rng(0).standard_normal(500)
    path.write_bytes(b"%%MatrixMarket matrix array real general\r\n% c\n500 1\n")
    with path.open("ab") as file:
        file.writelines(f"{value!r}\r\n".encode() for value in values.tolist())
    assert np.array_equal(matrix_market.read(path, None, "error", FormatLimits()), values)


@pytest.mark.parametrize(
    ("dense", "field", "symmetry"),
    [
        *product([False, True], ["real", "integer"], ["general", "symmetric", "skew-symmetric"]),
        *product([False], ["pattern"], ["general", "symmetric"]),
    ],
)
def test_what_scipy_writes_is_read(read, symmetry, field, dense):
    matrix = sp.random_array((30, 30), density=0.2, rng=np.random.default_rng(1)).toarray()
    matrix = {"general": matrix, "symmetric": matrix + matrix.T, "skew-symmetric": matrix - matrix.T}[
        symmetry
    ]
    if field != "real":
        matrix = np.sign(matrix) if field == "pattern" else np.round(100 * matrix)
    file = io.BytesIO()
    written = matrix.astype(int) if field == "integer" else matrix
    options = {} if field == "integer" else {"field": field}
    scipy.io.mmwrite(
        file, written if dense else sp.coo_array(written), symmetry=symmetry, precision=17, **options
    )
    back = read(file.getvalue(), "mtx")
    assert np.array_equal(back if dense else back.toarray(), matrix)


@pytest.mark.parametrize("compress", [False, True])
def test_a_matrix_of_many_rows_in_any_order_comes_back(read, compress):
    rng = np.random.default_rng(2)
    matrix = sp.random_array((3000, 400), density=0.05, rng=rng).tocoo()
    order = rng.permutation(matrix.nnz)
    entries = (part[order].tolist() for part in (matrix.row, matrix.col, matrix.data))
    lines = [f"{row + 1} {column + 1} {value!r}\n" for row, column, value in zip(*entries, strict=True)]
    text = COORDINATE + f"3000 400 {matrix.nnz}\n".encode() + "".join(lines).encode()
    back = read(text, "mtx", compress=compress)
    assert (back != matrix.tocsr()).nnz == 0


def test_a_gzipped_file_needs_no_content_encoding(sandbox, read):
    assert read(gzip.compress(COORDINATE + b"1 1 1\n1 1 2\n"), "mtx")[0, 0] == 2


def test_members_of_a_gzip_stream_follow_one_another(read):
    halves = gzip.compress(COORDINATE + b"2 1 2\n1 1"), gzip.compress(b" 7\n2 1 8\n"), gzip.compress(b"")
    assert read(b"".join(halves), "mtx").toarray().tolist() == [[7], [8]]


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("1e-320", 1e-320),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("0.1000000000000000055511151231257827021181583404541015625", 0.1),
        ("1.00000000000000011102230246251565404236316680908203125", 1.0),
        ("1.00000000000000011102230246251565404236316680908203126", 1.0000000000000002),
        ("123456789012345678901234567890", 123456789012345678901234567890.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("1E+2", 100.0),
        ("9007199254740993", 9007199254740992.0),
        ("0" * 3000 + "1", 1.0),
        ("0." + "0" * 300 + "1e301", 1.0),
    ],
)
def test_odd_numbers_are_read_exactly(read, word, number):
    vector = read(f"%%MatrixMarket matrix array real general\n2 1\n{word}\n1".encode(), "mtx")
    assert vector.tolist() == [number, 1.0]


@pytest.mark.parametrize(
    ("content", "dense"),
    [
        (b"%%matrixmarket MATRIX Coordinate Real General\n1 1 1\n1 1 3", [[3]]),
        (b"%%MatrixMarket matrix coordinate double general\n1 1 1\n1 1 3\r", [[3]]),
        (
            b"%%MatrixMarket matrix coordinate real general\n%x\n\n \n2 2 1\n\n%y\n02 002 3\n\n\n%z",
            [[0, 0], [0, 3]],
        ),
        (b"%%MatrixMarket matrix coordinate pattern general\n2 2 1\n1 2\n", [[0, 1], [0, 0]]),
        (b"%%MatrixMarket matrix coordinate pattern symmetric\n2 2 1\n2 1\n", [[0, 1], [1, 0]]),
        (b"%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 -7\n", [[-7]]),
        (b"%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 9007199254740992\n", [[2**53]]),
        (COORDINATE + b"2 2 2\n1 1 0\n2 2 -0.0\n", [[0, 0], [0, 0]]),
        (COORDINATE + b"2 2 0\n", [[0, 0], [0, 0]]),
        (COORDINATE + b"1 3 3\n1 3 3\n1 1 1\n1 2 2\n", [[1, 2, 3]]),
        (COORDINATE + b"\t2   1\t1 \t\n\t2   1\t4 \t\n", [[0], [4]]),
    ],
)
def test_odd_files_are_read_exactly(read, content, dense):
    assert read(content, "mtx").toarray().tolist() == dense


def test_an_array_of_one_column_is_a_vector_and_of_one_row_a_matrix(parse):
    assert parse(b"%%MatrixMarket matrix array real general\n3 1\n1\n2\n3\n", "mtx").shape == (3,)
    assert parse(b"%%MatrixMarket matrix array real general\n1 3\n1\n2\n3\n", "mtx").shape == (1, 3)
    assert parse(COORDINATE + b"3 1 1\n2 1 5\n", "mtx").shape == (3, 1)


def test_duplicates_are_added_on_request_in_the_order_of_the_file(read):
    content = COORDINATE + b"1 2 4\n1 2 1e16\n1 1 3\n1 2 1\n1 2 -1e16\n"
    assert read(content, "mtx", duplicates="sum").toarray().tolist() == [[3, 0]]
    content = b"%%MatrixMarket matrix coordinate real symmetric\n2 2 2\n2 1 1\n2 1 2\n"
    assert read(content, "mtx", duplicates="sum").toarray().tolist() == [[0, 3], [3, 0]]


def test_duplicates_of_long_rows_are_added_in_order_too(read):
    lines = "".join(f"1 {1 + k % 40} 1\n" for k in range(400))
    matrix = read(COORDINATE + b"1 40 400\n" + lines.encode(), "mtx", duplicates="sum")
    assert matrix.toarray().tolist() == [[10.0] * 40]


def test_the_same_matrix_in_two_formats_is_one_array(parse):
    text = parse(COORDINATE + b"2 2 1\n2 1 0.5\n", "mtx")
    file = io.BytesIO()
    sp.save_npz(file, sp.csc_array(np.array([[0, 0], [0.5, 0]])))
    assert parse(file.getvalue(), "npz").id == text.id
    assert parse(b'{"shape": [2, 2], "row": [1], "col": [0], "value": [0.5]}', "json").id == text.id
