"""API keys at rest: only digests, valid until they expire or are revoked, seen by every process at once."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newtond.contract.errors import InvalidSpec, NotFound, SetupError
from newtond.store.credentials import Credential, Credentials, check_exposed


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return Credentials(tmp_path)


def test_a_key_opens_its_tenant_and_is_not_kept(credentials: Credentials, tmp_path: Path) -> None:
    key, kept = credentials.create("acme", ["read", "solve"], 3, "a laptop")
    assert re.fullmatch("ntd_[0-9a-f]{12}_[0-9a-f]{64}", key)
    assert Credentials(tmp_path).verify(key) == kept
    assert (kept.tenant, kept.scopes, kept.label) == ("acme", ("solve", "read"), "a laptop")
    secret = key.rpartition("_")[2]
    assert all(secret not in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert credentials.root.stat().st_mode & 0o77 == 0


def test_what_is_no_key_opens_nothing(credentials: Credentials) -> None:
    key, kept = credentials.create()
    other, _ = credentials.create()
    id = kept.id
    wrong = [
        key[:-1],
        key + "0",
        key.upper(),
        f"ntd_{id}_{other.rpartition('_')[2]}",
        f"ntd_{'0' * 12}_{'0' * 64}",
    ]
    for attempt in (*wrong, "", "ntd_", f"ntd_../{id}_{'0' * 64}", "é" * 80, key + "\n"):
        assert credentials.verify(attempt) is None


def test_a_revoked_key_is_so_for_good_and_keys_are_needed_from_then_on(credentials: Credentials) -> None:
    assert not credentials.exist()
    key, kept = credentials.create()
    assert credentials.revoke(kept.id)
    assert not credentials.revoke(kept.id)
    assert credentials.verify(key) is None
    assert credentials.exist()
    for unknown in ("0" * 12, "../format", ""):
        with pytest.raises(NotFound):
            credentials.revoke(unknown)


def test_an_expired_key_opens_nothing(credentials: Credentials) -> None:
    key, kept = credentials.create(days=1)
    assert credentials.verify(key) is not None
    path = credentials.root / f"{kept.id}.json"
    past = kept.model_copy(update={"expires_at": datetime.now(UTC) - timedelta(seconds=1)})
    path.write_text(Credential.model_dump_json(past))
    assert credentials.verify(key) is None


@pytest.mark.parametrize(
    "wrong", [{"tenant": "../acme"}, {"tenant": "Acme"}, {"tenant": ""}, {"scopes": []}, {"scopes": ["fly"]}]
)
def test_what_cannot_be_a_key_is_refused(credentials: Credentials, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidSpec):
        credentials.create(**wrong)  # type: ignore[arg-type]
    assert not credentials.exist()


def test_keys_that_cannot_be_read_are_not_taken_for_none(credentials: Credentials) -> None:
    credentials.root.write_text("no folder")
    with pytest.raises(OSError):
        credentials.exist()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_keys(credentials: Credentials, host: str) -> None:
    check_exposed(host, credentials, anonymous=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "example.org", "127.0.0.1.example.org"])
def test_anything_else_needs_a_key_or_the_words(credentials: Credentials, host: str) -> None:
    with pytest.raises(SetupError, match="allow-anonymous-from-anywhere"):
        check_exposed(host, credentials, anonymous=False)
    check_exposed(host, credentials, anonymous=True)
    credentials.create()
    check_exposed(host, credentials, anonymous=False)
