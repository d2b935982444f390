"""NIST's linear sets through HTTP: files up, a solve, an array down, and no digit lost on the way."""

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from examples import nist_sets as nist

NPY = "application/x-npy"
PAGE = (Path(__file__).parents[2] / "docs" / "maths" / "least_squares.md").read_text()


def through_http(url: str, A: Any, b: Any) -> Any:
    """Return x of a least-squares solve of uploaded files."""
    with httpx.Client(base_url=url, timeout=70) as client:
        body = {"problem": {"kind": "least_squares"}, "A": upload(client, A), "b": upload(client, b)}
        job = client.post("/solve", json=body, headers={"Prefer": "wait=60"}).json()
        result = client.get(f"/jobs/{job['id']}/result").json()
        assert result["termination"] == "converged"
        x = client.get(result["arrays"]["x"]["href"], headers={"Accept": NPY}).content
    return np.load(io.BytesIO(x))


def upload(client: httpx.Client, array: Any) -> str:
    file = io.BytesIO()
    np.save(file, array)
    answer = client.post("/arrays", content=file.getvalue(), headers={"Content-Type": NPY})
    return str(answer.json()["id"])


@pytest.mark.parametrize("name", nist.SETS)
def test_at_least_the_digits_of_lapack(url: str, name: str) -> None:
    A, b, certified = nist.problem(name)
    x, exact = through_http(url, A, b), nist.exact(A, b)
    ours = nist.digits(x, certified)
    assert ours >= max(nist.digits(other, certified) for other in nist.singular_values(A, b))
    theirs = max(nist.digits(other, certified) for other in nist.householder(A, b))
    assert ours >= min(theirs, nist.digits(exact, certified))
    assert nist.digits(x, exact) == nist.CERTIFIED_DIGITS
    assert f"| {name} | {ours:.1f} |" in PAGE
