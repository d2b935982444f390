"""A checkpoint as one file: the digest of the rest, a JSON header line, the arrays' buffers.

What it holds is the solver's whole state, so a solve goes on from it with the bits it would have had.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.result import Termination

DIGEST_LENGTH = 64
DTYPES = frozenset({"<f8", "<i8", "<i4", "|u1", "|b1"})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after an iteration, the seconds solved so far, and the reason to stop once there is one.

    ``chain`` is the digest of the trace's last line, with which the next one goes on.
    """

    iteration: int
    arrays: Mapping[str, NDArray[Any]]
    scalars: Mapping[str, float | int | str]
    seconds: float = 0.0
    newton_decrement: float | None = None
    termination: Termination | None = None
    stopping_rule: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)
    chain: str | None = None


def encode(checkpoint: Checkpoint) -> list[bytes | memoryview]:
    """Return the parts of the file of ``checkpoint``, in order."""
    arrays = {name: np.ascontiguousarray(array) for name, array in checkpoint.arrays.items()}
    parts: list[bytes | memoryview] = [
        _header(checkpoint, arrays),
        *(array.reshape(-1).view(np.uint8).data for array in arrays.values()),
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return [digest.hexdigest().encode() + b"\n", *parts]


def _header(checkpoint: Checkpoint, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    layout = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    if unknown := {dtype for _, dtype, _ in layout} - DTYPES:
        raise TypeError(f"a checkpoint cannot hold {sorted(unknown)}")
    header = {
        "iteration": checkpoint.iteration,
        "scalars": dict(checkpoint.scalars),
        "seconds": checkpoint.seconds,
        "newton_decrement": checkpoint.newton_decrement,
        "termination": checkpoint.termination,
        "stopping_rule": checkpoint.stopping_rule,
        "phases": dict(checkpoint.phases),
        "chain": checkpoint.chain,
        "arrays": layout,
    }
    return json.dumps(header).encode() + b"\n"


def read(path: Path) -> Checkpoint | None:
    """Return the checkpoint in ``path``; None if there is none or its digest says it is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    body = memoryview(content)[DIGEST_LENGTH + 1 :]
    if hashlib.sha256(body).hexdigest().encode() + b"\n" != content[: DIGEST_LENGTH + 1]:
        return None
    end = content.index(b"\n", DIGEST_LENGTH + 1)
    header = json.loads(content[DIGEST_LENGTH + 1 : end])
    arrays = dict(_arrays(header.pop("arrays"), memoryview(content)[end + 1 :]))
    return Checkpoint(arrays=arrays, **header)


def _arrays(
    layout: list[tuple[str, str, list[int]]], buffer: memoryview
) -> Iterator[tuple[str, NDArray[Any]]]:
    start = 0
    for name, dtype, shape in layout:
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(buffer, dtype=np.dtype(dtype), count=count, offset=start).reshape(shape)
        start += array.nbytes
        yield name, array.copy()
