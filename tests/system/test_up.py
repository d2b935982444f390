"""``newtond up`` for real: it serves, it survives what dies, it leaves nothing behind."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from tests.system.conftest import READY_IN, Up, wait_for

SOLVE = {
    "problem": {"kind": "hyperbolic", "function": "exp"},
    "A": [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]],
    "b": [1.1, 2.6, 7.5, 20.1],
}


def solve(url: str) -> dict[str, object]:
    answer = httpx.post(f"{url}/solve", json=SOLVE, headers={"Prefer": "wait=50"}, timeout=60)
    assert answer.status_code == 200, answer.text
    job: dict[str, object] = answer.json()
    return job


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != "zombie"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_serves_and_stops_clean(start: Callable[..., Up], tmp_path: Path, number: signal.Signals) -> None:
    up = start()
    url = up.url()
    assert httpx.get(f"{url}/docs").status_code == 200
    family = up.process.children(recursive=True)
    sockets = [
        entry for child in family for entry in child.net_connections("tcp") if entry.status == "LISTEN"
    ]
    assert {entry.laddr.ip for entry in sockets} == {"127.0.0.1"}
    assert len({entry.laddr.port for entry in sockets}) == 1
    before = time.monotonic()
    assert up.stop(number) == 0
    assert time.monotonic() - before < 10
    assert alive(family) == []
    assert not (tmp_path / "a data directory" / "valkey.socket.json").exists()


def test_it_solves_before_and_after_each_child_is_killed(start: Callable[..., Up]) -> None:
    up = start()
    url = up.url()
    assert solve(url)["status"] == "succeeded"
    for word in ("valkey-server", "service", "worker"):
        victim = up.child(word)
        victim.kill()
        victim.wait(10)
        wait_for(lambda: is_ready(url), READY_IN, up.words.read_text)
        assert solve(url)["status"] == "succeeded", word
        assert up.child(word).pid != victim.pid


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts(start: Callable[..., Up]) -> None:
    first = start()
    first_url = first.url()
    job = solve(first_url)
    family = first.process.children(recursive=True)
    first.process.kill()
    second = start()
    url = second.url()
    assert alive(family) == []
    assert httpx.get(f"{url}/jobs/{job['id']}").json()["status"] == "succeeded"


def test_one_data_directory_has_one_supervisor(start: Callable[..., Up]) -> None:
    first = start()
    first.url()
    second = start()
    assert second.process.wait(timeout=20) == 1
    assert f"is in use by `newtond up`, process {first.process.pid}" in second.words.read_text()
    assert len(second.words.read_text().splitlines()) == 1


def test_a_taken_port_is_said_in_one_line(start: Callable[..., Up], tmp_path: Path) -> None:
    port = start().url().rpartition(":")[2]
    second = Up(tmp_path / "other data", "--port", port)
    assert second.process.wait(timeout=20) == 1
    assert second.words.read_text().startswith(f"newtond: cannot listen on 127.0.0.1:{port}: ")
    assert len(second.words.read_text().splitlines()) == 1


def test_it_gives_up_on_a_child_that_dies_at_once_again_and_again(start: Callable[..., Up]) -> None:
    up = start(NEWTOND_LOG_LEVEL="shouting")
    assert up.process.wait(timeout=60) == 1
    assert re.search(r"newtond: \S+ ended with status \d+ at once, 5 times in a row", up.words.read_text())


@pytest.mark.parametrize(("flag", "value"), [("--port", "70000"), ("--workers", "0"), ("--threads", "many")])
def test_a_wrong_setting_is_named(start: Callable[..., Up], flag: str, value: str) -> None:
    up = start(flag, value)
    assert up.process.wait(timeout=20) == 2
    assert f"newtond: NEWTOND_{flag[2:].upper()}: " in up.words.read_text()


def test_workers_are_restarted_one_by_one_and_the_api_is_not(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    up = start("--workers", "2")
    url = up.url()
    api = up.child("service").pid
    before = {child.pid for child in up.process.children() if "worker" in child.cmdline()}
    command = [Path(sys.executable).with_name("newtond"), "restart-workers", "--data-dir"]
    assert subprocess.run([*command, tmp_path / "a data directory"]).returncode == 0

    def renewed() -> bool:
        now = {child.pid for child in up.process.children() if "worker" in child.cmdline()}
        return len(now) == 2 and not now & before

    wait_for(renewed, 60, up.words.read_text)
    words = up.words.read_text()
    assert words.index("worker-1 is restarted") < words.index("worker-2 is restarted")
    assert solve(url)["status"] == "succeeded"
    assert up.child("service").pid == api
    none = subprocess.run([*command, tmp_path / "nowhere"], capture_output=True, text=True)
    assert (none.returncode, none.stderr.startswith("newtond: no `newtond up` runs on")) == (1, True)


def test_the_api_is_given_the_time_that_it_was_told_to_leave_in(start: Callable[..., Up]) -> None:
    up = start(NEWTOND_DRAIN_SECONDS="12", NEWTOND_SHUTDOWN_SECONDS="1")
    url = up.url()
    up.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    while time.monotonic() < began + 11:
        time.sleep(0.5)
        answer = httpx.get(f"{url}/readyz")
    assert answer.json()["source"] == {"check": "draining"}
    assert up.process.wait(timeout=20) == 0
