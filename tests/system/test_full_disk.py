"""A disk that fills for real: refused before it is full, 507 when it is, and everything read and taken again after."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.conftest import _wait_until
from tests.service.conftest import example, npy, refusal, running_service, running_valkey, submit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a small disk"),
]
NPY = {"Content-Type": "application/x-npy"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk]).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path, leave: int) -> Path:
    filler = disk / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(disk).free - leave))
    return filler


def upload(client: httpx.Client, size: int) -> httpx.Response:
    return client.post("/arrays", content=npy(np.random.default_rng(size).normal(size=size)), headers=NPY)


def test_it_refuses_before_it_is_full_and_says_so_when_it_is(small_disk: Path, tmp_path: Path) -> None:
    low = 2_000_000
    with (
        running_valkey() as valkey,
        running_service(small_disk, valkey.url, low_water_bytes=low, reconcile_seconds=0.3) as service,
        service.client() as client,
    ):
        kept = submit(client)
        assert upload(client, 10_000).status_code == 201

        filler = fill(small_disk, leave=low // 2)
        assert refusal(upload(client, 10), 503)["type"].endswith("storage-low")
        assert refusal(client.post("/solve", json=example()), 503)["type"].endswith("storage-low")
        assert refusal(client.get("/readyz"), 503)["source"] == {"check": "disk"}
        assert client.get(f"/jobs/{kept['id']}").status_code == 200

        filler.unlink()
        filler = fill(small_disk, leave=low + 500_000)
        refused = upload(client, 600_000)
        assert refusal(refused, 507)["type"].endswith("storage-full")
        assert list((service.data_dir / "incoming").iterdir()) == []
        assert list((service.data_dir / "arrays" / "incoming").iterdir()) == []

        filler.unlink()
        assert upload(client, 600_000).status_code == 201
        _wait_until(lambda: client.get("/readyz").is_success, 10)
        submit(client)
