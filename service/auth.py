"""Who asks, and what they may: Bearer keys (RFC 6750); on loopback, while no key was ever made, anyone."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from newtond.contract.errors import Forbidden, Unauthorised
from newtond.store.credentials import SCOPES, Credentials, Scope, is_loopback
from newtond.store.tenant import DEFAULT

READING = ("GET", "HEAD", "OPTIONS")
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

Key = Annotated[
    HTTPAuthorizationCredentials | None,
    Security(
        HTTPBearer(scheme_name="key", auto_error=False, description="an API key of `newtond keys create`")
    ),
]
"""Asked for so that the OpenAPI document says it; the door reads the header by itself."""


@dataclass(frozen=True)
class Caller:
    """A tenant, and the scopes that this request has in it."""

    tenant: str
    scopes: tuple[Scope, ...]

    def check(self, scope: Scope) -> None:
        """Raise Forbidden unless the caller has the scope; admin has every one."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(f"This key has not the scope {scope}.", source={"scope": scope})


ANYONE = Caller(DEFAULT, SCOPES)


@dataclass(frozen=True)
class Door:
    """Lets callers in; without a key only where ``open`` and while no key was ever made."""

    credentials: Credentials
    open: bool
    anywhere: bool

    def caller(self, request: Request) -> Caller:
        """Return who asks; raises Unauthorised, and Forbidden for another site's page without a key."""
        headers = request.headers.getlist("authorization")
        if not headers and self.open and not self.credentials.exist():
            self._check_site(request)
            return ANYONE
        if len(headers) != 1:
            raise Unauthorised("Send one header: Authorization: Bearer <API key>.")
        scheme, _, key = headers[0].partition(" ")
        credential = self.credentials.verify(key.strip()) if scheme.lower() == "bearer" else None
        if credential is None:
            raise Unauthorised("This is no valid API key; it may have expired or been revoked.")
        return Caller(credential.tenant, credential.scopes)

    def _check_site(self, request: Request) -> None:
        """Refuse what a browser sends for a page of another site, also by a name that leads to loopback."""
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        if not (self.anywhere or is_loopback(_name(host))):
            raise Forbidden("Without API keys only requests to localhost are answered.")
        if origin is not None and origin.partition("://")[2] != host:
            raise Forbidden("Without API keys no request of another site's page is answered.")


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


def needed_scope(request: Request) -> Scope:
    """Return the scope that a request needs: what changes nothing needs ``read``, all else ``solve``."""
    return "read" if request.method in READING else "solve"


def is_local(request: Request) -> bool:
    """Say whether a request comes from this machine, and not through a proxy on it."""
    local = request.client is not None and is_loopback(request.client.host)
    return local and not any(name in request.headers for name in FORWARDED)
