"""svmlight: valid files against scikit-learn's reader and Python's float, hostile ones against their words."""

import asyncio
import gzip
import io

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from newtond.contract.errors import InvalidArray, InvalidSpec, NewtondError
from service.formats import body, svmlight
from service.formats.limits import FormatLimits
from service.formats.options import Options
from tests.service.formats.test_matrix_market import BLANKS, END, NUMBER


@pytest.fixture
def load(sandbox, store, tmp_path):
    """Send bytes through the sandbox; return A as a CSR matrix, b and, if there are any, groups."""

    def load(content, encoding=None, **options):
        path = tmp_path / "upload"
        path.write_bytes(content)
        asked = sandbox.parse(path, "svmlight", encoding=encoding, options=Options(**options))
        A, *vectors = (store.open(info.id) for info, _ in asyncio.run(asked))
        matrix = sp.csr_array((A.parts["data"], A.parts["indices"], A.parts["indptr"]), A.shape)
        matrix.check_format(full_check=True)
        return matrix, *(vector.as_vector() for vector in vectors)

    return load


def directly(path, text, **options):
    path.write_bytes(text.encode())
    A, b, *groups = svmlight.read(path, None, Options(**options), FormatLimits())
    dense = sp.csr_array((A.data, A.indices, A.indptr), A.shape).toarray()
    assert np.count_nonzero(dense) == len(A.data)
    return dense, b, *groups


@st.composite
def files(draw):
    """A valid file and the A, b and groups that it means."""
    n, d, base = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.sampled_from([0, 1]))
    dense, b, groups, text = np.zeros((n, d)), [], [], draw(NOISE)
    queries = draw(st.booleans())
    for row in range(n):
        word = draw(NUMBER)
        b.append(float(word))
        text += draw(st.sampled_from(["", " "])) + word
        if queries:
            groups.append(draw(st.integers(0, 2**53)))
            text += f"{draw(BLANKS)}qid:{groups[-1]}"
        for column in sorted(draw(st.sets(st.integers(0, d - 1)))):
            word = draw(NUMBER)
            dense[row, column] = float(word)
            text += f"{draw(BLANKS)}{column + base}:{word}"
        text += draw(st.sampled_from(["", " # 1:2 qid:3", "\t#"])) + draw(END) + draw(NOISE)
    return text.rstrip("\n"), dense, b, groups, base


NOISE = st.sampled_from(["", "# a comment\n", "\n", "  \t\n", "#\r\n", "\r\n", "  # 1 1:1\n"])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files())
def test_a_valid_file_is_read_as_python_reads_it(tmp_path, file):
    text, dense, b, groups, base = file
    read = directly(tmp_path / "A", text, index_base=base, columns=dense.shape[1])
    assert np.array_equal(read[0], dense)
    assert read[1].tolist() == b
    assert [part.tolist() for part in read[2:]] == ([groups] if groups else [])


@pytest.mark.parametrize("room", [1, 2, 3, 7])
@pytest.mark.parametrize("block", [64, 65, 71])
def test_the_scanner_may_stop_and_go_on_anywhere(tmp_path, monkeypatch, room, block):
    monkeypatch.setattr(svmlight, "_AT_ONCE", room)
    monkeypatch.setattr(body, "_DEFERRED", room)
    monkeypatch.setattr("service.formats.text.BLOCK", block)
    line = "1e-320 qid:4 1:1e-320 2:5e-324 3:0.1 # 7:8\n"
    A, b, groups = directly(tmp_path / "A", line * 30)
    assert np.array_equal(A, np.tile([1e-320, 5e-324, 0.1], (30, 1)))
    assert (b.tolist(), groups.tolist()) == ([1e-320] * 30, [4.0] * 30)


