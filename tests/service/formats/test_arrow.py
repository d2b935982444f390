"""Arrow files: what pyarrow writes is read, what we write pyarrow reads, and everything else is refused."""

import gzip
import io
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pyarrow import feather

from newtond.contract.errors import NewtondError
from service.arrow_file import array_arrow
from service.formats import arrow
from service.formats.arrow_layout import BATCH, BLOCK, BUFFER, END, FLOATING, MAGIC, MARK, NODE, SCHEMA
from service.formats.flatbuffer import Scalar, Structs, encode
from service.formats.limits import FormatLimits
from service.formats.options import NO_OPTIONS, Options
from service.tables import NamedArray

TYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


def written(table, batch=None, **options):
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=batch)
    return file.getvalue()


def coordinates(shape=(2, 3), index=np.int32, numbers=np.float64, **changes):
    columns = {
        "row": np.array([1, 0], index),
        "col": np.array([2, 1], index),
        "value": np.array([3, 4], numbers),
    }
    table = pa.table(columns | changes)
    return table.replace_schema_metadata({"shape": str(list(shape))} if shape else None)


@pytest.mark.parametrize("index", TYPES[:8])
@pytest.mark.parametrize("value", TYPES)
def test_coordinates_of_every_type_are_read(read, index, value):
    dense = read(written(coordinates(index=index, numbers=value)), "arrow").toarray()
    assert dense.tolist() == [[0, 4, 0], [0, 0, 3]]


