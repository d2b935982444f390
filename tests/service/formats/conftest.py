"""Uploads through the real sandbox: one zygote for all of these tests, a child an upload."""

import asyncio
import gzip
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from newtond.store.arrays import ArrayStore
from service.formats.limits import FormatLimits
from service.formats.options import Options
from service.formats.sandbox import Sandbox

SMALL = replace(FormatLimits(), memory_bytes=2_000_000_000, cpu_seconds=20, seconds=60.0)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def sandbox(data_dir):
    sandbox = Sandbox(data_dir, SMALL)
    sandbox.start()
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="session")
def store(data_dir):
    return ArrayStore(data_dir / "arrays")


@pytest.fixture(scope="session")
def parse(sandbox, tmp_path_factory):
    """Send bytes through the sandbox; return the array's resource."""
    upload = tmp_path_factory.mktemp("uploads") / "upload"

    def parse(content, format, *, compress=False, **options):
        upload.write_bytes(gzip.compress(content) if compress else content)
        encoding = {"encoding": "gzip"} if compress else {}
        ((info, _),) = asyncio.run(sandbox.parse(upload, format, **encoding, options=Options(**options)))
        return info

    return parse


@pytest.fixture(scope="session")
def read(parse, store):
    """Send bytes through the sandbox; return the array as numpy sees it."""

    def read(content, format, **options):
        info = parse(content, format, **options)
        parts = store.open(info.id).parts
        if info.format == "dense":
            return np.array(parts["data"])
        matrix = sp.csr_array((parts["data"], parts["indices"], parts["indptr"]), info.shape)
        matrix.check_format(full_check=True)
        return matrix

    return read
