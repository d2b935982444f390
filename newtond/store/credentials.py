"""API keys at rest: their digests, in write-once files, so that every process sees a change at once.

credentials/<key id>.json      digest, tenant, scopes, expiry
credentials/<key id>.revoked   the key is revoked, for good

A key is ``ntd_<key id>_<secret>``; the secret, 256 random bits, is not kept. Its digest needs no salt and no
slow hash: there is nothing to guess.
"""

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from newtond.contract.errors import InvalidSpec, NotFound, SetupError
from newtond.contract.model import Model
from newtond.store.files import write_once
from newtond.store.tenant import DEFAULT, check_name

Scope = Literal["solve", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("solve", "read", "admin")
KEY = re.compile(r"ntd_([0-9a-f]{12})_([0-9a-f]{64})")
KEY_ID = re.compile(r"[0-9a-f]{12}")
NOBODY = hashlib.sha256(b"").hexdigest()


class Credential(Model):
    """What is kept of a key: who it stands for, and what it may do until when."""

    format: Literal[1] = 1
    id: str
    sha256: str
    tenant: str = DEFAULT
    scopes: tuple[Scope, ...]
    label: str = ""
    created_at: datetime
    expires_at: datetime | None = None

    def expired(self) -> bool:
        """Say whether its time is over."""
        return self.expires_at is not None and datetime.now(UTC) >= self.expires_at


class Credentials:
    """The keys of one data directory."""

    def __init__(self, data: Path) -> None:
        self.root = data / "credentials"

    def create(
        self,
        tenant: str = DEFAULT,
        scopes: Sequence[str] = ("solve", "read"),
        days: float | None = None,
        label: str = "",
    ) -> tuple[str, Credential]:
        """Make a key; return it (it cannot be had again) and what is kept. Raises InvalidSpec."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        id, secret, now = secrets.token_hex(6), secrets.token_hex(32), datetime.now(UTC)
        key = f"ntd_{id}_{secret}"
        credential = Credential(
            id=id,
            sha256=_digest(key),
            tenant=check_name(tenant),
            scopes=_scopes(scopes),
            label=label,
            created_at=now,
            expires_at=None if days is None else now + timedelta(days=days),
        )
        if not write_once(self._path(id, "json"), credential.model_dump_json().encode()):
            raise SetupError("a key of this id exists already; try again")
        return key, credential

    def revoke(self, id: str) -> bool:
        """Revoke a key for good, False if it was already; raises NotFound."""
        if not KEY_ID.fullmatch(id) or not self._path(id, "json").exists():
            raise NotFound(f"there is no key {id[:40]}; see `newtond keys list`")
        return write_once(self._path(id, "revoked"), b"")

    def revoked(self, id: str) -> bool:
        """Say whether a key is revoked."""
        return self._path(id, "revoked").exists()

    def all(self) -> list[Credential]:
        """Return what is kept of every key, the oldest first."""
        found = [Credential.model_validate_json(path.read_bytes()) for path in self._files()]
        return sorted(found, key=lambda credential: credential.created_at)

    def exist(self) -> bool:
        """Say whether a key was ever made; revoking all of them does not open the doors again."""
        return any(self._files())

    def _files(self) -> Iterator[Path]:
        """Raises OSError where the folder cannot be read: no keys seen must not mean no keys needed."""
        try:
            paths = list(self.root.iterdir())
        except FileNotFoundError:
            return
        yield from (path for path in paths if path.suffix == ".json" and KEY_ID.fullmatch(path.stem))

    def verify(self, key: str) -> Credential | None:
        """Return the credential of a key that is valid now; compared in constant time."""
        match = KEY.fullmatch(key)
        credential = self._read(match[1]) if match else None
        same = compare_digest(_digest(key), credential.sha256 if credential else NOBODY)
        if credential is None or not same or credential.expired() or self.revoked(credential.id):
            return None
        return credential

    def _read(self, id: str) -> Credential | None:
        try:
            return Credential.model_validate_json(self._path(id, "json").read_bytes())
        except FileNotFoundError:
            return None

    def _path(self, id: str, suffix: str) -> Path:
        return self.root / f"{id}.{suffix}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _scopes(given: Sequence[str]) -> tuple[Scope, ...]:
    if unknown := set(given) - set(SCOPES):
        raise InvalidSpec(f"There is no scope {', '.join(sorted(unknown))}: solve, read and admin are.")
    if not given:
        raise InvalidSpec("A key needs a scope: solve, read or admin.")
    return tuple(scope for scope in SCOPES if scope in given)


def check_exposed(host: str, credentials: Credentials, anonymous: bool) -> None:
    """Raise SetupError where a service without keys would be reached from beyond this machine."""
    if not (anonymous or is_loopback(host) or credentials.exist()):
        raise SetupError(
            f"{host} is reached from beyond this machine and there are no API keys: make one with "
            "`newtond keys create`, or say --allow-anonymous-from-anywhere"
        )


def is_loopback(host: str) -> bool:
    """Say whether an address is of this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
