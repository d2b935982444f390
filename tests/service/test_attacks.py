"""Every attack of docs/security.md is answered as the page says."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.attacks import ATTACKS, HEAD, TARGET, Ground, ground, page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def attacked(service_root: Path) -> Iterator[Ground]:
    with ground(service_root) as made:
        yield made


@pytest.mark.skipif("WRITE_SECURITY" not in os.environ, reason="`make security` writes the page")
def test_write_the_page(attacked: Ground) -> None:
    (ROOT / TARGET).write_text(page(attacked))


@pytest.mark.parametrize("what", ATTACKS)
def test_an_attack_is_answered_as_the_page_says(attacked: Ground, what: str) -> None:
    group, run = ATTACKS[what]
    assert f"| {group} | {what} | {run(attacked)} |" in (ROOT / TARGET).read_text().splitlines()


def test_the_page_lists_these_attacks_and_no_others() -> None:
    text = (ROOT / TARGET).read_text()
    assert text.startswith(HEAD)
    assert len(text.removeprefix(HEAD).splitlines()) == len(ATTACKS)
