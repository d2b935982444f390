"""A real Chromium on a real service; what a page loads from elsewhere, throws or logs as an error fails its test."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.conftest import Valkey, WorkerProcesses
from tests.service.conftest import Service, example, finish, running_service, running_valkey, service_root

__all__ = ["service_root"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60_000
expect.set_options(timeout=SECONDS / 2)
HOSTILE = "<img src=x onerror=\"document.title='taken over'\">"


def chromium() -> str | None:
    """Return the Chromium of this machine: NEWTOND_CHROMIUM, or one on PATH."""
    return os.environ.get("NEWTOND_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Site:
    """A service, its worker, and the way to kill that."""

    service: Service
    start_worker: Callable[..., "subprocess.Popen[bytes]"]
    worker: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return self.service.url

    def kill_worker(self) -> None:
        """Kill the worker, unasked, and start another."""
        self.worker.kill()
        self.worker.wait()
        self.worker = self.start_worker()


@dataclass
class Watched:
    """A page, and what went wrong on it."""

    page: Page
    origin: str
    expected: str | None = None
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._asked)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.set_default_timeout(SECONDS)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.origin, f"blob:{self.origin}")):
            self.wrong.append(f"a request to {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and (self.expected is None or self.expected not in message.text):
            self.wrong.append(f"{message.text} at {message.location}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a file's tests, and no longer: Playwright keeps an event loop running in the thread."""
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium on this machine; apt-get install chromium, or set NEWTOND_CHROMIUM")
    with sync_playwright() as playwright:
        # root may not have Chromium's sandbox
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=path, args=options)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def site(service_root: Path) -> Iterator[Site]:
    with (
        running_valkey() as valkey,
        running_service(service_root / "pages", valkey.url, reconcile_seconds=0.5) as service,
        WorkerProcesses(valkey.url, service.data_dir) as start_worker,
    ):
        yield Site(service, start_worker, start_worker())


@pytest.fixture(scope="session")
def quiet_site(service_root: Path) -> Iterator[Service]:
    """A service whose queue nobody serves."""
    with running_valkey() as valkey, running_service(service_root / "quiet", valkey.url) as service:
        yield service


@pytest.fixture
def mortal_service(tmp_path: Path, own_valkey: Valkey) -> Iterator[Service]:
    """A service that a test may stop and start."""
    with running_service(tmp_path, own_valkey.url) as service:
        yield service


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with site.service.client() as client:
        yield client


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Open a page of a service; in the end nothing may have gone wrong on it but what is ``expected`` to."""
    watched: list[Watched] = []

    def begin(origin: str, path: str, expected: str | None = None) -> Page:
        watched.append(Watched(context.new_page(), origin, expected))
        watched[-1].page.goto(origin + path)
        return watched[-1].page

    yield begin
    assert [wrong for each in watched for wrong in each.wrong] == []


def solved(client: httpx.Client, kind: str = "hyperbolic", **changes: Any) -> str:
    """Solve an example, changed, and return the job's id."""
    answer = client.post("/solve", json=example(kind) | changes)
    assert answer.status_code == 202, answer.text
    job = finish(client, answer.json()["id"])
    assert job["status"] == "succeeded", job
    return str(job["id"])


@pytest.fixture(scope="session")
def batch(site: Site) -> dict[str, Any]:
    """A path of ridges that was solved, with a tag that would be markup if it could."""
    with site.service.client() as client:
        body = {"solve": example("least_squares") | {"tags": [HOSTILE, "path"]}, "ridges": [1.0, 0.1, 0.01]}
        made = client.post("/batches", json=body).json()
        for _ in range(30):
            made = client.get(f"/batches/{made['id']}", headers={"Prefer": "wait=5"}).json()
            if made["finished"]:
                return dict(made)
        raise AssertionError(made)


@pytest.fixture(scope="session")
def jobs(site: Site) -> list[str]:
    """Two jobs that succeeded, one of them with names and tags that would be markup if they could."""
    with site.service.client() as client:
        names = [HOSTILE, "height in feet"]
        hostile = solved(client, "least_squares", tags=[HOSTILE, "kept"], column_names=names)
        return [solved(client, tags=["kept"]), hostile]
