"""The chain of one solve: what each line of its trace says of the line before, of x and of the row blocks."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from newtond.contract.array import ArrayId
from newtond.contract.chain import Digest, Link, linked, sha256
from newtond.engine import Measured, Share, Step
from newtond.store.arrays import digest

LEAF = 32
"""The bytes of a row block's digest."""


class Chain:
    """Goes on from ``head``, the digest of the last line, or begins with that of the inputs."""

    def __init__(self, inputs: Digest, head: Digest | None = None) -> None:
        self.inputs = inputs
        self.head = head or inputs

    def link(self, step: Step, measured: Measured | None, digests: NDArray[np.uint8] | None) -> Link:
        """Return what ties the line of this step to the one before; ``digests`` are ``leaves`` of ``measured``."""
        return Link(
            previous=self.head,
            inputs=self.inputs,
            x=array_id(step.state.iterate),
            point=None if measured is None else array_id(measured.x),
            gradients=None if digests is None else sha256(digests.data),
        )

    def add(self, line: bytes) -> None:
        """Have the next line name this one."""
        self.head = sha256(linked(line))


def array_id(array: NDArray[np.float64]) -> ArrayId:
    """Return the id that this array has in the store."""
    values = np.ascontiguousarray(array, "<f8")
    return digest("dense", values.shape, {"data": values})


def leaves(shares: Sequence[Share]) -> NDArray[np.uint8]:
    """Return the digest of each row block's gradient, of its d numbers and the sum of its slopes, (blocks, 32)."""
    found = [bytes.fromhex(sha256(_bytes(part), struct.pack("<d", ones))) for part, ones in shares]
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, LEAF)


def _bytes(part: NDArray[np.float64]) -> memoryview:
    return np.ascontiguousarray(part, "<f8").view(np.uint8).data