@pytest.mark.parametrize("batch", [1, 7, 1000, None])
@pytest.mark.parametrize("compress", [False, True])
def test_batches_and_gzip_change_nothing(read, batch, compress):
    rng = np.random.default_rng(1)
    places, values = rng.permutation(50 * 40)[:900], rng.standard_normal(900)
    columns = {"value": values, "col": places % 40, "row": places // 40}
    table = pa.table(columns).replace_schema_metadata({"shape": "50,40"})
    dense = np.zeros(50 * 40)
    dense[places] = values
    assert np.array_equal(
        read(written(table, batch), "arrow", compress=compress).toarray().reshape(-1), dense
    )


def test_the_shape_may_be_said_beside_the_file(read, parse):
    unsaid = written(coordinates(shape=None))
    assert read(unsaid, "arrow", rows=2, columns=3).toarray().tolist() == [[0, 4, 0], [0, 0, 3]]
    with pytest.raises(NewtondError, match="The shape is not said"):
        parse(unsaid, "arrow", rows=2)
    with pytest.raises(NewtondError, match="the shape is 2 x 3, not as asked"):
        parse(written(coordinates()), "arrow", columns=4)


def test_duplicates_are_added_on_request(read, parse):
    twice = written(coordinates(row=np.array([1, 1]), col=np.array([2, 2])))
    assert read(twice, "arrow", duplicates="sum").toarray().tolist() == [[0, 0, 0], [0, 0, 7]]
    with pytest.raises(NewtondError, match="both stand at row 1, column 2"):
        parse(twice, "arrow")


def test_dense_columns_are_a_vector_or_a_matrix(read):
    assert read(written(pa.table({"b": [1.5, 2]})), "arrow").tolist() == [1.5, 2]
    table = pa.table({"a": np.array([1, 2], "i2"), "b": [0.5, -0.0]})
    assert read(written(table, 1), "arrow").tolist() == [[1, 0.5], [2, 0]]


def test_feather_and_chunked_columns_and_valid_bitmaps_are_read(read):
    file = io.BytesIO()
    feather.write_feather(pa.table({"b": [1.0, 2.0]}), file, compression="uncompressed")
    assert read(file.getvalue(), "arrow").tolist() == [1, 2]
    valid = pa.Array.from_buffers(pa.float64(), 3, [pa.py_buffer(b"\x07"), pa.py_buffer(np.arange(3.0))])
    assert read(written(pa.table({"b": valid})), "arrow").tolist() == [0, 1, 2]
    sliced = pa.table({"b": np.arange(100.0)}).slice(13, 40)
    assert read(written(sliced), "arrow").tolist() == list(range(13, 53))


@pytest.mark.parametrize("options", [{"metadata_version": pa.ipc.MetadataVersion.V4}, {}])
def test_both_current_versions_of_the_metadata_are_read(read, options):
    assert read(written(pa.table({"b": [1.0]}), **options), "arrow").tolist() == [1]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays(
        np.float64,
        array_shapes(max_dims=2, max_side=7),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.none() | st.text(min_size=1, max_size=9),
)
def test_what_we_write_pyarrow_reads_and_so_do_we(tmp_path, array, name):
    names = [f"{name}{i}" for i in range(len(array))] if name else None
    content = b"".join(array_arrow(NamedArray("x", array, names)))
    table = pa.ipc.open_file(io.BytesIO(content)).read_all()
    table.validate(full=True)
    columns = np.column_stack([column.to_numpy() for column in table.columns])
    assert columns.reshape(array.shape).tobytes() == array.tobytes()
    path = tmp_path / "x.arrow"
    path.write_bytes(content)
    back = arrow.read(path, None, NO_OPTIONS, FormatLimits())
    assert back.reshape(array.shape).tobytes() == array.tobytes()


def test_large_results_are_written_in_batches(monkeypatch):
    monkeypatch.setattr("service.arrow_file.NUMBERS_AT_ONCE", 10)
    array = np.arange(99.0).reshape(33, 3)
    reader = pa.ipc.open_file(io.BytesIO(b"".join(array_arrow(NamedArray("X", array)))))
    assert reader.num_record_batches == 11
    assert np.array_equal(np.column_stack([c.to_numpy() for c in reader.read_all().columns]), array)


GOOD = written(coordinates())
VECTOR = written(pa.table({"b": [1.0, 2.0, 3.0]}))


def field(name="b", kind=FLOATING, what=None, **more):
    return {0: name.encode(), 2: Scalar("<B", kind), 3: what or {0: Scalar("<h", 2)}, **more}


def message(kind, header, body=0, version=4):
    return encode({0: Scalar("<h", version), 1: Scalar("<B", kind), 2: header, 3: Scalar("<q", body)})


def framed(metadata):
    return MARK + struct.pack("<i", len(metadata)) + metadata


def forged(
    fields=None, nodes=((1, 0),), buffers=((0, 0), (0, 8)), count=1, body=b"\0" * 8, said=None, blocks=None,
    version=4, extra=None, schema_more=None, kind=BATCH,
):  # fmt: skip
    """A file of one batch in which anything may be a lie."""
    schema = {1: fields or [field()], **(schema_more or {})}
    head = MAGIC + b"\0\0" + framed(message(SCHEMA, schema, version=version))
    batch = {0: Scalar("<q", count), 1: Structs(NODE, nodes), 2: Structs(BUFFER, buffers), **(extra or {})}
    told = framed(message(kind, batch, len(body) if said is None else said))
    blocks = [(len(head), len(told), len(body) if said is None else said)] if blocks is None else blocks
    footer = encode({0: Scalar("<h", 4), 1: schema, 3: Structs(BLOCK, blocks)})
    return head + told + body + END + footer + struct.pack("<i", len(footer)) + MAGIC


def patched(content, at, new):
    return content[:at] + new + content[at + len(new) :]


def test_the_forger_can_write_a_good_file(read):
    assert read(forged(body=np.array([2.5]).tobytes()), "arrow").tolist() == [2.5]


STREAM = io.BytesIO()
with pa.ipc.new_stream(STREAM, pa.schema([("b", pa.float64())])) as stream:
    stream.write_batch(pa.record_batch({"b": [1.0]}))

HOSTILE = {
    "empty": (b"", "The file is empty"),
    "only the magic": (b"ARROW1\0\0", "more bytes than it has"),
    "magic at both ends": (b"ARROW1\0\0" + MAGIC, "more bytes than it has"),
    "zeros without end": (b"ARROW1\0\0" + b"\0" * 999, "Byte 128"),
    "garbage": (b"ARROW1\0\0" + b"garbage!" * 20, "Byte 8 of the Arrow file"),
    "a stream": (STREAM.getvalue(), "does not start with `ARROW1`"),
    "no footer": (GOOD[:-20], "does not end in a footer"),
    "half a batch": (VECTOR[: VECTOR.index(struct.pack("<d", 2.0))], "more bytes than it has"),
    "bytes after the footer": (GOOD + b"\0", "does not end in a footer"),
    "a footer length that lies": (patched(GOOD, len(GOOD) - 10, b"\xff\xff\xff\x7f"), "does not end in a footer"),
    "a negative footer length": (patched(GOOD, len(GOOD) - 10, b"\xff\xff\xff\xff"), "does not end in a footer"),
    "metadata of gigabytes": (patched(GOOD, 12, b"\xf8\xff\xff\x7f"), "not a length that is read"),
    "a negative metadata length": (patched(GOOD, 12, b"\xff\xff\xff\xff"), "not a length that is read"),
    "a root that leads out": (patched(GOOD, 16, b"\xff\xff\xff\xff"), "damaged"),
    "a root into the end": (patched(GOOD, 16, struct.pack("<I", 10_000)), "damaged"),
    "no columns": (written(pa.table({})), "has no columns"),
    "a batch of terabytes": (forged(said=1 << 42), "GB of memory"),
    "a batch of less than nothing": (forged(said=-8), "more bytes than it has"),
    "rows that are not there": (forged(nodes=((10**6, 0),), count=10**6), "leads out of its batch"),
    "10^18 rows": (forged(nodes=((10**18, 0),), count=10**18), "A dimension is at most"),
    "rows below zero": (forged(nodes=((-1, 0),), count=-1), "does not have the columns"),
    "a buffer that leads out": (forged(buffers=((0, 0), (1 << 40, 8))), "leads out of its batch"),
    "a buffer before the start": (forged(buffers=((0, 0), (-8, 8))), "leads out of its batch"),
    "a buffer whose end wraps": (forged(buffers=((0, 0), (2**63 - 4, 8))), "leads out of its batch"),
    "a buffer too short": (forged(buffers=((0, 0), (0, 7))), "leads out of its batch"),
    "a buffer of less than nothing": (forged(buffers=((0, 0), (8, -8))), "leads out of its batch"),
    "a bitmap too short": (forged(nodes=((9, 0),), count=9, buffers=((0, 1), (0, 72)), body=b"\xff" * 72), "leads"),
    "fewer nodes than columns": (forged(nodes=()), "does not have the columns"),
    "more buffers than columns": (forged(buffers=((0, 0), (0, 8), (0, 8))), "does not have the columns"),
    "a node of other length": (forged(nodes=((2, 0),)), "shorter or longer than its batch"),
    "nulls": (written(pa.table({"b": [1.0, None]})), "`b` has nulls"),
    "nulls that the count denies": (
        forged(buffers=((0, 1), (8, 8)), body=b"\0" * 16),
        "`b`[0] is null",
    ),
    "NaN": (written(pa.table({"b": [1.0, 2.0, float("nan")]}), 2), "`b`[2] is not finite"),
    "infinite value": (written(coordinates(value=np.array([1, np.inf]))), "`value`[1] is not finite"),
    "past 2^53": (written(pa.table({"b": [1, 2**53 + 1]})), "`b`[1] is past 2^53"),
    "no rows": (written(pa.table({"b": np.empty(0)})), "no rows"),
    "row outside": (written(coordinates(row=np.array([0, 2]))), "row[1] is 2: outside 0 to 1"),
    "negative column": (written(coordinates(col=np.array([-1, 0]))), "col[0] is -1: outside 0 to 2"),
    "an unsigned index that wraps": (
        written(coordinates(row=np.array([0, 2**64 - 1], np.uint64))),
        "row[1] is 18446744073709551615",
    ),
    "float indices": (written(coordinates(index=np.float64)), "The column row is not of integers"),
    "no shape": (written(coordinates(shape=None)), "The shape is not said"),
    "a shape of words": (written(coordinates().replace_schema_metadata({"shape": "2 by 3"})), "is not [n, d]"),
    "a shape of three": (written(coordinates(shape=(2, 3, 4))), "is not [n, d]"),
    "an empty shape": (written(coordinates(shape=(0, 3))), "a dimension is 0"),
    "a huge shape": (written(coordinates(shape=(2**62, 3))), "A dimension is at most"),
    "a shape that takes too much": (written(coordinates(shape=(2**31 - 1, 3))), "GB of memory"),
    "duplicates": (written(coordinates(row=np.array([1, 1]), col=np.array([2, 2]))), "both stand at"),
    "text": (written(pa.table({"b": ["a"]})), "`b` is not of plain numbers"),
    "booleans": (written(pa.table({"b": [True]})), "not of plain numbers"),
    "nothing": (written(pa.table({"b": pa.nulls(2)})), "not of plain numbers"),
    "dates": (written(pa.table({"b": pa.array([1], pa.timestamp("s"))})), "not of plain numbers"),
    "decimals": (written(pa.table({"b": pa.array([1], pa.decimal128(5))})), "not of plain numbers"),
    "lists": (written(pa.table({"b": [[1.0]]})), "not of plain numbers"),
    "structs": (written(pa.table({"b": [{"a": 1.0}]})), "not of plain numbers"),
    "a dictionary": (written(pa.table({"b": pa.array([1.0]).dictionary_encode()})), "not of plain numbers"),
    "LZ4": (written(pa.table({"b": np.ones(999)}), compression="lz4"), "Compressed Arrow files"),
    "Zstandard": (written(pa.table({"b": np.ones(999)}), compression="zstd"), "Compressed Arrow files"),
    "integers of 24 bits": (
        forged([field(kind=2, what={0: Scalar("<i", 24), 1: Scalar("<B", 1)})]), "not of plain numbers",
    ),
    "a precision that is none": (forged([field(what={0: Scalar("<h", 77)})]), "not of plain numbers"),
    "a column with children": (forged([field() | {5: [field("c")]}]), "not of plain numbers"),
    "two columns of one name": (forged([field(), field()]), "one name"),
    "a name without end": (forged([field("n" * 5000)]), "at most 1024 bytes"),
    "a column that would echo": (forged([field("`<b>\n", kind=1)]), "`?<b>?` is not of plain numbers"),
    "big-endian": (forged(schema_more={0: Scalar("<h", 1)}), "Big-endian"),
    "an old version": (forged(version=2), "version of Arrow's metadata"),
    "a second schema": (forged(kind=SCHEMA), "not a schema and then batches"),
    "a tensor": (forged(kind=4), "not a schema and then batches"),
    "a dictionary batch": (forged(kind=2), "Dictionaries are not read"),
    "shape said twice": (
        forged(schema_more={2: [{0: b"shape", 1: b"[1, 1]"}, {0: b"shape", 1: b"[2, 2]"}]}), "says shape twice",
    ),
    "a footer without the batch": (forged(blocks=[]), "does not list the batches"),
    "a footer that points elsewhere": (forged(blocks=[(8, 64, 8)]), "does not list the batches"),
    "a batch listed twice": (forged(blocks=[(8, 64, 8)] * 2), "does not list the batches"),
    "gzip, truncated": (gzip.compress(GOOD)[:-9], "truncated"),
    "a bomb": (gzip.compress(forged(said=1 << 30, body=bytes(1 << 24))), "inflates to more"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_with_words(parse, content, words):
    with pytest.raises(NewtondError) as refusal:
        parse(content, "arrow")
    assert words in refusal.value.detail, refusal.value.detail
    assert len(refusal.value.detail) < 300
    assert refusal.value.detail.isprintable()


def test_extension_types_are_the_numbers_they_store(read):
    """No code is looked up for them: the metadata that names it is not read."""
    column = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8()))
    assert read(written(pa.table({"b": column})), "arrow").tolist() == [1, 0]


def test_options_of_the_shape_are_for_coordinates(parse):
    with pytest.raises(NewtondError, match="row, col and value"):
        parse(VECTOR, "arrow", rows=3)


def test_every_prefix_and_every_flipped_byte_is_an_answer(tmp_path):
    """In process: nothing but our own errors may come out, whatever the byte."""
    path = tmp_path / "A.arrow"
    cut = [GOOD[:length] for length in range(1, len(GOOD))]
    flipped = [patched(GOOD, at, bytes([GOOD[at] ^ bit])) for at in range(len(GOOD)) for bit in (1, 128, 255)]
    refused = 0
    for content in cut + flipped:
        path.write_bytes(content)
        try:
            arrow.read(path, None, Options(), FormatLimits())
        except NewtondError:
            refused += 1
    assert refused >= len(cut)
