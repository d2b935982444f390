"""Uploads that mean harm or came to it: each is refused in its own child, with words and a place."""

import ast
import gzip
import io
import json
import pickle
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import scipy.sparse as sp

from newtond.contract.errors import NewtondError

HEAD = b"%%MatrixMarket matrix coordinate real general\n"
ARRAY = b"%%MatrixMarket matrix array real general\n"
NUMPY = b"\x93NUMPY\x01\x00"


def mtx(size, *lines):
    return HEAD + size.encode() + b"\n" + "".join(f"{line}\n" for line in lines).encode("latin-1")


def npy(header, values=b"", version=1):
    if isinstance(header, str):
        header = header.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + values


def f8(shape, values=b"", descr="'<f8'"):
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n", values)


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(names=(), compression=zipfile.ZIP_STORED, **parts):
    """An archive of .npy parts: those given, and those of a small csr matrix."""
    whole = {
        "format": np.array(b"csr"),
        "shape": np.array([2, 3]),
        "indptr": np.array([0, 1, 2], dtype=np.int32),
        "indices": np.array([0, 2], dtype=np.int32),
        "data": np.array([1.0, 2.0]),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, part in {**whole, **parts}.items():
            if part is not None:
                archive.writestr(f"{name}.npy", part if isinstance(part, bytes) else saved(np.asarray(part)))
        with warnings.catch_warnings(action="ignore"):
            for name, content in names:
                archive.writestr(name, content)
    return file.getvalue()


def scipy_npz(matrix, save=sp.save_npz):
    file = io.BytesIO()
    save(file, matrix)
    return file.getvalue()


def encrypted():
    content = bytearray(npz())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 4)
    return bytes(content)


def overlapping():
    """Two directory entries that point at one another's bytes."""
    content = bytearray(npz())
    first = content.find(b"PK\x01\x02")
    second = content.find(b"PK\x01\x02", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    return bytes(content)


def lying(field, value):
    """An archive whose directory says something else of its last part than is true."""
    content = bytearray(npz())
    last = content.rfind(b"PK\x01\x02")
    content[last + field : last + field + 4] = struct.pack("<I", value)
    return bytes(content)


def coo(**changes):
    return json.dumps({"shape": [2, 2], "row": [0], "col": [1], "value": [1.5], **changes}).encode()


OBJECTS = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([1]))
CALL = "{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': (1,)}"
SECOND_SHAPE = '{"shape": [1, 1], "shape": [2, 2], "row": [], "col": [], "value": []}'

