"""Whole files of every format to start from, and what a mutation makes of them."""

import gzip
import io
import json
import random
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from service.arrow_file import array_arrow
from service.tables import NamedArray

MATRIX = sp.csr_array(np.array([[0.5, 0, 1e-320], [0, -3, 0]]))
HEAD = "%%MatrixMarket matrix "
WORDS = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80",
    b"nan",
    b"1e999",
    b"-1",
    b"2147483648",
    b"\n",
    b" ",
)
CHANGES = 6


def _saved(save: Callable[..., object], *values: object, **options: object) -> bytes:
    file = io.BytesIO()
    save(file, *values, **options)
    return file.getvalue()


def seeds() -> list[tuple[str, bytes]]:
    """Return files to mutate, each with its format."""
    entries = "2 3 3\n1 1 0.5\n1 3 1e-320\n2 2 -3\n"
    texts = [
        ("mtx", f"{HEAD}coordinate real general\n{entries}"),
        ("mtx", f"{HEAD}coordinate integer symmetric\n2 2 2\n1 1 4\n2 1 -3\n"),
        ("mtx", f"{HEAD}coordinate pattern general\n2 2 1\n1 2\n"),
        ("mtx", f"{HEAD}array real general\n% c\n3 1\n1\n-2.5\n3e7\n"),
        ("svmlight", "1 1:2 3:4.5 # c\n-1 2:0.1\n"),
        ("svmlight", "1 qid:3 1:1e-320\r\n-1 qid:4 2:5e-324\n"),
        ("json", json.dumps({"shape": [2, 3], "row": [0, 1], "col": [2, 0], "value": [1.5, -2]})),
        ("json", "[[1, 2.5], [3, 4]]"),
    ]
    files = [(format, text.encode()) for format, text in texts]
    files += [("mtx", gzip.compress(files[0][1], mtime=0)), ("npy", _saved(np.save, np.eye(2)))]
    files += [("npy", _saved(np.save, np.arange(3, dtype=">i2")))]
    files += [("npz", _saved(sp.save_npz, MATRIX.asformat(layout))) for layout in ("csr", "csc", "coo")]
    files += [("npz", _saved(sp.save_npz, MATRIX, compressed=False))]
    files += [("arrow", b"".join(array_arrow(NamedArray("x", values)))) for values in (np.ones(3), np.eye(2))]
    return [*files, ("arrow", arrow_coordinates())]


def arrow_coordinates() -> bytes:
    """Return the Arrow file of a sparse matrix: what a dense one says with its columns renamed."""
    content = b"".join(array_arrow(NamedArray("X", np.array([[0.0, 1, 2], [1, 0, 3]]))))
    for old, new in ((b"X0\0", b"row"), (b"X1\0", b"col")):
        content = content.replace(old, new)
    return content


def mutated(files: list[tuple[str, bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """Return one input, by its key alone, and its format."""
    draw = random.Random(f"{seed}/{number}")
    format, content = draw.choice(files)
    text = bytearray(content)
    for _ in range(draw.randrange(CHANGES + 1)):
        _change(text, draw, files)
    return format, bytes(text)


def _change(text: bytearray, draw: random.Random, files: list[tuple[str, bytes]]) -> None:
    at = draw.randrange(len(text) + 1)
    length = draw.choice((1, 1, 2, 4, 8, 40))
    kind = draw.randrange(7)
    if kind == 0:
        text[at:at] = draw.choice(WORDS)
    elif kind == 1:
        text[at : at + length] = draw.choice(WORDS)
    elif kind == 2:
        del text[at : at + length]
    elif kind == 3:
        text[at:at] = text[at : at + length]
    elif kind == 4:
        other = draw.choice(files)[1]
        start = draw.randrange(len(other))
        text[at : at + length] = other[start : start + length]
    elif kind == 5 and text:
        text[at % len(text)] ^= 1 << draw.randrange(8)
    elif text:
        text[at % len(text)] = draw.choice(b"0123456789.eE+-:, \n\r%#{}[]\"'")
