"""Whatever happens on the way, a client that waits gets its answer, of one job."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from newtond_client import Client, Fit, errors

from tests.client.conftest import SLOW, data, slow_data
from tests.conftest import Valkey, WaitUntil, WorkerProcesses, WorkerStart
from tests.service.conftest import Service

A, B, _ = data()
WAIT_SECONDS = 120
pytestmark = pytest.mark.filterwarnings("ignore::newtond_client.NotConverged")


@pytest.fixture
def start_worker(own_service: Service) -> Iterator[WorkerStart]:
    with WorkerProcesses(own_service.redis_url, own_service.data_dir) as start:
        yield start


@pytest.fixture
def client(own_service: Service) -> Iterator[Client]:
    with Client(own_service.url, progress=False) as client:
        yield client


@pytest.fixture
def aside() -> Iterator[Callable[..., "Future[Any]"]]:
    """Run a call in a thread of its own."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


@pytest.fixture
def in_mid_solve(client: Client, wait_until: WaitUntil) -> Callable[[], str]:
    def look() -> str:
        """Wait until the newest job has made some iterations, and return its id."""
        wait_until(lambda: any((job.get("iteration") or 0) > 5 for job in client.jobs("running")), 60)
        return next(iter(client.jobs("running")))["id"]

    return look


def slow(client: Client, progress: bool) -> Fit:
    design, target, _ = slow_data()
    return client.solve("hyperbolic", design, target, progress=progress, **SLOW)


@pytest.mark.parametrize("progress", [False, True])
def test_the_worker_is_killed_while_the_client_waits(
    own_service: Service,
    client: Client,
    start_worker: WorkerStart,
    aside: Callable[..., "Future[Fit]"],
    in_mid_solve: Callable[[], str],
    progress: bool,
) -> None:
    worker = start_worker()
    waiting = aside(slow, Client(own_service.url), progress)
    job_id = in_mid_solve()
    for child in psutil.Process(worker.pid).children():
        child.kill()
    worker.kill()
    start_worker()
    fit = waiting.result(WAIT_SECONDS)
    assert fit.id == job_id
    assert fit.job["attempt"] == 2
    assert fit.job["status"] == "succeeded"
    assert fit.trace["iteration"].tolist() == list(range(len(fit.trace["iteration"])))


@pytest.mark.parametrize("progress", [False, True])
def test_the_service_restarts_while_the_client_waits(
    own_service: Service,
    start_worker: WorkerStart,
    aside: Callable[..., "Future[Fit]"],
    in_mid_solve: Callable[[], str],
    progress: bool,
) -> None:
    start_worker()
    waiting = aside(slow, Client(own_service.url), progress)
    job_id = in_mid_solve()
    own_service.kill()
    time.sleep(1)
    assert not waiting.done()
    own_service.start()
    fit = waiting.result(WAIT_SECONDS)
    assert fit.id == job_id
    assert fit.job["attempt"] == 1
    assert fit.job["status"] == "succeeded"


def test_a_queue_that_is_away_is_waited_for(
    client: Client,
    own_valkey: Valkey,
    start_worker: WorkerStart,
    aside: Callable[..., "Future[Fit]"],
) -> None:
    start_worker()
    ids = {name: client.upload(array) for name, array in (("A", A), ("b", B))}
    own_valkey.kill()
    waiting = aside(lambda: client.solve("least_squares", ids["A"], ids["b"]))
    time.sleep(0.5)
    assert not waiting.done()
    own_valkey.start()
    assert waiting.result(60).converged
    assert len(list(client.jobs())) == 1


def test_a_queue_that_stays_away_is_an_error(own_service: Service, own_valkey: Valkey) -> None:
    own_valkey.kill()
    with Client(own_service.url, patience=0) as hasty, pytest.raises(errors.QueueUnavailable):
        hasty.solve("least_squares", A, B)


CHUNK = 1 << 16


class Cutting:
    """A TCP relay that passes the first POST /solve on and cuts the line before its answer."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.armed, self.cuts = False, 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            near, _ = self.server.accept()
            far = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self._relay, args=(near, far), daemon=True).start()
            threading.Thread(target=self._answer, args=(far, near), daemon=True).start()

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        while content := near.recv(CHUNK):
            self.armed |= b"POST /solve" in content
            far.sendall(content)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        while content := far.recv(CHUNK):
            if self.armed and not self.cuts:
                self.cuts += 1
                near.shutdown(socket.SHUT_RDWR)
                return
            near.sendall(content)


def test_an_answer_that_was_lost_does_not_make_two_jobs(own_service: Service, client: Client) -> None:
    relay = Cutting(own_service.port)
    with Client(f"http://127.0.0.1:{relay.port}") as cut:
        job = cut.submit("least_squares", A, B)
    assert relay.cuts == 1
    assert [each["id"] for each in client.jobs()] == [job.id]


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        port = unheard.getsockname()[1]
    began = time.monotonic()
    with (
        Client(f"http://127.0.0.1:{port}", patience=0.5) as client,
        pytest.raises(errors.ConnectionLost, match=f"http://127.0.0.1:{port}/? does not answer"),
    ):
        client.version()
    assert 0.5 <= time.monotonic() - began < 10


def test_somebody_else_there(own_service: Service) -> None:
    with Client(f"{own_service.url}/docs?", patience=0) as client, pytest.raises(errors.ClientError):
        client.version()


def make_key(service: Service, scopes: str) -> str:
    command = [Path(sys.executable).with_name("newtond"), "keys", "create", "--scopes", scopes]
    made = subprocess.run(
        [*command, "--data-dir", service.data_dir], capture_output=True, text=True, check=True
    )
    return made.stdout.split()[-1]


def test_a_key_opens_the_door(own_service: Service) -> None:
    key, reader = make_key(own_service, "solve,read"), make_key(own_service, "read")
    with Client(own_service.url, key) as client:
        job = client.submit("least_squares", A, B)
    with Client(own_service.url, reader) as client:
        assert [each["id"] for each in client.jobs()] == [job.id]
        with pytest.raises(errors.Forbidden):
            client.submit("least_squares", A, B)
    for wrong in (None, "nonsense"):
        with Client(own_service.url, wrong) as client, pytest.raises(errors.Unauthorised):
            client.job(job.id)


SCRIPT = """
import json, sys
from newtond_client import Client
url, A, b, options = sys.argv[1:]
Client(url, progress=False).solve("hyperbolic", A, b, **json.loads(options))
"""


def hear_signals() -> None:
    """Undo what a shell's background job ignores, which a child inherits."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_leaves_the_job_running_and_says_which(
    own_service: Service,
    client: Client,
    start_worker: WorkerStart,
    in_mid_solve: Callable[[], str],
) -> None:
    start_worker()
    design, target, _ = slow_data()
    ids = [client.upload(design), client.upload(target)]
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, own_service.url, *ids, json.dumps(SLOW)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,
    )
    job_id = in_mid_solve()
    script.send_signal(signal.SIGINT)
    _, said = script.communicate(timeout=30)
    assert script.returncode != 0
    assert f"Interrupted: {job_id} goes on on the server; client.job('{job_id}') takes it up again" in said
    job = client.job(job_id)
    assert job.state["status"] == "running"
    assert job.cancel()["id"] == job_id
