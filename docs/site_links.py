"""The last look at the built site: every link and anchor leads somewhere, and nothing loads from another host."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.errors import ExtensionError

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


def setup(app: Any) -> dict[str, bool]:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}


def check(app: Any, error: Exception | None) -> None:
    """Raise ExtensionError with every fault of the built pages."""
    faults = [] if error or app.builder.name != "html" else sorted(set(broken(Path(app.outdir))))
    if faults:
        raise ExtensionError("\n".join(["broken links:", *faults]))


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if LOADED.get(tag, "") in given:
            self.loads.append(given[LOADED[tag]])


def broken(site: Path) -> Iterator[str]:
    """Return the faults of the site under a folder, one a line."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site)
        yield from (f"{where}: loads {link}" for link in page.loads if urlsplit(link).netloc)
        for link in page.links + page.loads:
            if not _leads(path, link, pages):
                yield f"{where}: {link}"
    for sheet in site.rglob("*.css"):
        if any(word in sheet.read_text() for word in ("url(http", 'url("http', "url(//", "@import")):
            yield f"{sheet.relative_to(site)}: loads from another host"


def _leads(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not parts.fragment or target not in pages:
        return target.exists()
    return unquote(parts.fragment) in pages[target].anchors
