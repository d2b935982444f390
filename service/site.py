"""The browser pages as answers: read once from the package, framed alike, under one strict policy.

Nothing loads from elsewhere and nothing runs inline. Trusted Types forbid the sinks that turn a string into
markup, so tags and column names, which are anybody's text, can only ever become text.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from fastapi.responses import Response

from newtond.contract.errors import NotFound
from service.entity_tag import entity_tag, matches

PAGES = {
    "jobs": "Jobs",
    "job": "Job",
    "batches": "Batches",
    "batch": "Batch",
    "solve": "New solve",
    "problems": "Catalogue",
    "compare": "Compare",
    "reference": "API reference",
}
"""Every page and its title; its fragment is ``<name>.html``, its module ``assets/<name>.js``."""

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class SiteFile:
    """One file as it is sent."""

    body: bytes
    media_type: str

    def answer(self, if_none_match: str | None) -> Response:
        """Return the file, or 304 to a caller that has it."""
        headers = {"ETag": entity_tag(self.body), "Cache-Control": "no-cache"} | SECURITY_HEADERS
        if matches(if_none_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers | {"Content-Type": self.media_type})


@cache
def page(name: str) -> SiteFile:
    """Return a page of ``PAGES``: the frame around its fragment."""
    folder = files("service.pages")
    frame = Template((folder / "frame.html").read_text(encoding="utf-8"))
    main = (folder / f"{name}.html").read_text(encoding="utf-8")
    body = frame.substitute(name=name, title=PAGES[name], main=main)
    return SiteFile(body.encode(), "text/html; charset=utf-8")


@cache
def assets() -> dict[str, SiteFile]:
    """Return every asset by its file name: what is not in here is not served."""
    folder = files("service.pages") / "assets"
    found = [each for each in folder.iterdir() if each.name.rpartition(".")[2] in MEDIA_TYPES]
    return {
        each.name: SiteFile(each.read_bytes(), MEDIA_TYPES[each.name.rpartition(".")[2]]) for each in found
    }


def asset(name: str) -> SiteFile:
    """Return an asset; raises NotFound."""
    if name not in assets():
        raise NotFound("There is no such file.")
    return assets()[name]
