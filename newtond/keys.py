"""``newtond keys``: API keys made, listed and revoked; a running service sees each change at once."""

from collections.abc import Callable
from pathlib import Path

from newtond.contract.errors import SetupError
from newtond.store import DataDirectory
from newtond.store.credentials import Credential, Credentials

Say = Callable[[str], None]
HEADER = ("id", "tenant", "scopes", "state", "created", "expires", "label")


def create(
    data: Path, *, tenant: str, scopes: str, days: str | None, label: str, say: Say, remark: Say
) -> None:
    """Make a key and say it, alone on its line; raises SetupError, InvalidSpec."""
    DataDirectory(data)
    key, kept = Credentials(data).create(tenant, _names(scopes), _days(days), label)
    remark(f"key {kept.id} of the tenant {kept.tenant}: {', '.join(kept.scopes)}; {_until(kept)}")
    remark("It is shown this once: only its digest is kept.")
    say(key)


def show(data: Path, say: Say) -> None:
    """Say every key there is, one a line."""
    credentials = Credentials(data)
    rows = [HEADER, *(_row(credentials, each) for each in credentials.all())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def revoke(data: Path, id: str, remark: Say) -> None:
    """Revoke a key for good; raises NotFound."""
    new = Credentials(data).revoke(id)
    remark(f"key {id} is revoked" if new else f"key {id} was revoked before")


def _names(scopes: str) -> list[str]:
    return [scope.strip() for scope in scopes.split(",") if scope.strip()]


def _days(days: str | None) -> float | None:
    if days is None:
        return None
    try:
        number = float(days)
    except ValueError:
        number = 0.0
    if not 0 < number < 36_500:
        raise SetupError("--days is a number of days, more than 0 and less than 36500")
    return number


def _row(credentials: Credentials, kept: Credential) -> tuple[str, ...]:
    state = "revoked" if credentials.revoked(kept.id) else "expired" if kept.expired() else "valid"
    created, expires = (
        f"{when:%Y-%m-%d}" if when else "never" for when in (kept.created_at, kept.expires_at)
    )
    return kept.id, kept.tenant, ",".join(kept.scopes), state, created, expires, kept.label


def _until(kept: Credential) -> str:
    return f"valid until {kept.expires_at:%Y-%m-%d %H:%M} UTC" if kept.expires_at else "without an end"
