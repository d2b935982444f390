"""How much of an upload is read before it is refused."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from newtond.contract.errors import TooLarge

LARGEST_DIMENSION = 2**31 - 1
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def _half_of_the_memory() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # in a container the machine's memory is not ours
    granted = _CGROUP.read_text().strip() if _CGROUP.exists() else "max"
    return min(physical, int(granted) if granted.isdigit() else physical) // 2


@dataclass(frozen=True)
class FormatLimits:
    """Bytes on the wire and inflated, entries of an array, and what one parsing child may use.

    ``memory_bytes`` is of each child, half of what there is unless said otherwise; ``children`` parse at once.
    """

    json_bytes: int = 1_000_000
    upload_bytes: int = 2_000_000_000
    inflated_bytes: int = 16_000_000_000
    ratio: int = 200
    entries: int = 1_000_000_000
    memory_bytes: int = field(default_factory=_half_of_the_memory)
    cpu_seconds: int = 300
    seconds: float = 600.0
    children: int = 2

    def inflated_from(self, size: int) -> int:
        """Return how many bytes ``size`` compressed ones may become; a small file may always be 1 MiB."""
        return min(self.inflated_bytes, max(self.ratio * size, 1 << 20))

    def check_upload(self, size: int) -> None:
        """Raise TooLarge if a file has more bytes than an upload may have."""
        if size > self.upload_bytes:
            raise TooLarge(f"An upload has at most {self.upload_bytes} bytes; compress it, or save .npz.")

    def check_sparse(self, shape: tuple[int, int], entries: int) -> None:
        """Raise TooLarge unless a sparse matrix of this shape and count can be read within the limits."""
        self._check_counts(shape, entries)
        # coordinates as read, then the canonical form beside them, then two figures a column
        self.check_memory(entries * (16 + 12) + shape[0] * 16 + shape[1] * 24)

    def check_dense(self, shape: tuple[int, ...]) -> None:
        """Raise TooLarge unless a dense array of this shape can be read within the limits."""
        size = 1
        for length in shape:
            size *= length
        self._check_counts(shape, size)
        self.check_memory(size * 16)

    def _check_counts(self, shape: tuple[int, ...], entries: int) -> None:
        if max(shape) > LARGEST_DIMENSION:
            raise TooLarge(f"A dimension is at most {LARGEST_DIMENSION}; this array is {times(shape)}.")
        if entries > self.entries:
            raise TooLarge(f"An array has at most {self.entries} entries; this one has {brief(entries)}.")

    def check_memory(self, needed: int) -> None:
        """Raise TooLarge if reading takes more memory than a child may have."""
        if needed > self.memory_bytes:
            raise TooLarge(
                f"Reading this array takes {needed / 1e9:.1f} GB of memory; "
                f"{self.memory_bytes / 1e9:.1f} GB is the limit."
            )


def times(shape: tuple[int, ...]) -> str:
    """Write a shape as ``3 x 4``."""
    return " x ".join(brief(length) for length in shape)


def brief(number: int) -> str:
    """Write a count in full up to twenty digits: an attacker's may have thousands."""
    return str(number) if abs(number) < 10**20 else "more than 10^20"
