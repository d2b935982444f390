"""Anybody's text stays text, the key stays in its tab, and no page needs a network."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from newtond.store.credentials import Credentials
from tests.browser.conftest import HOSTILE, Site
from tests.service.conftest import Service

OpenPage = Callable[..., Page]


def unharmed(page: Page) -> None:
    assert page.title() != "taken over"
    assert page.locator("img[src='x']").count() == 0


def test_tags_and_column_names_cannot_be_markup(site: Site, open_page: OpenPage, jobs: list[str]) -> None:
    page = open_page(site.url, f"/pages/jobs/{jobs[1]}")
    expect(page.locator("#job-tags")).to_contain_text(HOSTILE)
    expect(page.get_by_role("table", name="Largest coefficients")).to_contain_text(HOSTILE)
    unharmed(page)
    page = open_page(site.url, "/?tag=kept")
    expect(page.locator("#rows")).to_contain_text(HOSTILE)
    unharmed(page)
    page = open_page(site.url, f"/pages/compare?job={jobs[1]}&job={jobs[0]}")
    expect(page.get_by_role("table", name="Compared jobs")).to_contain_text(HOSTILE)
    unharmed(page)


def test_what_an_address_says_cannot_be_markup(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.url, f"/pages/compare?job={HOSTILE}", expected="a status of 404")
    expect(page.get_by_role("alert")).to_be_visible()
    unharmed(page)
    page = open_page(site.url, f"/?tag={HOSTILE}")
    expect(page.get_by_label("Tag")).to_have_value(HOSTILE)
    expect(page.locator("#rows")).to_contain_text(HOSTILE)
    unharmed(page)


def test_the_policy_stops_markup_that_a_defect_would_let_in(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.url, "/", expected="requires 'TrustedHTML'")
    said = page.evaluate(
        "text => { try { document.body.innerHTML = text; return 'let in'; } catch (error) { return error.name; } }",
        HOSTILE,
    )
    assert said == "TypeError"
    unharmed(page)


def test_a_service_with_keys_is_asked_with_one_that_is_forgotten_with_the_tab(
    mortal_service: Service, open_page: OpenPage
) -> None:
    key, _ = Credentials(mortal_service.data_dir).create("acme")
    page = open_page(mortal_service.url, "/", expected="a status of 401")
    expect(page.get_by_role("dialog", name="API key")).to_contain_text("wants a key")
    page.get_by_role("textbox", name="API key").fill(key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("button", name="API key: set")).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#empty")).to_contain_text("No job yet")
    with page.expect_request("**/jobs?*") as call:
        page.get_by_role("button", name="Filter").click()
    assert call.value.headers["authorization"] == f"Bearer {key}"
    assert key not in page.evaluate("JSON.stringify([localStorage, document.cookie, location.href])")
    other = open_page(mortal_service.url, "/", expected="a status of 401")
    expect(other.get_by_role("dialog", name="API key")).to_be_visible()
    other.keyboard.press("Escape")
    expect(other.get_by_role("alert")).to_contain_text("Bearer")
