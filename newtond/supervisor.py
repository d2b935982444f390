"""One machine: Valkey, the API and the workers, started together, restarted when they die, stopped together.

Nothing here outlives its parent: every child is sent a signal when the supervisor dies, and every one
inherits the lock on the data directory: no second supervisor starts beside what a killed one has left.
"""

import fcntl
import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from newtond import __version__, valkey
from newtond.contract.errors import SetupError
from newtond.process import ROLL, Child, Wakeups, stop
from newtond.store.credentials import Credentials, check_exposed

Say = Callable[[str], None]
LEFTOVERS_END_IN = 10.0
VALKEY_LOADS_IN = 120.0
API_STARTS_IN = 60.0
ENDS_IN = 10.0
API_CLEARS_UP_IN = 5.0
WORKER_SETTLES_IN = 2.0
VALKEY_ENDS_IN = 10.0


class UpSettings(BaseSettings):
    """What ``newtond up`` needs to know; every field is also a setting NEWTOND_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="NEWTOND_", extra="ignore")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    data_dir: Path = Path("newtond-data")
    redis_url: str | None = None
    workers: Annotated[int, Field(ge=1)] = 1
    threads: Annotated[int, Field(ge=1)] | None = None
    allow_anonymous_from_anywhere: bool = False
    drain_seconds: Annotated[float, Field(ge=0)] = 0.0
    shutdown_seconds: Annotated[float, Field(gt=0)] = 5.0

    def ends_in(self) -> float:
        """Return the seconds that API and workers get to end: the API leaves in order, as long as that may take."""
        return max(ENDS_IN, self.drain_seconds + self.shutdown_seconds + API_CLEARS_UP_IN)

    def threads_each(self) -> int:
        """Return the threads of one worker: as set, or its share of the cores."""
        return self.threads or max(1, available_cores() // self.workers)


def available_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def run(settings: UpSettings, say: Say) -> None:
    """Serve until told to stop (SIGINT, SIGTERM, SIGHUP); raises SetupError when that is not possible."""
    data = settings.data_dir.resolve()
    check_exposed(settings.host, Credentials(data), settings.allow_anonymous_from_anywhere)
    port = free_port(settings.host, settings.port)
    with ExitStack() as stack:
        lock = stack.enter_context(claim(data))
        wakeups = stack.enter_context(Wakeups())
        children: list[Child] = []
        url = settings.redis_url
        if url is None:
            address = stack.enter_context(valkey.socket_directory(data / "valkey.socket.json"))
            url = f"unix://{address}"
            children.append(valkey_child(data, address, lock))
        stack.callback(stop_all, children, settings.ends_in(), wakeups, say)
        if children:
            start_valkey(children[0], address, wakeups)
        children += programs(environment(settings, port, data, url), settings.workers, lock)
        watch(children, wakeups, say, lambda: is_ready(settings.host, port), banner(settings, port, data))


@contextmanager
def claim(data: Path) -> Iterator[int]:
    """Hold the data directory for this process and its children; raises SetupError when others hold it."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SetupError(f"the data directory {data} cannot be used: {error.strerror}") from error
    try:
        _lock(descriptor, data)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, data: Path) -> None:
    deadline = time.monotonic() + LEFTOVERS_END_IN
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode().strip()
            if _alive(owner) or time.monotonic() > deadline:
                raise SetupError(f"{data} is in use by `newtond up`, process {owner}") from None
        time.sleep(0.1)


def _alive(owner: str) -> bool:
    with suppress(ValueError, ProcessLookupError, PermissionError):
        os.kill(int(owner), 0)
        return True
    return False


def free_port(host: str, port: int) -> int:
    """Return the port (for 0, a free one); raises SetupError when it is taken or the host is not ours."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.create_server((host, port), family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise SetupError(
            f"cannot listen on {host}:{port}: {error.strerror}; see --host and --port"
        ) from error


def valkey_child(data: Path, address: Path, lock: int) -> Child:
    """Return a Valkey whose files lie in the data directory; when its parent dies it still writes them."""
    home = data / "valkey"
    home.mkdir(mode=0o700, exist_ok=True)
    command = valkey.command(valkey.locate(), address)
    return Child("valkey", command, os.environ, home, signal.SIGTERM, (lock,))


def start_valkey(child: Child, address: Path, wakeups: Wakeups) -> None:
    """Start Valkey and wait until it answers; else raises SetupError with the end of its log."""
    child.start()
    deadline = time.monotonic() + VALKEY_LOADS_IN
    while not valkey.answers(address) and not wakeups.stops:
        if not child.running() or time.monotonic() > deadline:
            raise SetupError(f"Valkey does not start. The end of its log:\n{_tail(child.directory)}")
        wakeups.wait(0.02)


def _tail(directory: Path | None) -> str:
    log = (directory or Path()) / "valkey.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else "(none)"


def environment(settings: UpSettings, port: int, data: Path, url: str) -> dict[str, str]:
    """Return the environment of the API and the workers: ours, and what the flags say as settings."""
    return {
        **os.environ,
        "NEWTOND_HOST": settings.host,
        "NEWTOND_PORT": str(port),
        "NEWTOND_DATA_DIR": str(data),
        "NEWTOND_REDIS_URL": url,
        "NEWTOND_THREADS": str(settings.threads_each()),
    }


def programs(variables: Mapping[str, str], workers: int, lock: int) -> list[Child]:
    """Return the API and the workers, each started by its package's name."""
    modules = {"api": "service"} | {f"worker-{k}": "worker" for k in range(1, workers + 1)}
    return [
        Child(name, (sys.executable, "-m", module), variables, inherited=(lock,))
        for name, module in modules.items()
    ]


