"""A tenant's share of the data directory: arrays, jobs, batches and idempotency keys that no other tenant sees."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from newtond.contract.errors import InvalidSpec
from newtond.store.arrays import ArrayStore
from newtond.store.batches import BatchStore
from newtond.store.jobs import JobStore

DEFAULT = "default"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Tenant:
    """The stores of one tenant, under ``path``."""

    name: str
    path: Path
    arrays: ArrayStore
    jobs: JobStore
    batches: BatchStore

    @classmethod
    def at(cls, path: Path, name: str) -> Self:
        """Open a tenant's share, made if absent."""
        jobs = JobStore(path / "jobs")
        return cls(name, path, ArrayStore(path / "arrays"), jobs, BatchStore(path / "batches", jobs))

    @contextmanager
    def claims(self) -> Iterator[None]:
        """Hold the arrays as they are: between a submit's look at them and its acceptance none is deleted.

        A lock on the folder of jobs, so that it holds for any number of threads and processes.
        """
        descriptor = os.open(self.jobs.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def check_name(name: str) -> str:
    """Return the name of a tenant; raises InvalidSpec for what cannot be one."""
    if not NAME.fullmatch(name):
        raise InvalidSpec(
            "A tenant's name is of a-z, 0-9 and -, starts with no -, and has 1 to 63 characters."
        )
    return name
