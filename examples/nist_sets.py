"""The linear sets of NIST's Statistical Reference Datasets (public domain), and how digits are counted on them."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import lstsq, qr, solve_triangular

FILE = Path(__file__).parents[1] / "tests" / "engine" / "data" / "nist_strd.json"
SETS: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
CERTIFIED_DIGITS = 15


def problem(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return A, b and the certified coefficients of a set."""
    data = SETS[name]
    return _design(data), np.array(data["y"], float), np.array(data["certified"], float)


def _design(data: dict[str, Any]) -> np.ndarray:
    if "rows" in data:
        return np.column_stack([np.ones(len(data["rows"])), np.array(data["rows"])])
    low, high = data["powers"]
    return np.column_stack([np.array(data["x"], float) ** k for k in range(low, high + 1)])


def digits(found: np.ndarray, reference: np.ndarray) -> float:
    """Return the correct digits of the worst coefficient: −log₁₀ of its relative error, at most 15."""
    error = np.max(np.abs(found - reference) / np.abs(reference))
    return float(min(CERTIFIED_DIGITS, -np.log10(max(error, 1e-99))))


def householder(A: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """Return what LAPACK's QR finds, without pivots (geqrf) and with them (gelsy)."""
    q, r = qr(A, mode="economic")
    return [solve_triangular(r, q.T @ b), lstsq(A, b, cond=0.0, lapack_driver="gelsy")[0]]


def singular_values(A: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """Return what NumPy's lstsq (LAPACK's gelsd) finds with its default cutoff and with none."""
    return [np.linalg.lstsq(A, b, rcond=cutoff)[0] for cutoff in (None, 0.0)]


def exact(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the least-squares solution for the very float64 numbers in A and b, in rational arithmetic."""
    columns = [[Fraction(entry) for entry in column] for column in (*A.T.tolist(), b.tolist())]
    system = [[_product(column, other) for other in columns] for column in columns[:-1]]
    for i in range(len(system)):
        for k in range(len(system)):
            if k != i:
                factor = system[k][i] / system[i][i]
                system[k] = [under - factor * over for under, over in zip(system[k], system[i], strict=True)]
    return np.array([float(row[-1] / row[i]) for i, row in enumerate(system)])


def _product(column: list[Fraction], other: list[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(column, other, strict=True)), Fraction(0))
