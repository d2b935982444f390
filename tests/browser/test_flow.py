"""From a file to a result in the browser: upload, plan, the curve as it grows, a worker killed, the download."""

import gzip
import io
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SECONDS, Site, solved
from tests.service.conftest import finish, submit, submit_slow

OpenPage = Callable[..., Page]
ROWS, COLUMNS = 120_000, 20


@pytest.fixture
def regression(tmp_path: Path) -> dict[str, Path]:
    """An exp regression as files, large enough to be seen running."""
    generator = np.random.default_rng(7)
    A = generator.normal(size=(ROWS, COLUMNS)) / COLUMNS**0.5
    b = np.exp(A @ generator.normal(size=COLUMNS)) + 0.1 * generator.normal(size=ROWS)
    files = {name: tmp_path / f"{name}.npy" for name in ("A", "b")}
    for name, array in (("A", A), ("b", b)):
        np.save(files[name], array)
    return files


def iteration(page: Page) -> int:
    """Return the newest iteration that the figure tells of, -1 before the first."""
    words = page.locator(".reading").inner_text()
    return int(words.split()[1]) if words.startswith("Iteration") else -1


def picture(page: Page) -> str:
    found: str = page.locator("#chart canvas").evaluate("canvas => canvas.toDataURL()")
    return found


def wait_for_iteration(page: Page, least: int) -> None:
    page.wait_for_function(
        "least => { const [word, k] = (document.querySelector('.reading')?.textContent ?? '').split(' ');"
        " return word === 'Iteration' && Number(k) >= least; }",
        arg=least,
    )


def fill_in(page: Page, regression: dict[str, Path]) -> None:
    for name, path in regression.items():
        page.get_by_label(f"{name}, from a file").set_input_files(path)
        expect(page.get_by_label(f"{name}, as JSON or as an id")).to_have_value(
            re.compile("^sha256:[0-9a-f]{64}$")
        )
    page.get_by_text("Optional arrays").click()
    page.get_by_label("weights, as JSON or as an id", exact=True).fill("convex")
    page.get_by_text("Options: intercept").click()
    for pointer, value in {
        "/column_names": "",
        "/outputs": "",
        "/regulariser/margin": "0.1",
        "/solver/tolerance": "1e-12",
        "/solver/sketch/rows": "100",
    }.items():
        page.locator(f"[name='{pointer}']").fill(value)
    page.locator("[name='/intercept']").uncheck()
    page.locator("[name='/solver/hessian']").select_option("paper")
    page.locator("[name='/solver/sketch/kind']").select_option("leverage")
    page.get_by_label("One a line").fill("by browser\nkilled once")


def test_upload_plan_solve_kill_and_download(
    site: Site, client: httpx.Client, open_page: OpenPage, regression: dict[str, Path]
) -> None:
    page = open_page(site.url, "/pages/solve")
    fill_in(page, regression)
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator("#plan")).to_contain_text("the paper’s sampled Hessian")
    page.get_by_role("button", name="Solve", exact=True).click()
    page.wait_for_url("**/pages/jobs/job_*")
    job_id = page.url.rpartition("/")[2]

    wait_for_iteration(page, 3)
    early, first = picture(page), iteration(page)
    wait_for_iteration(page, first + 3)
    assert picture(page) != early

    site.kill_worker()
    expect(page.locator("#job-status")).to_have_text("succeeded", timeout=3 * SECONDS)
    assert client.get(f"/jobs/{job_id}").json()["attempt"] == 2
    tiles = page.locator("#tiles")
    assert client.get(f"/jobs/{job_id}").json()["termination"] in tiles.inner_text()
    expect(tiles).to_contain_text("went on from iteration")
    expect(page.locator("#certificate")).to_contain_text("minimum")
    assert (
        page.locator(".reading")
        .inner_text()
        .startswith(f"Iteration {client.get(f'/jobs/{job_id}').json()['iteration']} ")
    )

    with page.expect_download() as download:
        page.get_by_role("button", name="Download x as npy").click()
    saved = Path(download.value.path()).read_bytes()
    assert download.value.suggested_filename == "x.npy"
    assert saved == client.get(f"/jobs/{job_id}/result/x").content
    assert np.load(io.BytesIO(saved)).shape == (COLUMNS,)
    expect(page.locator("#job-tags")).to_contain_text("killed once")


@pytest.mark.parametrize(
    ("button", "path", "accept"),
    [
        ("Download x as csv", "/result/x", "text/csv"),
        ("Download x as mtx", "/result/x", "text/x-matrix-market"),
        ("Download x as json", "/result/x", "application/json"),
        ("Download the result and its certificate as json", "/result", "application/json"),
        ("Download the trace as csv", "/trace", "text/csv"),
        ("Download the trace as ndjson", "/trace", "application/x-ndjson"),
    ],
)
def test_every_format_is_downloaded(
    site: Site,
    client: httpx.Client,
    open_page: OpenPage,
    jobs: list[str],
    button: str,
    path: str,
    accept: str,
) -> None:
    page = open_page(site.url, f"/pages/jobs/{jobs[0]}")
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    answer = client.get(f"/jobs/{jobs[0]}{path}", headers={"Accept": accept})
    assert Path(download.value.path()).read_bytes() == answer.content


