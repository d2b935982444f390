"""A batch in the browser: found in the list, followed while it is solved, compared, saved, deleted."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Download, Page, expect

from tests.browser.conftest import HOSTILE, SECONDS, Site
from tests.service.conftest import Service, example

OpenPage = Callable[..., Page]


def test_the_list_filters_and_leads_to_a_batch(
    site: Site, open_page: OpenPage, batch: dict[str, Any]
) -> None:
    page = open_page(site.url, "/pages/batches")
    page.get_by_label("Tag").fill("path")
    page.get_by_role("button", name="Filter").click()
    row = page.locator("#rows tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("3 ridges")
    expect(row).to_contain_text("3 succeeded")
    expect(row).to_contain_text(HOSTILE)
    assert page.title() != "taken over"
    page.get_by_label("State").select_option("not ended")
    expect(page.locator("#empty")).to_have_text("No batch here.")
    page.go_back()
    row.get_by_role("link").click()
    page.wait_for_url(f"**/pages/batches/{batch['id']}")
    expect(page.locator("#batch-title")).to_contain_text("3 ridges")


def test_a_batch_says_what_came_of_each_of_its_jobs(
    site: Site, open_page: OpenPage, batch: dict[str, Any]
) -> None:
    page = open_page(site.url, f"/pages/batches/{batch['id']}")
    table = page.get_by_role("table", name="Jobs, in the order asked for")
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(3)
    for k, ridge in enumerate(["1", "0.1", "0.01"]):
        expect(rows.nth(k).locator("td").nth(1)).to_have_text(ridge)
        expect(rows.nth(k)).to_contain_text("global minimum")
        where = rows.nth(k).get_by_role("link")
        expect(where).to_have_attribute("href", f"/pages/jobs/{batch['members'][k]['job_id']}")
    expect(page.locator("#batch-tags")).to_contain_text(HOSTILE)
    assert page.title() != "taken over"
    rows.first.get_by_role("link").click()
    page.get_by_role("link", name="Part of a batch").click()
    page.wait_for_url(f"**/pages/batches/{batch['id']}")


def test_all_or_the_chosen_are_compared(site: Site, open_page: OpenPage, batch: dict[str, Any]) -> None:
    page = open_page(site.url, f"/pages/batches/{batch['id']}")
    page.get_by_role("link", name="Compare all 3").wait_for()
    page.get_by_label("Choose job 1 to compare").check()
    page.get_by_label("Choose job 3 to compare").check()
    page.get_by_role("link", name="Compare chosen (2)").click()
    wanted = [f"job={batch['members'][k]['job_id']}" for k in (0, 2)]
    page.wait_for_url(f"**/pages/compare?{'&'.join(wanted)}")
    expect(page.get_by_role("table", name="Compared jobs").locator("thead th")).to_have_count(3)


def test_the_summary_is_saved(site: Site, open_page: OpenPage, batch: dict[str, Any]) -> None:
    page = open_page(site.url, f"/pages/batches/{batch['id']}")
    assert json.loads(saved(page, "json").read_text()) == batch
    with saved(page, "csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["job_id"] for row in rows] == [member["job_id"] for member in batch["members"]]
    assert [float(row["loss"]) for row in rows] == [member["loss"] for member in batch["members"]]
    assert {row["curvature"] for row in rows} == {"global_minimum"}


def saved(page: Page, suffix: str) -> Path:
    with page.expect_download() as waited:
        page.get_by_role("button", name=f"Download the summary as {suffix}").click()
    download: Download = waited.value
    assert download.suggested_filename.endswith(f".{suffix}")
    return Path(download.path())


def test_a_batch_is_followed_to_its_end_with_a_kill_in_between(
    site: Site, client: httpx.Client, open_page: OpenPage
) -> None:
    body = {"solve": example(), "ridges": [10.0 / 2.0**k for k in range(10)]}
    made = client.post("/batches", json=body).json()
    page = open_page(site.url, f"/pages/batches/{made['id']}")
    expect(page.get_by_role("link", name="Compare the first 8")).to_be_visible()
    site.kill_worker()
    expect(page.locator("#batch-counts")).to_have_text("10 succeeded", timeout=2 * SECONDS)
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    expect(page.locator("#tiles")).to_contain_text("10 of 10")


def test_a_batch_that_waits_is_cancelled_and_deleted(quiet_site: Service, open_page: OpenPage) -> None:
    with quiet_site.client() as client:
        made = client.post("/batches", json={"solve": example(), "ridges": [1.0, 0.1]}).json()
    page = open_page(quiet_site.url, f"/pages/batches/{made['id']}")
    expect(page.locator("#batch-counts")).to_have_text("2 queued")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the batch").click()
    expect(page.locator("#batch-counts")).to_have_text("2 cancelled")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete the batch").click()
    page.wait_for_url("**/pages/batches")
    expect(page.locator("#empty")).to_contain_text("No batch yet")
