"""Least squares of condition number about 1e8, and what accuracy means there: x, and the backward error.

A gradient of 1e-8 says nothing of x at such a condition number. The reference is a QR factorisation of [A b] by
blocks of rows (TSQR: Demmel, Grigori, Hoemmen, Langou 2012), backward stable as Householder's. The measure is
‖D(x − x_QR)‖/‖D x_QR‖, D the column norms. The backward error is Karlson and Waldén's (1997) estimate

    ‖(‖x‖² AᵀA + ‖r‖² I)^{−½} Aᵀr‖ / ‖A‖_F,   r = b − A x,   of A scaled to columns of norm 1,

within a factor √2 of the least ‖E‖_F for which x solves the problem of A + E (Gu 1998). Both are free of units.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.linalg import solve_triangular

from benchmarks.problem import Instance, Vector

KEPT = Path(__file__).parents[1] / ".references"
BLOCK = 20_000


@dataclass(frozen=True)
class IllConditioned(Instance):
    """``key`` names the data: the reference is computed by the first who asks, and kept."""

    key: str = ""

    measure = "‖D(x − x_QR)‖/‖D x_QR‖"

    def prepare(self) -> None:
        assert self.reference is not None

    def accuracy(self, x: Vector | None) -> float | None:
        if x is None or not np.isfinite(x).all():
            return None
        _, norms, exact = self.reference
        return float(np.linalg.norm(norms * x - exact) / np.linalg.norm(exact))

    def backward_error(self, x: Vector | None) -> float | None:
        if x is None or not np.isfinite(x).all():
            return None
        triangle, norms, _ = self.reference
        r = self.b - self.A @ x
        gradient = (self.A.T @ r) / norms
        sizes, turned = np.linalg.svd(triangle)[1:]
        weight = sizes**2 * float(np.sum((norms * x) ** 2)) + float(r @ r)
        return float(np.sqrt(np.sum((turned @ gradient) ** 2 / weight) / len(norms)))

    @cached_property
    def reference(self) -> tuple[np.ndarray, Vector, Vector]:
        """R of A scaled to columns of norm 1 (d, d), the norms D and D x_QR."""
        path = KEPT / f"{self.key}.npz"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            fresh = path.with_suffix(f".{os.getpid()}.npz")
            triangle, norms, exact = by_qr(self.A, self.b)
            np.savez(fresh, triangle=triangle, norms=norms, exact=exact)
            fresh.replace(path)
        with np.load(path) as kept:
            return kept["triangle"], kept["norms"], kept["exact"]


def by_qr(A: np.ndarray, b: Vector) -> tuple[np.ndarray, Vector, Vector]:
    """Return R and x of the least-squares problem with A's columns scaled to norm 1, and the norms."""
    d = A.shape[1]
    norms = np.sqrt(np.asarray((A * A).sum(axis=0)).ravel())
    tops = []
    for first in range(0, A.shape[0], BLOCK):
        rows = slice(first, first + BLOCK)
        tops.append(np.linalg.qr(np.column_stack([A[rows].toarray() / norms, b[rows]]), mode="r"))
    whole = np.linalg.qr(np.vstack(tops), mode="r")
    triangle = whole[:d, :d]
    return triangle, norms, solve_triangular(triangle, whole[:d, d])
