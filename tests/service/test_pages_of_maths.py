"""The requests that docs/maths shows are requests that the service takes."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.conftest import npy

PAGES = Path(__file__).parents[2] / "docs" / "maths"
SHOWN = [
    pytest.param(block, id=f"{page.stem} {number}")
    for page in sorted(PAGES.glob("*.md"))
    for number, block in enumerate(re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL))
]
ELIDED = "sha256:…"


def uploaded(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with an array of ours for every id that the page leaves out."""
    rng = np.random.default_rng(3)
    ours = {"A": rng.normal(size=(3000, 3)), "b": rng.normal(size=3000)}
    return {name: upload(client, ours[name]) if value == ELIDED else value for name, value in body.items()}


def upload(client: httpx.Client, array: Any) -> str:
    headers = {"Content-Type": "application/x-npy"}
    return str(client.post("/arrays", content=npy(array), headers=headers).json()["id"])


@pytest.mark.parametrize("block", SHOWN)
def test_what_a_page_shows_is_solved(working: httpx.Client, block: str) -> None:
    body = uploaded(working, json.loads(block))
    answer = working.post("/solve", json=body, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["converged"]
    result = working.get(f"/jobs/{answer.json()['id']}/result").json()
    sketched = result["plan"]["hessian"] == "sketch_and_solve"
    assert sketched == ("guarantee" in body["problem"])
    assert set(result["arrays"]) == ({"X"} if "B" in body else {"x"})
