"""Without a URL a server is started, shared in the process, and gone when the process is, however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from newtond_client import Client, embedded, errors
from newtond_client.sklearn import SketchedLeastSquares

from tests.client.conftest import count, data
from tests.conftest import WaitUntil

HOLDER = """
import sys, time
from newtond_client import Client
first, second = Client(), Client()
assert first.url == second.url
print(first.url, flush=True)
sys.stdin.read()
"""
Holder = Callable[[], "tuple[subprocess.Popen[str], str, list[psutil.Process]]"]


@pytest.fixture
def holder() -> Iterator[Holder]:
    """Start a process that holds a server; return it, the URL and the server's processes."""
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple["subprocess.Popen[str]", str, list[psutil.Process]]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", HOLDER], text=True, **pipes)  # type: ignore[call-overload]
        started.append(process)
        url = process.stdout.readline().strip()
        return process, url, psutil.Process(process.pid).children(recursive=True)

    yield start
    for process in started:
        with process:  # which closes the pipes and waits
            process.kill()


def directory_of(family: list[psutil.Process]) -> Path:
    (up,) = (each for each in family if "--data-dir" in each.cmdline() and "up" in each.cmdline())
    words = up.cmdline()
    return Path(words[words.index("--data-dir") + 1]).parent


def gone(family: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != "zombie" for each in family)


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_the_server_ends_with_its_process(holder: Holder, wait_until: WaitUntil, end: str) -> None:
    process, url, family = holder()
    assert httpx.get(f"{url}/readyz").status_code == 200
    directory = directory_of(family)
    assert directory.is_dir()
    if end == "exit":
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(40) == 0
    else:
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: gone(family), 60)
    wait_until(lambda: not directory.exists(), 30)


def test_it_solves_and_starts_again_after_a_stop() -> None:
    A, b, _ = data(50, 3)
    urls = []
    try:
        for _ in range(2):
            with Client(progress=False) as client:
                assert client.solve("least_squares", A, b).x == pytest.approx(np.linalg.lstsq(A, b)[0])
                urls.append(client.url)
            embedded.stop()
    finally:
        embedded.stop()
    assert urls[0].startswith("http://127.0.0.1:")


def test_estimators_without_a_url_start_one_and_share_it() -> None:
    A, b, _ = data(50, 3)
    embedded.stop()
    try:
        models = [SketchedLeastSquares().fit(A, b), SketchedLeastSquares(ridge=1.0).fit(A, b)]
        first = embedded.server_url()
        with Client(progress=False) as client:
            assert client.url == first
            assert {job["id"] for job in client.jobs()} == {model.job_id_ for model in models}
        assert (count(first, "POST", "/solve"), count(first, "POST", "/arrays")) == (2, 2)
        embedded.stop()
        again = SketchedLeastSquares().fit(A, b)
        with Client(progress=False) as client:
            assert [job["id"] for job in client.jobs()] == [again.job_id_]
        assert again.coef_.tolist() == models[0].coef_.tolist()
    finally:
        embedded.stop()


def test_where_newtond_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(errors.ServerNotStarted, match="pip install newtond, or give the URL"):
        embedded.command()


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.stop()
    monkeypatch.setenv("NEWTOND_WORKERS", "none")
    with pytest.raises(errors.ServerNotStarted, match="NEWTOND_WORKERS: "):
        embedded.server_url()