@pytest.mark.parametrize("zero_based", [False, True])
@pytest.mark.parametrize("query", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_what_scikit_learn_writes_is_read_as_it_reads_it(load, zero_based, query, compress):
    rng, file = np.random.default_rng(5), io.BytesIO()
    A = sp.random_array((400, 30), density=0.2, rng=rng, format="csr")
    ids = {"query_id": np.sort(rng.integers(0, 9, 400))} if query else {}
    dump_svmlight_file(
        sp.csr_matrix(A), rng.standard_normal(400), file, zero_based=zero_based, comment="c", **ids
    )
    text = file.getvalue()
    theirs = load_svmlight_file(io.BytesIO(text), zero_based=zero_based, query_id=query, n_features=30)
    ours = load(
        gzip.compress(text) if compress else text,
        "gzip" if compress else None,
        index_base=0 if zero_based else 1,
        columns=30,
    )
    assert (ours[0] != theirs[0]).nnz == 0
    assert np.array_equal(ours[1], theirs[1])
    assert len(ours) == len(theirs)
    assert all(np.array_equal(mine, other) for mine, other in zip(ours[2:], theirs[2:], strict=True))


def test_columns_may_be_more_than_the_file_has(load):
    assert load(b"1 2:3\n")[0].shape == (1, 2)
    assert load(b"1 2:3\n", columns=9)[0].shape == (1, 9)
    assert load(b"1\n2\n", columns=4)[0].shape == (2, 4)
    assert load(b"1 0:3\n", index_base=0)[0].toarray().tolist() == [[3]]


def test_zeros_are_dropped_and_repeats_added_on_request(load):
    matrix, _ = load(b"1 1:0 2:-0.0 3:4\n")
    assert (matrix.nnz, matrix.toarray().tolist()) == (1, [[0, 0, 4]])
    assert load(b"1 2:1 2:2 3:1\n", duplicates="sum")[0].toarray().tolist() == [[0, 3, 1]]


def test_a_file_is_three_arrays_that_other_formats_know(load, parse, store):
    A, b, groups = load(b"-1 qid:3 1:0.5\n+1 qid:4 2:1e-320\n")
    assert A.toarray().tolist() == [[0.5, 0], [0, 1e-320]]
    assert (b.tolist(), groups.tolist()) == ([-1, 1], [3, 4])
    text = b"%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 0.5\n2 2 1e-320\n"
    assert store.exists(parse(text, "mtx").id)


HOSTILE = {
    "empty": (b"", "The file is empty"),
    "only comments": (b"# nothing\n\n", "has no rows"),
    "only targets": (b"1\n2\n", "say columns"),
    "index 0": (b"1 1:1\n1 0:1 1:2\n", "Line 2: the index 0"),
    "negative index": (b"1 -1:1\n", "Line 1: `-1:1` is not index:value"),
    "fractional index": (b"1 1.0:1\n", "`1.0:1` is not index:value"),
    "an index that wraps": (f"1 {2**64 + 1}:1\n".encode(), "is outside"),
    "an index of many digits": (b"1 " + b"9" * 5000 + b":1\n", "is outside: A has"),
    "a dimension of 2^31": (b"1 2147483648:1\n", "the index `2147483648` is outside"),
    "one entry that asks for 50 GB": (b"1 2147483647:1\n", "GB of memory"),
    "unordered": (b"1 1:1 3:1 2:1\n", "Line 1: the index `2` comes after a greater one"),
    "twice": (b"1 1:1\n\n1 2:1 2:1\n", "Line 3: the index `2` stands twice"),
    "no colon": (b"1 1 2\n", "Line 1: `1` is not index:value"),
    "no value": (b"1 1:\n", "Line 1: `1:` has no value"),
    "a blank before the value": (b"1 1: 2\n", "Line 1: `1:` has no value"),
    "a blank before the colon": (b"1 1 :2\n", "`1` is not index:value"),
    "two colons": (b"1 1:2:3\n", "`2:3` is not a number"),
    "no target": (b"1:2 2:3\n", "Line 1: `1:2` is not a number"),
    "several targets": (b"1,2 1:1\n", "`1,2` is not a number (decimal comma?)"),
    "decimal comma": (b"1 1:1,5\n", "`1,5` is not a number (decimal comma?)"),
    "NaN": (b"1 1:nan\n", "`nan` is not a number (every value must be finite)"),
    "infinite target": (b"inf 1:1\n", "`inf` is not a number (every value must be finite)"),
    "overflow": (b"1 1:1\n1 1:1e400\n", "Line 2: `1e400` is beyond the largest double"),
    "target overflow": (b"-1e309 1:1\n", "Line 1: `-1e309` is beyond the largest double"),
    "hexadecimal": (b"1 1:0x1p3\n", "(hexadecimal"),
    "underscores": (b"1_000 1:1\n", "`1_000` is not a number (no underscores)"),
    "a comment without a blank": (b"1 1:1#c\n", "`1#c` is not a number"),
    "NUL": (b"1 1:1\x00\n", "control characters"),
    "only NUL": (b"\0" * 64, "Line 1"),
    "a lone CR": (b"1 1:1\r2 1:1\n", "Line 1"),
    "Arabic digits": ("1 ٣:1\n".encode(), "is not index:value"),
    "an endless number": (b"1 1:" + b"1" * 5000 + b"\n", "longer than 4096"),
    "an endless line": (b"1 1:" + b"1" * (9 << 20), "A line is longer"),
    "qid missing": (b"1 qid:1 1:1\n1 1:1\n", "Line 2: this line has no qid"),
    "qid missing, no entries": (b"1 qid:1 1:1\n1\n", "Line 2: this line has no qid"),
    "qid late": (b"1 1:1\n1 qid:1 1:1\n", "Line 2: `qid:1`: a line before this one has no qid"),
    "qid twice": (b"1 qid:1 qid:1 1:1\n", "`qid:1` is not qid:number right after the target"),
    "qid after an entry": (b"1 1:1 qid:1\n", "`qid:1` is not qid:number right after"),
    "qid of a word": (b"1 qid:x 1:1\n", "`qid:x` is not qid:number"),
    "qid negative": (b"1 qid:-1 1:1\n", "`qid:-1` is not qid:number"),
    "qid of nothing": (b"1 qid: 1:1\n", "`qid:` is not qid:number"),
    "qid past 2^53": (f"1 qid:{2**53 + 1} 1:1\n".encode(), "is past 2^53"),
    "a cost": (b"1 cost:2 1:1\n", "`cost:2` is not index:value"),
    "a UTF-8 mark": (b"\xef\xbb\xbf1 1:1\n", "UTF-8 byte order mark"),
    "UTF-16": ("1 1:1\n".encode("utf-16"), "UTF-16 byte order mark"),
    "Matrix Market": (b"%%MatrixMarket matrix array real general\n1 1\n1\n", "This is a .mtx file"),
    "a pickle": (b"\x80\x04}q\x00.", "pickle files are not read"),
    "truncated gzip": (gzip.compress(b"1 1:1\n" * 99)[:-9], "truncated"),
    "damaged gzip": (b"\x1f\x8b\x08\x00" + b"\xff" * 60, "damaged"),
    "a bomb": (gzip.compress(b"# \n" * (1 << 24)), "inflates to more"),
    "an echo": (b"1 `<script>`:1\n", "`?<script>?:1` is not index:value"),
}


@pytest.mark.parametrize(("content", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_with_words_and_a_place(load, content, words):
    with pytest.raises(NewtondError) as refusal:
        load(content)
    assert words in refusal.value.detail
    assert len(refusal.value.detail) < 300
    assert refusal.value.detail.isprintable()


def test_a_fault_has_its_column(load):
    with pytest.raises(InvalidArray) as refusal:
        load(b"1 1:1 2:2\r\n-1 1:1  2:x # c\n")
    assert refusal.value.source == {"line": 2, "column": 11}


def test_a_column_outside_is_refused_where_columns_are_said(load):
    with pytest.raises(InvalidArray, match="the index `3` is outside: A has 2 columns"):
        load(b"1 3:1\n", columns=2)
    with pytest.raises(InvalidArray, match="the index `2` is outside: A has 2 columns"):
        load(b"1 2:1\n", columns=2, index_base=0)


def test_sums_that_overflow_are_refused(load):
    with pytest.raises(InvalidArray, match="overflows a double"):
        load(b"1 1:1e308 1:1e308\n", duplicates="sum")


@pytest.mark.parametrize("options", [{"rows": 3}, {"index_base": 2}, {"columns": 0}])
def test_an_option_of_no_use_is_refused(load, options):
    with pytest.raises(InvalidSpec):
        load(b"1 1:1\n", **options)
