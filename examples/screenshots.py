"""Pictures of every page, taken in Chromium from a server of their own with real solves: writes docs/images/.

The flights of the demo (see flights.py) are solved while the pictures of the live page are taken; the papers' own
method on samples of three sizes is what the comparison shows. NEWTOND_CHROMIUM names a Chromium that is not on PATH.
"""

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flights_table as table
import httpx
import numpy as np
import scipy.sparse
from calls import checked, server
from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT, PATIENCE = 1280, 860, 600_000
ROWS, COLUMNS, SAMPLES = 20_000, 30, (200, 400, 1600)
RIDGES = [10.0, 1.0, 0.1, 0.01, 0.001, 0.0]


def main() -> None:
    """Solve, and take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with server() as url, httpx.Client(base_url=url, timeout=600) as client, camera() as page:
        compared = [solve_sampled(client, rows) for rows in SAMPLES]
        for kind in ("least_squares", "softmax", "attention"):
            example = checked(client.get(f"/problems/{kind}")).json()["example"]
            finish(client, checked(client.post("/solve", json=example)).json())
        path = solve_path(client)
        flights = submit_flights(client)
        take_live(page, f"{url}/pages/jobs/{flights}")
        take(page, f"{url}/", "jobs", "#rows tr", scheme="light")
        finish(client, {"id": flights})
        take(page, f"{url}/pages/jobs/{flights}", "job", "#certificate .verdict", whole=True)
        take(page, f"{url}/pages/jobs/{flights}", "job-dark", "#certificate .verdict", scheme="dark")
        take(
            page,
            f"{url}/pages/compare?{'&'.join(f'job={job}' for job in compared)}",
            "compare",
            "#table table",
        )
        take(page, f"{url}/pages/batches", "batches", "#rows tr")
        take(page, f"{url}/pages/batches/{path}", "batch", "#rows tr", whole=True)
        take(page, f"{url}/pages/batches/{path}", "batch-dark", "#rows tr", scheme="dark", whole=True)
        take(page, f"{url}/pages/problems", "problems", ".kind", scheme="dark")
        take(page, f"{url}/pages/solve?kind=softmax", "solve", ".input.array")
        take(page, f"{url}/docs", "reference", ".endpoint")


@contextmanager
def camera() -> Iterator[Page]:
    """A page of a Chromium without a window."""
    path = os.environ.get("NEWTOND_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        sys.exit("there is no Chromium on PATH: apt-get install chromium, or set NEWTOND_CHROMIUM")
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=options)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=1.5)
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def take(page: Page, url: str, name: str, shown: str, *, scheme: str = "light", whole: bool = False) -> None:
    """Take the picture of a page once ``shown`` is there."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(url)
    page.locator(shown).first.wait_for()
    keep(page, name, whole=whole)


def take_live(page: Page, url: str) -> None:
    """Take the picture of a job while its curves grow."""
    page.goto(url)
    page.wait_for_function(
        "() => /^Iteration [4-9]/.test(document.querySelector('.reading')?.textContent ?? '')"
    )
    keep(page, "live")


def keep(page: Page, name: str, *, whole: bool = False) -> None:
    """Write what a page shows as docs/images/<name>.webp."""
    page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    picture.convert("RGB").save(IMAGES / f"{name}.webp", quality=86, method=6)
    print(f"docs/images/{name}.webp: {(IMAGES / f'{name}.webp').stat().st_size // 1000} kB")


def submit_flights(client: httpx.Client) -> str:
    """Upload the demo's table and return the id of its solve."""
    flights = table.read()
    design, target = io.BytesIO(), io.BytesIO()
    scipy.sparse.save_npz(design, flights.design)
    np.save(target, flights.air_time)
    spec = {
        "problem": {"kind": "hyperbolic", "function": "exp"},
        "intercept": True,
        "column_names": flights.names,
        "tags": ["flights", "minutes in the air"],
    }
    return str(submit(client, spec, A=("A.npz", design.getvalue()), b=("b.npy", target.getvalue()))["id"])


def solve_sampled(client: httpx.Client, rows: int) -> str:
    """Solve an exp regression by the papers' own method on a leverage-score sample; return the job's id."""
    generator = np.random.default_rng(11)
    A = generator.normal(size=(ROWS, COLUMNS)) / COLUMNS**0.5
    b = np.exp(A @ generator.normal(size=COLUMNS)) + 0.1 * generator.normal(size=ROWS)
    spec = {
        "problem": {"kind": "hyperbolic", "function": "exp"},
        "regulariser": {"weights": "convex", "margin": 0.1},
        "solver": {"hessian": "paper", "sketch": {"kind": "leverage", "rows": rows}},
        "tags": ["the papers' method", f"{rows} sampled rows"],
    }
    return finish(client, submit(client, spec, A=("A.npy", npy(A)), b=("b.npy", npy(b))))


def solve_path(client: httpx.Client) -> str:
    """Solve an exp regression along a path of ridges; return the batch's id."""
    example = checked(client.get("/problems/hyperbolic")).json()["example"]
    body = {"solve": example | {"tags": ["a path"]}, "ridges": RIDGES}
    batch = dict(checked(client.post("/batches", json=body)).json())
    for member in batch["members"]:
        finish(client, {"id": member["job_id"]})
    return str(batch["id"])


def npy(array: np.ndarray) -> bytes:
    """Return the .npy file of an array."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def submit(client: httpx.Client, spec: dict[str, Any], **files: tuple[str, bytes]) -> dict[str, Any]:
    """Submit a solve and return the job."""
    return dict(checked(client.post("/solve", files={**files, "spec": (None, json.dumps(spec))})).json())


def finish(client: httpx.Client, job: dict[str, Any]) -> str:
    """Wait until a job has ended and return its id."""
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end:
        found = checked(client.get(f"/jobs/{job['id']}", headers={"Prefer": "wait=30"})).json()
        if found["status"] == "succeeded":
            return str(found["id"])
        if found["status"] in ("failed", "cancelled"):
            sys.exit(f"{job['id']} {found['status']}: {found['error']}")
    sys.exit(f"{job['id']} did not end")


if __name__ == "__main__":
    main()
