"""The chain of one solve: what each line of its trace says of the line before, of x and of the row blocks."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from newtond.contract.array import ArrayId
from newtond.contract.chain import Digest, Link, linked, sha256
from newtond.engine import Measured, Share, Step
from newtond.store.arrays import digest


class Chain:
    """Goes on from ``head``, the digest of the last line, or begins with that of the inputs."""

    def __init__(self, inputs: Digest, head: Digest | None = None) -> None:
        self.inputs = inputs
        self.head = head or inputs

    def link(self, step: Step, measured: Measured | None) -> Link:
        """Return what ties the line of this step to the one before."""
        return Link(
            previous=self.head,
            inputs=self.inputs,
            x=array_id(step.state.iterate),
            point=None if measured is None else array_id(measured.x),
            gradients=None if measured is None else sha256(*leaves(measured.shares)),
        )

    def add(self, line: bytes) -> None:
        """Have the next line name this one."""
        self.head = sha256(linked(line))


def array_id(array: NDArray[np.float64]) -> ArrayId:
    """Return the id that this array has in the store."""
    values = np.ascontiguousarray(array, "<f8")
    return digest("dense", values.shape, {"data": values})


def leaves(shares: Sequence[Share]) -> list[bytes]:
    """Return the digest of each row block's gradient: of its d numbers and the sum of its slopes, as <f8."""
    return [bytes.fromhex(sha256(_bytes(part), struct.pack("<d", ones))) for part, ones in shares]


def _bytes(part: NDArray[np.float64]) -> memoryview:
    return np.ascontiguousarray(part, "<f8").view(np.uint8).data