def test_cancel_and_delete_ask_first(site: Site, client: httpx.Client, open_page: OpenPage) -> None:
    job_id = submit_slow(client)
    page = open_page(site.url, f"/pages/jobs/{job_id}")
    wait_for_iteration(page, 1)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Keep it").click()
    assert not client.get(f"/jobs/{job_id}").json()["cancel_requested"]
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator("#job-status")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()

    page.get_by_role("button", name="Delete", exact=True).click()
    page.keyboard.press("Escape")
    assert client.get(f"/jobs/{job_id}").status_code == 200
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete the job").click()
    page.wait_for_url(f"{site.url}/")
    assert client.get(f"/jobs/{job_id}").status_code == 404


def test_a_refusal_shows_its_place(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.url, "/pages/solve", expected="a status of 422")
    target = page.get_by_label("b, as JSON or as an id")
    target.fill("[1, 2,")
    page.get_by_role("button", name="Solve", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("/b")
    expect(target).to_have_attribute("aria-invalid", "true")
    page.locator("#options").evaluate("options => { options.open = true; }")
    page.locator("[name='/solver/tolerance']").fill("7")
    target.fill("[1, 2]")
    page.get_by_role("button", name="Solve", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("/solver/tolerance")
    expect(page.locator("[name='/solver/tolerance']")).to_be_focused()


def test_a_file_of_several_arrays_fills_them_all(
    site: Site, client: httpx.Client, open_page: OpenPage, tmp_path: Path
) -> None:
    path = tmp_path / "A.svm.gz"
    path.write_bytes(gzip.compress(b"1.5 1:1 2:0.5\n2.5 1:2\n4.5 2:3\n"))
    page = open_page(site.url, "/pages/solve?kind=least_squares")
    page.get_by_label("A, from a file").set_input_files(path)
    for name, sizes in {"A": [3, 2], "b": [3]}.items():
        text = page.get_by_label(f"{name}, as JSON or as an id", exact=True)
        expect(text).to_have_value(re.compile("^sha256:[0-9a-f]{64}$"))
        assert client.get(f"/arrays/{text.input_value()}").json()["shape"] == sizes


def test_a_foreign_file_is_told_what_to_save_instead(site: Site, open_page: OpenPage, tmp_path: Path) -> None:
    path = tmp_path / "A.parquet"
    path.write_bytes(b"PAR1")
    page = open_page(site.url, "/pages/solve", expected="a status of 415")
    page.get_by_label("A, from a file").set_input_files(path)
    expect(page.get_by_role("alert")).to_contain_text("Parquet")
    expect(page.get_by_role("alert")).to_contain_text("save_npz")


def test_the_list_filters_pages_and_follows(site: Site, client: httpx.Client, open_page: OpenPage) -> None:
    mine = [submit(client, tags=["listed"])["id"] for _ in range(21)]
    finish(client, mine[-1])
    page = open_page(site.url, "/")
    page.get_by_label("Tag").fill("listed")
    page.get_by_role("button", name="Filter").click()
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(20)
    page.get_by_role("button", name="Older").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name="Older")).to_be_disabled()
    page.go_back()
    expect(rows).to_have_count(20)
    latest = solved(client, tags=["listed"])
    expect(rows.first.get_by_role("link")).to_have_attribute("href", f"/pages/jobs/{latest}", timeout=SECONDS)
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#empty")).to_be_visible()


def test_two_jobs_are_compared(
    site: Site, client: httpx.Client, open_page: OpenPage, jobs: list[str]
) -> None:
    page = open_page(site.url, "/?tag=kept")
    for job_id in jobs:
        page.get_by_label(f"Choose {job_id} to compare").check()
    page.get_by_role("button", name="Compare chosen (2)").click()
    table = page.get_by_role("table", name="Compared jobs")
    expect(table).to_contain_text("hyperbolic")
    expect(table).to_contain_text("least squares")
    label = page.locator("#chart canvas")
    expect(label).to_have_attribute("aria-label", re.compile("Loss above.* of 2 jobs"))
    page.get_by_role("radio", name="Gradient").check()
    expect(label).to_have_attribute("aria-label", re.compile("^Gradient norm of 2 jobs"))
    page.get_by_role("button", name=f"Remove {jobs[0]}").click()
    expect(page.locator("#table")).not_to_contain_text("hyperbolic")
