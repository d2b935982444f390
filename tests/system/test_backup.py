"""A backup taken while everything runs, restored elsewhere: the same results bit for bit, the rest goes on."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from newtond.backup import backup, restore
from newtond.contract.errors import SetupError
from newtond.store import DataDirectory
from newtond.store.credentials import Credentials
from newtond.store.queue import JobQueue
from tests.conftest import SLOW, Answer, Valkey, WorkerProcesses, WorkerStart, submit_to


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("newtond")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_a_backup_of_a_running_one_gives_the_same_bits(
    data: DataDirectory,
    queue: JobQueue,
    valkey: Valkey,
    worker_process: WorkerStart,
    wait_until: Callable[..., None],
    answer: Callable[[DataDirectory, str], Answer],
    undisturbed: Answer,
    tmp_path: Path,
) -> None:
    key, _ = Credentials(data.path).create("acme")
    done = submit_to(data, queue, tenant="acme", rows=500)
    worker = worker_process()
    wait_until(lambda: data.tenant("acme").jobs.is_finished(done), 60)
    running = submit_to(data, queue, **SLOW)
    wait_until(lambda: data.jobs.checkpoint(running), 60)
    file = tmp_path / "a backup.tar"
    assert command("backup", "--data-dir", data.path, file).returncode == 0
    assert not data.jobs.is_finished(running), "it was to be taken while the solve runs"
    worker.kill()
    queue.connection.flushall()

    assert command("restore", "--data-dir", tmp_path / "new", file).returncode == 0
    restored = DataDirectory(tmp_path / "new")
    before, after = (each.tenant("acme") for each in (data, restored))
    assert answer(after, done) == answer(before, done)  # type: ignore[arg-type]
    x = after.jobs.finished(done).result.arrays["x"].id  # type: ignore[union-attr]
    assert after.arrays.path(x).read_bytes() == before.arrays.path(x).read_bytes()
    assert Credentials(restored.path).verify(key)
    assert queue.reconcile(restored) == [running]
    with WorkerProcesses(valkey.url, restored.path) as start:
        start()
        wait_until(lambda: restored.jobs.is_finished(running), 120)
    assert answer(restored, running) == undisturbed


@pytest.fixture
def file(data: DataDirectory, tmp_path: Path) -> Path:
    data.arrays.put_dense(np.arange(5000.0))
    backup(data.path, tmp_path / "backup.tar", print)
    return tmp_path / "backup.tar"


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_damaged_backup_is_not_restored(file: Path, tmp_path: Path, place: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * 40_000)] ^= 1
    file.write_bytes(content)
    with pytest.raises(SetupError, match="cannot be restored"):
        restore(file, tmp_path / "new", print)
    assert not (tmp_path / "new").exists()


def test_a_backup_that_broke_off_is_not_restored(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:30_000])
    with pytest.raises(SetupError):
        restore(file, tmp_path / "new", print)


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_a_backup_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(SetupError, match="something else"):
        restore(tmp_path / "evil.tar", tmp_path / "new", print)
    assert not (tmp_path / "outside").exists()


def test_nothing_is_overwritten(file: Path, data: DataDirectory) -> None:
    with pytest.raises(SetupError, match="exists already"):
        backup(data.path, file, print)
    with pytest.raises(SetupError, match="not empty"):
        restore(file, data.path, print)
    with pytest.raises(SetupError, match="no data directory"):
        backup(file.parent, file.with_name("other.tar"), print)


def test_a_backup_holds_no_half_written_file(data: DataDirectory, tmp_path: Path) -> None:
    (data.arrays.root / "incoming" / "half").mkdir()
    (data.arrays.root / "incoming" / "half" / "data.npy").write_bytes(b"half")
    (data.jobs.root / ".new-job").mkdir()
    (data.jobs.root / ".new-job" / "accepted.json").write_text("half")
    backup(data.path, tmp_path / "backup.tar", print)
    with tarfile.open(tmp_path / "backup.tar") as archive:
        names = archive.getnames()
        assert json.load(archive.extractfile("manifest.json"))["sha256"].keys() == set(names) - {
            "manifest.json"
        }  # type: ignore[arg-type]
    assert names == ["format", "manifest.json"]
