"""The linear sets of the NIST Statistical Reference Datasets (public domain): digits against LAPACK's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SETS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "nist_strd.json").read_text())
DIGITS = 15


def design(data: dict[str, Any]) -> Any:
    if "rows" in data:
        return np.column_stack([np.ones(len(data["rows"])), np.array(data["rows"])])
    low, high = data["powers"]
    return np.column_stack([np.array(data["x"], float) ** k for k in range(low, high + 1)])


def digits(found: Any, certified: Any) -> float:
    """Return the correct digits of the worst coefficient: −log₁₀ of its relative error, up to 15."""
    error = np.max(np.abs(found - certified) / np.abs(certified))
    return float(min(DIGITS, -np.log10(max(error, 1e-99))))


def lapack(A: Any, b: Any) -> Any:
    """Return what lstsq finds with its default cutoff and with none."""
    return [np.linalg.lstsq(A, b, rcond=cutoff)[0] for cutoff in (None, 0.0)]


@pytest.mark.parametrize("name", SETS)
def test_as_many_digits_as_lapack(solve: Any, name: str) -> None:
    A, b = design(SETS[name]), np.array(SETS[name]["y"], float)
    certified = np.array(SETS[name]["certified"], float)
    solved = solve("identity", A, b)
    assert solved.last.termination == "converged"
    assert solved.plan.hessian == "qr"
    theirs = max(digits(x, certified) for x in lapack(A, b))
    assert digits(solved.x, certified) >= theirs
