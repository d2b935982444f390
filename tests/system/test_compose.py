"""The images and the Compose file, for real: build, solve, kill a worker in mid-solve, go down and up again.

Run by ``make test-compose`` with Docker Engine and Compose. COMPOSE_FILE may add an override file, as Compose
itself has it, where building needs one (for a proxy, a network mode).
"""

import io
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest

pytestmark = [pytest.mark.compose, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
Answer = TypeVar("Answer")


class Compose:
    """One Compose project of its own, on a free port."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.environment = {
            **os.environ,
            "NEWTOND_PUBLISH": self.address,
            "COMPOSE_PROJECT_NAME": "newtond-test",
        }

    def __call__(self, *arguments: str) -> str:
        answer = subprocess.run(
            [*compose_command(), *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
        )
        assert answer.returncode == 0, arguments
        return answer.stdout

    def up(self, workers: int) -> None:
        self("up", "--detach", "--scale", f"worker={workers}")
        wait_for(self.ready, 120)

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def containers(self, service: str) -> list[str]:
        listed = self("ps", "--quiet", service).split()
        return [
            name for name in listed if docker("inspect", "-f", "{{.State.Running}}", name).strip() == "true"
        ]


def compose_command() -> list[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], capture_output=True).returncode
        ):
            return command
    raise AssertionError("neither `docker compose` nor `docker-compose` is here")


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(ask: Callable[[], Answer], seconds: float) -> Answer:
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.2)
    return answer


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    project = Compose()
    project("down", "--volumes", "--remove-orphans")
    project("build")
    project.up(workers=2)
    yield project
    print(project("logs", "--tail", "50"))
    project("down", "--volumes", "--remove-orphans")


@pytest.fixture(scope="module")
def arrays(compose: Compose) -> dict[str, str]:
    generator = np.random.default_rng(7)
    A = generator.normal(size=(12_000, 500)) / 500**0.5
    b = np.exp(A @ generator.normal(size=500)) + 0.1 * generator.normal(size=12_000)
    return {"A": upload(compose, A), "b": upload(compose, b)}


def submit_slow(compose: Compose, arrays: dict[str, str]) -> str:
    """Start about forty iterations, the papers' own with a small sample; return the job's URL."""
    spec = {
        "problem": {"kind": "hyperbolic", "function": "exp"},
        "regulariser": {"weights": "convex", "margin": 0.1},
        "solver": {"hessian": "paper", "sketch": {"kind": "leverage", "rows": 2500}},
    }
    answer = httpx.post(f"{compose.url}/solve", json=spec | arrays, timeout=30)
    assert answer.status_code == 202, answer.text
    return compose.url + str(answer.headers["Location"])


def upload(compose: Compose, array: np.ndarray) -> str:
    file = io.BytesIO()
    np.save(file, array)
    headers = {"Content-Type": "application/x-npy"}
    answer = httpx.post(f"{compose.url}/arrays", content=file.getvalue(), headers=headers, timeout=120)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def job(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(url, timeout=30).json()
    return answer


def finished(url: str) -> dict[str, Any] | None:
    state = job(url)
    assert state["status"] != "failed", state
    return state if state["status"] == "succeeded" else None


def solution(url: str) -> bytes:
    answer = httpx.get(f"{url}/result/x", headers={"Accept": "application/x-npy"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.content


def busiest(containers: list[str]) -> str:
    """Return the container with the most processes: a worker forks a child for each solve."""
    return max(containers, key=lambda container: len(docker("top", container).splitlines()))


def test_a_killed_worker_container_costs_nothing_and_a_restart_neither(
    compose: Compose, arrays: dict[str, str]
) -> None:
    undisturbed = submit_slow(compose, arrays)
    wait_for(lambda: finished(undisturbed), 300)

    killed = submit_slow(compose, arrays)
    wait_for(lambda: (job(killed)["iteration"] or 0) >= 5, 120)
    docker("kill", busiest(compose.containers("worker")))
    state = wait_for(lambda: finished(killed), 300)
    assert state["attempt"] == 2
    assert state["resumed_from_iteration"] > 0
    assert solution(killed) == solution(undisturbed)

    before = httpx.get(f"{killed}/result").json()
    compose("down")
    compose.up(workers=1)
    assert httpx.get(f"{killed}/result").json() == before
    assert solution(killed) == solution(undisturbed)


def test_stopping_a_worker_hands_its_job_to_another(compose: Compose, arrays: dict[str, str]) -> None:
    compose.up(workers=2)
    stopped = submit_slow(compose, arrays)
    wait_for(lambda: (job(stopped)["iteration"] or 0) >= 5, 120)
    began = time.monotonic()
    docker("stop", busiest(compose.containers("worker")))
    assert time.monotonic() - began < 10
    assert wait_for(lambda: finished(stopped), 300)["resumed_from_iteration"] > 0


def test_the_containers_are_confined(compose: Compose) -> None:
    published = {}
    for service in ("api", "worker", "valkey"):
        container = compose.containers(service)[0]
        facts = json.loads(docker("inspect", container))[0]
        host = facts["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0, service
        assert docker("exec", container, "id", "-u").strip() != "0", service
        published[service] = [port for port, binding in facts["NetworkSettings"]["Ports"].items() if binding]
    assert published == {"api": ["8000/tcp"], "worker": [], "valkey": []}
