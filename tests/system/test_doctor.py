"""``newtond doctor``: each fault is made for real, found, explained, and gone when it is mended."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from newtond import valkey as server
from newtond.doctor import Patient, examine
from newtond.store import DataDirectory
from newtond.store.queue import JobQueue, connect
from tests.conftest import Valkey

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: to give files away, to mount a small disk")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def complaints(data: Path, redis_url: str | None = None, low_water: int = 0, port: int | None = None) -> str:
    """Return what the doctor says is wrong."""
    words: list[str] = []
    well = examine(Patient(data, redis_url, "127.0.0.1", port or free_port(), low_water), words.append)
    wrong = [line for line in "\n".join(words).splitlines() if not line.startswith("ok ")]
    assert well == (wrong == [])
    return "\n".join(wrong)


@pytest.fixture(autouse=True)
def made(data: DataDirectory) -> DataDirectory:
    return data


def test_a_healthy_one(data: DataDirectory, valkey: Valkey) -> None:
    assert complaints(data.path) == ""
    assert complaints(data.path, valkey.url) == ""


@as_root
def test_files_of_another_user(data: DataDirectory) -> None:
    os.chown(data.path / "format", 65534, 65534)
    assert "1 of its files are not for user" in complaints(data.path)
    os.chown(data.path / "format", 0, 0)
    assert complaints(data.path) == ""


def test_a_directory_that_everyone_can_look_into(data: DataDirectory) -> None:
    data.path.chmod(0o755)
    assert "chmod o-rwx" in complaints(data.path)


def test_no_directory(tmp_path: Path) -> None:
    assert "does not exist" in complaints(tmp_path / "nowhere")


def test_a_newer_format(data: DataDirectory) -> None:
    (data.path / "format").write_text("newtond data 2\n")
    assert "format 2" in complaints(data.path)


def test_no_redis(data: DataDirectory, own_valkey: Valkey) -> None:
    own_valkey.kill()
    assert "does not answer" in complaints(data.path, own_valkey.url)
    own_valkey.start()
    assert complaints(data.path, own_valkey.url) == ""


@pytest.mark.parametrize(
    ("name", "value"), [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru"), ("appendfsync", "always")]
)
def test_a_redis_that_forgets(data: DataDirectory, own_valkey: Valkey, name: str, value: str) -> None:
    connect(own_valkey.url).config_set(name, value)
    assert f"Redis has {name} {value}" in complaints(data.path, own_valkey.url)


@pytest.fixture
def own_home(data: DataDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose Valkey has queued a job, and was stopped."""
    home = data.path / "valkey"
    home.mkdir(mode=0o700)
    address = Path(f"/tmp/newtond-test-{os.getpid()}.sock")
    process = subprocess.Popen(server.command(server.locate(), address), cwd=home)
    while not server.answers(address):
        assert process.poll() is None
    JobQueue(f"unix://{address}").submit("job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG", "solve")
    process.send_signal(signal.SIGTERM)
    process.wait()
    return home


def test_an_append_only_file_of_another_time(data: DataDirectory, own_home: Path) -> None:
    assert "it is old: it queues 1 jobs" in complaints(data.path)
    own_home.rename(own_home.with_name("aside"))
    assert complaints(data.path) == ""


def test_an_append_only_file_that_cannot_be_loaded(data: DataDirectory, own_home: Path) -> None:
    (log,) = (own_home / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"*3\r\n$3\r\nSET\r\n$nonsense\r\n" + log.read_bytes())
    assert "Valkey cannot load its append-only file" in complaints(data.path)


def test_a_disk_below_its_low_water_mark(data: DataDirectory) -> None:
    assert "under the low-water mark" in complaints(data.path, low_water=10**18)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk]).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@as_root
@pytest.mark.slow
def test_a_full_disk(small_disk: Path) -> None:
    data = DataDirectory(small_disk / "data")
    assert complaints(data.path, low_water=1_000_000) == ""
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(b"0" * 9_000_000)
    assert "under the low-water mark" in complaints(data.path, low_water=1_000_000)


@pytest.fixture
def other_version(tmp_path: Path) -> Path:
    """A tree of another version of newtond."""
    tree = tmp_path / "other"
    for package in ("newtond", "service", "worker", "openapi"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "newtond" / "__init__.py").write_text('"""Another."""\n__version__ = "0.0.1"\n')
    return tree


def test_an_api_and_a_worker_of_another_version(
    data: DataDirectory, own_valkey: Valkey, other_version: Path, wait_until: Callable[..., None]
) -> None:
    port = free_port()
    settings = {"REDIS_URL": own_valkey.url, "DATA_DIR": str(data.path), "PORT": str(port)}
    environment = os.environ | {f"NEWTOND_{name}": value for name, value in settings.items()}
    environment["PYTHONPATH"] = str(other_version)
    processes = [
        subprocess.Popen([sys.executable, "-m", module], env=environment, cwd=other_version)
        for module in ("service", "worker")
    ]
    try:

        def found() -> bool:
            words = complaints(data.path, own_valkey.url, port=port)
            return "the API that runs is 0.0.1" in words and "is 0.0.1, this is" in words

        wait_until(found, 60)
    finally:
        for process in processes:
            process.kill()
            process.wait()