def watch(
    children: list[Child], wakeups: Wakeups, say: Say, ready: Callable[[], bool], greeting: str
) -> None:
    """Keep the children running until a signal to stop; say the greeting once the API is ready."""
    greeted, deadline = False, time.monotonic() + API_STARTS_IN
    rolled, roll = 0, Roll()
    while not wakeups.stops:
        for child in children:
            child.revive(say)
        if wakeups.rolls > rolled:
            rolled, roll.left = wakeups.rolls, [each for each in children if each.name.startswith("worker-")]
        roll.step(say)
        if not greeted and ready():
            greeted = True
            say(greeting)
        elif not greeted and time.monotonic() > deadline:
            deadline += API_STARTS_IN
            say("the API is not ready yet; its /readyz says why")
        wakeups.wait(0.1 if roll.told or not greeted else _next_start(children))


@dataclass
class Roll:
    """Workers that are to be restarted, each once the one before works again."""

    left: list[Child] = field(default_factory=list)
    told: Child | None = None
    _old: object = None

    def step(self, say: Say) -> None:
        """Tell the next worker to end, by which its watcher starts it anew, when it is its turn."""
        if self.told is not None and self._settled(self.told):
            self.told = None
        if self.told is None and self.left:
            self.told = self.left.pop(0)
            self._old = self.told.process
            say(f"{self.told.name} is restarted: it checkpoints and hands its job back")
            self.told.signal(signal.SIGTERM)

    def _settled(self, child: Child) -> bool:
        renewed = child.process is not self._old and child.running()
        return renewed and time.monotonic() - child.started > WORKER_SETTLES_IN


def ask_to_roll(data: Path) -> None:
    """Tell a running supervisor to restart its workers; raises SetupError where none runs."""
    try:
        with (data / "supervisor.lock").open() as file:
            os.kill(_holder(file), ROLL)
    except (OSError, ValueError):
        raise SetupError(f"no `newtond up` runs on {data}") from None


def _holder(file: TextIO) -> int:
    """Return the process that holds the lock; raises ValueError where none does (its number may be another's)."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(file.read())
    raise ValueError("not held")


def _next_start(children: list[Child]) -> float | None:
    waiting = [child.due for child in children if not child.running()]
    return min(waiting) - time.monotonic() if waiting else None


def is_ready(host: str, port: int) -> bool:
    """Return whether the API's /readyz says 200."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable(host: str) -> str:
    """Return an address of this machine where a server that listens on ``host`` is reached."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def banner(settings: UpSettings, port: int, data: Path) -> str:
    """Return where to look, in words."""
    host = reachable(settings.host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    store = settings.redis_url or f"Valkey on a private socket, its files in {data / 'valkey'}"
    return (
        f"newtond {__version__} is ready\n"
        f"  API       {url}\n"
        f"  docs      {url}/docs\n"
        f"  data      {data}\n"
        f"  queue     {store}\n"
        f"  workers   {settings.workers}, with {settings.threads_each()} threads each\n"
        "Ctrl-C stops everything."
    )


def stop_all(children: list[Child], patience: float, wakeups: Wakeups, say: Say) -> None:
    """Stop the workers and the API, then Valkey; a second signal to stop hurries."""
    told = max(wakeups.stops, 1)
    running = [child for child in children if child.running()]
    if running:
        say("stopping: the workers checkpoint and hand their jobs back")
    for members, seconds in (
        ([child for child in running if child.name != "valkey"], patience),
        ([child for child in running if child.name == "valkey"], VALKEY_ENDS_IN),
    ):
        stop(members, seconds, lambda: wakeups.stops > told, wakeups)