MTX = {
    "empty": (b"", "The file is empty"),
    "only a banner": (HEAD, "before its size line"),
    "no banner": (b"2 2 1\n1 1 1\n", "Line 1: a Matrix Market file starts"),
    "ends in a blank": (HEAD + b"1 1 1\n1 1 ", "Line 3: the line ends too early"),
    "ends in a CR": (HEAD + b"1 1 1\n1 1\r", "Line 3: the line ends too early"),
    "old Mac line ends": ((HEAD + b"1 1 1\n1 1 2\n").replace(b"\n", b"\r"), "Line 1:"),
    "a CR within a line": (mtx("1 1 1", "1\r1 2"), "Line 3"),
    "NUL bytes": (mtx("1 1 1", "1 1 1\x00"), "Line 3: `1?` is not a number (control"),
    "only NUL bytes": (b"\0" * 68, "Line 1"),
    "NUL after the header": (HEAD + b"1 1 1\n" + b"\0" * 40, "Line 3"),
    "decimal comma": (mtx("2 2 2", "1 1 1", "2 2 1,5"), "Line 4: `1,5` is not a number (decimal comma?)"),
    "Fortran exponent": (mtx("1 1 1", "1 1 1.5D+02"), "Line 3: `1.5D+02` is not a number (a Fortran"),
    "hexadecimal": (mtx("1 1 1", "1 1 0x1p3"), "`0x1p3` is not a number (hexadecimal"),
    "NaN": (mtx("1 1 1", "1 1 nan"), "Line 3: `nan` is not a number (every value must be finite)"),
    "infinity": (mtx("1 1 1", "1 1 -Infinity"), "(every value must be finite)"),
    "overflow": (mtx("1 1 1", "1 1 1e309"), "Line 3: `1e309` is beyond the largest double"),
    "overflow in many digits": (mtx("1 1 1", "1 1 1" + "0" * 400), "beyond the largest double"),
    "overflow after deferred ones": (mtx("1 3 3", "1 1 1e-320", "1 2 1e400", "1 x 1"), "Line 4: `1e400`"),
    "underscores": (mtx("1 1 1", "1 1 1_000"), "`1_000` is not a number (no underscores)"),
    "two points": (mtx("1 1 1", "1 1 1.2.3"), "`1.2.3` is not a number"),
    "no digits": (mtx("1 1 1", "1 1 -.e1"), "`-.e1` is not a number"),
    "Arabic digits": (HEAD + "1 1 1\n1 1 ٣\n".encode(), "`??` is not a number"),
    "an endless number": (mtx("1 1 1", "1 1 " + "1" * 5000), "longer than 4096"),
    "an endless line": (HEAD + b"1 1 1\n1 1 " + b"1" * (9 << 20), "A line is longer"),
    "an endless comment": (HEAD + b"%" * (9 << 20), "A line is longer"),
    "index 0": (mtx("2 2 1", "0 1 1"), "Line 3: the index 0"),
    "column 0": (mtx("2 2 1", "1 0 1"), "Line 3: the index 0"),
    "negative index": (mtx("2 2 1", "-1 1 1"), "Line 3: `-1` is not an index"),
    "a fractional index": (mtx("2 2 1", "1.0 1 1"), "Line 3: `1.0` is not an index"),
    "row outside": (mtx("2 3 1", "3 1 1"), "Line 3: row `3` is outside: the matrix has 2 rows"),
    "column outside": (mtx("2 3 1", "2 4 1"), "Line 3: column `4` is outside: the matrix has 3 columns"),
    "an index that wraps": (mtx("2 3 1", f"{2**64 + 1} 1 1"), "is outside"),
    "an index of many digits": (mtx("2 3 1", "9" * 4000 + " 1 1"), "is outside"),
    "too few entries": (mtx("2 2 2", "1 1 1", "", ""), "ends after 1 entries: the header promises 2"),
    "too many entries": (mtx("2 2 1", "1 1 1", "2 2 2"), "Line 4: one entry too many"),
    "a value too few": (mtx("2 2 1", "1 1"), "Line 3: the line ends too early"),
    "a value too many": (mtx("2 2 1", "1 1 1 7"), "Line 3: `7` is one value too many"),
    "duplicates": (
        mtx("2 2 3", "1 2 1", "% between", "2 1 1", "1 2 1"),
        "Lines 3 and 6 both give the entry (1, 2)",
    ),
    "no columns": (mtx("2 0 0"), "Line 2: a matrix needs a row and a column"),
    "a negative size": (mtx("-2 2 1"), "Line 2: `-2` is not a size"),
    "a short size line": (mtx("2 2"), "Line 2: the size line"),
    "a size of many digits": (mtx("9" * 5000 + " 1 1"), "Line 2: a line of the header has at most"),
    "72 bytes that ask for terabytes": (mtx("600000 600000 1", "1 1 1").replace(HEAD, ARRAY), "Line 2"),
    "entries that the file cannot hold": (mtx("100 100 1000", "1 1 1"), "too short to hold them"),
    "complex": (
        b"%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 0\n",
        "complex and hermitian",
    ),
    "hermitian": (b"%%MatrixMarket matrix coordinate real hermitian\n1 1 0\n", "complex and hermitian"),
    "an unknown field": (
        b"%%MatrixMarket matrix coordinate quaternion general\n",
        "`quaternion` is not read",
    ),
    "a vector object": (b"%%MatrixMarket vector coordinate real general\n", "`vector` is not read here"),
    "a dense pattern": (b"%%MatrixMarket matrix array pattern general\n1 1\n", "cannot be a pattern"),
    "a banner that would echo": (
        b"%%MatrixMarket matrix `<script>alert(1)</script>` real general\n",
        "`?<script>",
    ),
    "symmetric, upper": (
        HEAD.replace(b"general", b"symmetric") + b"2 2 1\n1 2 1\n",
        "Line 3: an entry above",
    ),
    "symmetric, not square": (
        HEAD.replace(b"general", b"symmetric") + b"2 3 1\n1 1 1\n",
        "Line 2: a symmetric",
    ),
    "skew, diagonal": (
        HEAD.replace(b"general", b"skew-symmetric") + b"2 2 1\n1 1 1\n",
        "Line 3: an entry on",
    ),
    "symmetric, duplicates": (
        HEAD.replace(b"general", b"symmetric") + b"2 2 2\n2 1 1\n2 1 1\n",
        "Lines 3 and 4 both give the entry (2, 1)",
    ),
    "not an integer": (
        HEAD.replace(b"real", b"integer") + b"1 1 1\n1 1 1.0\n",
        "Line 3: `1.0` is not an integer",
    ),
    "past 2^53": (HEAD.replace(b"real", b"integer") + b"1 1 1\n1 1 9007199254740993\n", "past 2^53"),
    "array: too few": (ARRAY + b"2 1\n1\n", "ends after 1 entries"),
    "array: too many": (ARRAY + b"1 1\n1\n2\n", "Line 4: one entry too many"),
    "array: two on a line": (ARRAY + b"2 1\n1 2\n", "Line 3: `2` is one value too many"),
    "array: a word": (ARRAY + b"2 1\n1\nfoo\n", "Line 4: `foo` is not a number"),
    "a UTF-8 mark": (b"\xef\xbb\xbf" + mtx("1 1 1", "1 1 1"), "UTF-8 byte order mark"),
    "UTF-16": (mtx("1 1 1", "1 1 1").decode().encode("utf-16"), "UTF-16 byte order mark"),
    "truncated gzip": (gzip.compress(mtx("1 1 1", "1 1 1"))[:-9], "truncated"),
    "damaged gzip": (b"\x1f\x8b\x08\x00" + b"\xff" * 60, "gzip stream is damaged"),
    "gzip with a wrong checksum": (gzip.compress(mtx("1 1 1", "1 1 1"))[:-8] + b"\0" * 8, "damaged"),
    "gzip and garbage": (
        gzip.compress(mtx("1 1 1", "1 1 1")) + b"garbage",
        "followed by bytes that are not gzip",
    ),
    "an .npy": (saved(np.eye(2)), "This is a .npy file"),
}
NPY = {
    "only the magic": (b"\x93NUMPY", "truncated"),
    "no magic": (b"NUMPY" * 9, "does not start with"),
    "version 9": (b"\x93NUMPY\x09\x00" + b"\0" * 20, "Version 9.0"),
    "a header that never comes": (NUMPY + b"\xff\x03{'descr'", "truncated"),
    "a header of gigabytes": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{", "longer than 10000"),
    "code for a header": (npy(CALL), "of the form"),
    "nested without end": (npy("{'descr': " + "(" * 4000 + ")" * 4000 + "}"), "of the form"),
    "a key twice": (f8("(1,), 'shape': (2,)", b"\0" * 8), "one thing twice"),
    "a key too many": (f8("(1,), 'x': 1", b"\0" * 8), "of the form"),
    "no shape": (npy("{'descr': '<f8', 'fortran_order': False}"), "of the form"),
    "a negative shape": (f8("(-1,)", b"\0" * 8), "of the form"),
    "a shape of words": (f8("(1 1,)", b"\0" * 8), "not a tuple of lengths"),
    "3.6 TiB": (f8("(700000, 700000)"), "at most 1000000000 entries"),
    "a product that wraps to 0": (f8(f"({2**32}, {2**32})"), "A dimension is at most"),
    "2**80": (f8(f"({2**80},)"), "A dimension is at most"),
    "more memory than allowed": (f8("(400000000,)"), "GB of memory"),
    "objects": (OBJECTS, "Python objects"),
    "records": (saved(np.zeros(2, dtype=[("a", "f8")])), "Structured arrays"),
    "text": (saved(np.array(["a"])), "An array of text"),
    "complex": (saved(np.zeros(2, dtype=complex)), "complex numbers"),
    "dates": (saved(np.zeros(2, dtype="M8[s]")), "dates"),
    "long double": (saved(np.zeros(2, dtype=np.longdouble)), "this type"),
    "NaN": (saved(np.array([[1.0, 2.0], [np.nan, 3.0]])), "The value at [1, 0] is not finite"),
    "infinity in Fortran order": (
        saved(np.asfortranarray([[1.0, np.inf], [2.0, 3.0]])),
        "The value at [0, 1]",
    ),
    "half-precision infinity": (saved(np.array([np.inf], dtype="f2")), "The value at [0]"),
    "an integer past 2^53": (saved(np.array([1, 2**53 + 1])), "The value at [1] is past 2^53"),
    "no dimension": (saved(np.array(1.0)), "not 0"),
    "three dimensions": (saved(np.zeros((2, 2, 2))), "not 3"),
    "no rows": (saved(np.zeros((0, 3))), "a dimension is 0"),
    "truncated": (saved(np.arange(9.0))[:-1], "The values end after 71 of 72 bytes"),
    "more than announced": (saved(np.arange(9.0)) + b"\n", "More bytes follow"),
    "a text file": (mtx("1 1 1", "1 1 1"), "This is a .mtx file"),
}
NPZ = {
    "truncated": (npz()[:-30], "damaged or truncated"),
    "only its end": (b"PK\x05\x06" + b"\0" * 18, "no part format"),
    "garbage": (b"garbage" * 20, "damaged or truncated"),
    "row out of range": (npz(indices=np.array([0, 3], dtype=np.int32)), "indices[1] is 3: outside 0 to 2"),
    "a negative index": (npz(indices=np.array([0, -1], dtype=np.int32)), "indices[1] is -1"),
    "an unsigned index that wraps": (
        npz(indices=np.array([0, 2**64 - 1], dtype=np.uint64)),
        "indices[1] is 184467",
    ),
    "indptr beyond the data": (npz(indptr=np.array([0, 1, 9], dtype=np.int32)), "indptr goes from 0 to 9"),
    "indptr that falls": (npz(indptr=np.array([0, 5, 2], dtype=np.int32)), "indptr falls at row 1"),
    "indptr that starts late": (npz(indptr=np.array([1, 1, 2], dtype=np.int32)), "indptr goes from 1"),
    "indptr too short": (
        npz(indptr=np.array([0, 2], dtype=np.int32)),
        "indptr has 2 entries; this shape needs 3",
    ),
    "float indices": (npz(indices=np.array([0.0, 2.0])), "not of integers"),
    "fewer indices than values": (
        npz(indices=np.array([0], dtype=np.int32)),
        "indices has 1 entries and data has 2",
    ),
    "NaN": (npz(data=np.array([1.0, np.nan])), "data[1] is not finite"),
    "duplicates": (
        npz(indptr=np.array([0, 2, 2]), indices=np.array([1, 1])),
        "both stand at row 0, column 1",
    ),
    "complex": (npz(data=np.array([1j, 2])), "complex numbers"),
    "a two-dimensional part": (npz(data=np.eye(2)), "not one-dimensional"),
    "pickled data": (npz(data=OBJECTS), "Python objects"),
    "a pickled format": (npz(format=OBJECTS), "not a short word"),
    "bsr": (scipy_npz(sp.bsr_array(np.eye(4))), "`bsr` is not read; save A.tocsr()"),
    "dia": (scipy_npz(sp.dia_array(np.eye(4))), "`dia` is not read; save A.tocsr()"),
    "a shape of three": (npz(shape=np.array([2, 3, 1])), "not two integers"),
    "a negative shape": (npz(shape=np.array([-2, 3])), "not positive"),
    "a huge shape": (npz(shape=np.array([2**62, 3])), "A dimension is at most"),
    "a part that asks for terabytes": (npz(data=f8("(900000000000,)")), "at most 1000000000 entries"),
    "no data": (npz(data=None), "no part data"),
    "rows and indptr": (npz(row=np.array([0])), "has no part row"),
    "a path for a name": (npz([("../../etc/passwd", b"x")]), "`../../etc/passwd` is no part"),
    "an absolute name": (npz([("/tmp/data.npy", b"x")]), "is no part of a sparse matrix"),
    "a part twice": (npz([("data.npy", saved(np.eye(1)))]), "two parts data"),
    "dense arrays": (
        scipy_npz({"arr_0": np.eye(2)}, lambda file, arrays: np.savez(file, **arrays)),
        "a dense array with np.save",
    ),
    "encrypted": (encrypted(), "encrypted"),
    "overlapping parts": (overlapping(), "archive"),
    "a wrong checksum": (lying(16, 1), "damaged"),
    "a size that lies": (lying(24, 4_000_000_000), "inflates to more than is allowed"),
    "a compressed size that lies": (lying(20, 4_000_000_000), "archive"),
    "LZMA": (npz(compression=zipfile.ZIP_LZMA), "not compressed by deflate"),
    "a bomb": (
        npz(compression=zipfile.ZIP_DEFLATED, data=np.zeros(40_000_000)),
        "inflates to more than is allowed",
    ),
}
JSON = {
    "not JSON": (b"[1, 2", "Line 1, column 6: this is not JSON"),
    "a trailing comma": (b"[1,\n2,]", "Line 2"),
    "single quotes": (b"['1']", "Line 1, column 2"),
    "NaN": (b"[[1, 2], [3, NaN]]", "The value at /1/1 is NaN: every value must be finite"),
    "minus infinity": (b"[-Infinity]", "/0 is -Infinity"),
    "overflow": (b"[1, 1e999]", "The value at /1 is beyond the largest double"),
    "an integer beyond": (b"[1" + b"0" * 400 + b"]", "/0 is beyond the largest double"),
    "an integer of many digits": (b"[" + b"1" * 5000 + b"]", "too many digits"),
    "a boolean": (b"[1, true]", "The value at /1 is not a number"),
    "null": (b"[[1], [null]]", "The value at /1/0 is not a number"),
    "a string": (b'["1"]', "The value at /0 is not a number"),
    "ragged": (b"[[1, 2], [3]]", "The value at /1 has 1 entries and the first row has 2"),
    "a number among rows": (b"[[1], 2]", "The value at /1 is not a list"),
    "a row among numbers": (b"[1, [2]]", "The value at /1 is a list"),
    "three dimensions": (b"[[[1]]]", "The value at /0/0 is a list"),
    "nested without end": (b"[" * 200_000, "nested too deeply"),
    "an empty list": (b"[]", "empty list"),
    "an empty row": (b"[[]]", "The value at /0 is an empty row"),
    "a number": (b"7", "neither a list nor an object"),
    "not UTF-8": (b"[\xff]", "Byte 1 is not UTF-8"),
    "a key twice": (
        SECOND_SHAPE.encode(),
        "A key stands twice",
    ),
    "a key too many": (coo(extra=1), "nothing else"),
    "a key too few": (b'{"shape": [2, 2], "row": [0], "col": [0]}', "/value is not a list"),
    "row out of range": (coo(row=[2]), "The value at /row/0 is outside 0 to 1"),
    "a fractional index": (coo(row=[0.0]), "/row/0 is not an integer"),
    "a boolean index": (coo(row=[True]), "/row/0 is not an integer"),
    "lists of two lengths": (coo(col=[0, 1]), "/col has 2 entries and value has 1"),
    "a huge shape": (coo(shape=[10**30, 2]), "A dimension is at most"),
    "a shape that takes too much memory": (coo(shape=[2**31 - 1, 2]), "GB of memory"),
    "duplicates": (coo(row=[0, 0], col=[1, 1], value=[1, 2]), "Entries 0 and 1"),
    "more than a megabyte": (b"[" + b"1," * 600_000 + b"1]", "JSON is read up to 1000000 bytes"),
    "more than a megabyte, inflated": (gzip.compress(b" " * 5_000_000), "JSON is read up to"),
}
FOREIGN = {
    "HDF5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "HDF5 files are not read. Save scipy.sparse.save_npz"),
    "MATLAB 5": (b"MATLAB 5.0 MAT-file, Platform" + b" " * 90, "MATLAB files are not read"),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file" + b" " * 90, "MATLAB (HDF5) files are not read"),
    "pickle": (pickle.dumps(np.eye(2)), "pickle files are not read"),
    "Parquet": (b"PAR1" + b"\0" * 40, "Parquet files are not read"),
    "Feather 1": (b"FEA1" + b"\0" * 40, "Feather 1 files are not read"),
    "xz": (b"\xfd7zXZ\0" + b"\0" * 40, "xz files are not read"),
}
TABLES = (("mtx", MTX), ("npy", NPY), ("npz", NPZ), ("json", JSON), ("mtx", FOREIGN), ("npy", FOREIGN))
CASES = [
    pytest.param(format, content, words, id=f"{format}: {name}")
    for format, table in TABLES
    for name, (content, words) in table.items()
]
TOO_LARGE = (
    "dimension is at most",
    "at most 1000000000 entries",
    "GB of memory",
    "inflates to",
    "JSON is read up to",
)
UNSUPPORTED = (
    "files are not read",
    "complex",
    "Version",
    "Python objects",
    "Structured",
    "An array of text",
    "dates",
    "this type",
    "is no part",
    "a dense array with np.save",
    "encrypted",
    "deflate",
    "save A.tocsr()",
)


def slug_of(words):
    if any(over in words for over in TOO_LARGE):
        return "too-large"
    return "unsupported-format" if any(foreign in words for foreign in UNSUPPORTED) else "invalid-array"


@pytest.mark.parametrize(("format", "content", "words"), CASES)
def test_a_hostile_upload_is_refused_with_words_and_a_place(parse, format, content, words):
    with pytest.raises(NewtondError) as refusal:
        parse(content, format)
    assert words in refusal.value.detail
    assert refusal.value.slug == slug_of(words)
    assert len(refusal.value.detail) < 300
    assert refusal.value.detail.isprintable()
    if refusal.value.detail.startswith("Line "):
        assert refusal.value.source["line"] == int(
            ast.literal_eval(refusal.value.detail.split()[1].strip(":,"))
        )


def test_a_gzip_bomb_is_stopped_at_its_ratio(parse):
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = b"".join(bomb.compress(b"% \n" * (1 << 19)) for _ in range(64)) + bomb.flush()
    with pytest.raises(NewtondError, match="inflates to more"):
        parse(gzip.compress(HEAD) + content, "mtx")


def test_nothing_half_read_is_left_in_the_store(parse, store):
    with pytest.raises(NewtondError):
        parse(*next((case.values[1], case.values[0]) for case in CASES if "NaN" in case.id))
    assert list((store.root / "incoming").iterdir()) == []
