"""axe finds nothing on any page, light or dark; every page works without a mouse and without motion."""

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site

OpenPage = Callable[..., Page]
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"


def violations(page: Page) -> list[str]:
    """Run axe on a page as it stands, and say what it finds."""
    page.evaluate(AXE)
    return [
        f"{found['id']}: {found['help']}: {[node['html'][:160] for node in found['nodes'][:3]]}"
        for found in page.evaluate(RUN)
    ]


def open_everything(page: Page) -> None:
    page.evaluate("document.querySelectorAll('main details').forEach(details => { details.open = true; })")
    page.wait_for_timeout(200)


def ready(page: Page, path: str, jobs: list[str]) -> None:
    """Wait until a page shows what it is for."""
    shown = {
        "/": "#rows tr",
        "/docs": ".endpoint",
        "/pages/solve": ".input.array",
        "/pages/problems": ".kind",
        "/pages/compare": "#table table",
        "/pages/jobs": "#certificate .verdict",
        "/pages/batches": "#rows tr",
    }
    page.locator(
        next(shown[key] for key in sorted(shown, reverse=True) if path.startswith(key))
    ).first.wait_for()
    expect(page.locator("#version")).to_contain_text(".")


PATHS = [
    "/",
    "/pages/jobs/{0}",
    "/pages/jobs/{1}",
    "/pages/batches",
    "/pages/batches/{batch}",
    "/pages/solve",
    "/pages/problems",
    "/pages/compare?job={0}&job={1}",
    "/docs",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing(
    site: Site, open_page: OpenPage, jobs: list[str], batch: dict[str, Any], path: str, scheme: str
) -> None:
    page = open_page(site.url, path.format(*jobs, batch=batch["id"]))
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    ready(page, path, jobs)
    if path != "/docs":
        open_everything(page)
    else:
        page.locator("details.try").first.locator("summary").first.click()
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_dialog_or_a_refusal(
    site: Site, open_page: OpenPage, jobs: list[str], scheme: str
) -> None:
    page = open_page(site.url, f"/pages/jobs/{jobs[0]}")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("dialog", name="Delete this job?")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page = open_page(site.url, f"/pages/compare?job=job_{'0' * 26}", expected="a status of 404")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_a_chosen_theme_holds_against_the_systems_and_is_kept(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.url, "/")
    page.emulate_media(color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Theme: system").click()
    light = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == light
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Theme: light").click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(paper) == dark


def test_nothing_moves_for_whom_motion_is_reduced(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.url, "/")
    expect(page.locator("#live.on")).to_be_visible()
    animation = "getComputedStyle(document.querySelector('#live .dot')).animationName"
    assert page.evaluate(animation) == "beat"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(animation) == "none"


WALK = """() => {
  const focusable = 'a[href], button:not([disabled]), input:not([disabled]), select, textarea, summary, [tabindex="0"]';
  const seen = (node) => node.checkVisibility() && !(node.type === 'radio' && !node.checked);
  return [...document.querySelectorAll(focusable)].filter(seen).length;
}"""
HERE = """() => {
  const node = document.activeElement;
  if (node === document.body) return null;
  node.dataset.walked ??= String(document.querySelectorAll('[data-walked]').length);
  const style = getComputedStyle(node.closest('.switch label')?.querySelector('span') ?? node);
  return [node.dataset.walked, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
}"""


@pytest.mark.parametrize("path", PATHS)
def test_every_control_is_reached_by_tab_and_seen(
    site: Site, open_page: OpenPage, jobs: list[str], batch: dict[str, Any], path: str
) -> None:
    page = open_page(site.url, path.format(*jobs, batch=batch["id"]))
    ready(page, path, jobs)
    controls, reached = page.evaluate(WALK), {}
    for _ in range(controls + 5):
        page.keyboard.press("Tab")
        if (here := page.evaluate(HERE)) is not None:
            reached[here[0]] = here[1]
    assert len(reached) == controls
    assert all(reached.values()), reached


def test_an_example_is_solved_and_read_by_the_keyboard_alone(
    site: Site, client: httpx.Client, open_page: OpenPage
) -> None:
    page = open_page(site.url, "/pages/solve?kind=softmax")
    ready(page, "/pages/solve", [])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "solve":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/pages/jobs/job_*")
    expect(page.locator("#job-status")).to_have_text("succeeded")
    slider = page.get_by_role("slider", name="Read the curves at")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator(".reading")).to_have_text(re.compile(r"^Iteration 0 · loss"))
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^Iteration 1 · loss"))
    page.get_by_role("button", name="Delete", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_focused()
