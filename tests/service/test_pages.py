"""The pages as they are served: routes, headers, and markup that needs nothing from elsewhere and nothing inline."""

import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from newtond.contract.result import Curvature, Plan
from service.formats.media_type import FORMATS, known_format
from service.site import PAGES, POLICY
from tests.service.conftest import refusal

JOB = "job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"
BATCH = "batch_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"
PATHS = {
    "jobs": "/",
    "batches": "/pages/batches",
    "batch": f"/pages/batches/{BATCH}",
    "job": f"/pages/jobs/{JOB}",
    "solve": "/pages/solve",
    "problems": "/pages/problems",
    "compare": "/pages/compare",
    "reference": "/docs",
}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PACKAGE = Path(str(files("service.pages")))
ASSETS = sorted(PACKAGE.glob("assets/*"))
MODULES = [path for path in ASSETS if path.suffix == ".js"]


class Markup(HTMLParser):
    """What a page holds: its elements, and the ids that it gives."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style"):
            self.scripts += data.strip()

    @property
    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(params=PATHS)
def page(request: pytest.FixtureRequest, idle: httpx.Client) -> tuple[str, httpx.Response]:
    name: str = request.param
    return name, idle.get(PATHS[name], headers=HTML)


def test_every_page_has_a_path_here() -> None:
    assert set(PATHS) == set(PAGES)
    assert {path.stem for path in PACKAGE.glob("*.html")} == {*PAGES, "frame"}


def test_a_page_is_served_under_the_policy(page: tuple[str, httpx.Response]) -> None:
    name, answer = page
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert PAGES[name] in answer.text


def test_the_policy_forbids_what_it_must() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["object-src"] == rules["base-uri"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in POLICY


def test_the_markup_has_nothing_inline_and_nothing_from_elsewhere(page: tuple[str, httpx.Response]) -> None:
    _, answer = page
    markup = Markup(answer.text)
    assert markup.scripts == ""
    for tag, attributes in markup.elements:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for link in ("src", "href"):
            assert str(attributes.get(link, "/")).startswith(("/", "#")), attributes
            assert not str(attributes.get(link, "/")).startswith("//"), attributes


def test_the_markup_is_sound(page: tuple[str, httpx.Response]) -> None:
    _, answer = page
    markup = Markup(answer.text)
    assert len(markup.ids) == len(set(markup.ids))
    assert [tag for tag, _ in markup.elements].count("h1") == 1
    assert ("html", {"lang": "en"}) in markup.elements
    for tag, attributes in markup.elements:
        for reference in ("aria-labelledby", "list", "for"):
            if reference in attributes:
                assert attributes[reference] in markup.ids, (tag, attributes)


def test_what_a_page_loads_is_there(page: tuple[str, httpx.Response], idle: httpx.Client) -> None:
    _, answer = page
    loaded = re.findall(r'"(/assets/[^"]+)"', answer.text)
    assert loaded
    for path in loaded:
        assert idle.get(path).status_code == 200, path


@pytest.mark.parametrize("path", ASSETS, ids=lambda path: path.name)
def test_an_asset_is_served(path: Path, idle: httpx.Client) -> None:
    answer = idle.get(f"/assets/{path.name}")
    assert answer.content == path.read_bytes()
    media_types = {
        ".js": "text/javascript",
        ".css": "text/css",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
    }
    assert answer.headers["content-type"].startswith(media_types[path.suffix])
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = idle.get(f"/assets/{path.name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fframe.html", "__init__.py", "%2e%2e%2fsite.py"])
def test_nothing_else_is_served(name: str, idle: httpx.Client) -> None:
    refusal(idle.get(f"/assets/{name}"), 404)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_imports_what_is_there_and_builds_no_markup_from_text(path: Path) -> None:
    text = path.read_text()
    for imported in re.findall(r'from "([^"]+)"', text):
        assert (path.parent / imported).is_file(), imported
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "DOMParser",
    ):
        assert sink not in text, sink
    assert "://" not in text.replace("http://www.w3.org/1998/Math/MathML", "")


@pytest.mark.parametrize(
    "path", [path for path in ASSETS if path.suffix == ".css"], ids=lambda path: path.name
)
def test_a_style_sheet_loads_nothing_from_elsewhere(path: Path) -> None:
    assert "@import" not in path.read_text()
    assert not [
        url for url in re.findall(r"url\(([^)]*)\)", path.read_text()) if not url.startswith('"/assets/')
    ]


@pytest.mark.parametrize(
    ("module", "words"), [("plan", Plan.model_fields["hessian"].annotation), ("certificate", Curvature)]
)
def test_pages_have_words_for_all_that_the_contract_may_say(module: str, words: Any) -> None:
    text = (PACKAGE / "assets" / f"{module}.js").read_text()
    assert [word for word in get_args(words) if not re.search(rf"^  {word}: ", text, re.MULTILINE)] == []


def test_the_form_knows_the_endings_that_the_service_reads() -> None:
    text = (PACKAGE / "assets" / "inputs.js").read_text()
    endings = dict(re.findall(r'^  (\w+): "(\w+)",$', text, re.MULTILINE))
    assert endings == {ending: known_format(None, filename=f"A.{ending}") for ending in (*FORMATS, *endings)}


def test_the_ids_that_a_module_looks_for_are_in_its_page() -> None:
    frame = Markup((PACKAGE / "frame.html").read_text()).ids
    for name in PAGES:
        text = (PACKAGE / "assets" / f"{name}.js").read_text()
        there = {*frame, *Markup((PACKAGE / f"{name}.html").read_text()).ids}
        assert set(re.findall(r'by\("([^"]+)"\)', text)) <= there, name


def test_other_clients_get_what_they_got(idle: httpx.Client) -> None:
    for accept in ("application/json", "*/*", "application/json, text/html;q=0.5"):
        refusal(idle.get("/", headers={"Accept": accept}), 404)
    assert idle.get("/", headers=HTML).headers["vary"] == "Accept"


def test_a_malformed_job_has_no_page(idle: httpx.Client) -> None:
    refusal(idle.get("/pages/jobs/nothing"), 404)
    refusal(idle.get("/pages/batches/nothing"), 404)


def test_pages_are_no_part_of_the_api(idle: httpx.Client) -> None:
    paths = idle.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path.startswith(("/pages", "/assets", "/docs"))]
    assert "/" not in paths


def test_a_wheel_holds_the_pages(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    pages = {path.relative_to(root).as_posix() for path in [*PACKAGE.glob("*.html"), *ASSETS]}
    assert len(pages) > 30
    assert pages <= held
