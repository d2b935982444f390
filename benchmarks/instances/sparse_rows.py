"""Random sparse designs with a fixed number of entries a row, and exponential targets with noise."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.problem import Instance, Vector

GROUP = 5
ROWS_AT_ONCE = 1_000_000


def exponential(
    name: str,
    title: str,
    shape: tuple[int, int],
    entries: int,
    seed: int,
    *,
    column_scales: Vector | None = None,
    zipf: float = 0.0,
    mean: float = 0.0,
    unit_variance: bool = False,
) -> Instance:
    """Return A (n, d) of ``entries`` entries N(mean, 1) a row and b = exp(A x)(1 + 5 % noise), std(A x) = 0.6."""
    rng = np.random.default_rng(seed)
    A = scattered(rng, shape, entries, zipf=zipf, mean=mean)
    if unit_variance:
        A = scaled(A, 1.0 / deviations(A))
    b = target(rng, A)
    if column_scales is not None:
        A = scaled(A, column_scales)
    return Instance(name, title, A, b)


def scaled(A: Any, scales: Vector) -> Any:
    """Return A diag(scales), its indices still sorted."""
    return sp.csr_array((A.data * scales[A.indices], A.indices, A.indptr), A.shape)


def deviations(A: Any) -> Vector:
    """Return the standard deviation of each column."""
    means = np.asarray(A.mean(axis=0)).ravel()
    squares = np.asarray((A * A).mean(axis=0)).ravel()
    return np.sqrt(squares - means**2)


def target(rng: np.random.Generator, A: Any, spread: float = 0.6) -> Vector:
    """Return exp(A x)(1 + 5 % noise) for a normal x, scaled so that std(A x) = spread."""
    z = A @ rng.standard_normal(A.shape[1])
    z *= spread / z.std()
    return np.exp(z) * (1.0 + 0.05 * rng.standard_normal(len(z)))


def scattered(
    rng: np.random.Generator, shape: tuple[int, int], entries: int, *, zipf: float = 0.0, mean: float = 0.0
) -> Any:
    """Return a canonical CSR of ``entries`` normal entries a row; columns by a Zipf law of that exponent."""
    n, d = shape
    blocks = []
    for first in range(0, n, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, n - first)
        columns = _columns(rng, rows, d, entries, zipf).astype(np.int32)
        values = mean + rng.standard_normal(rows * entries)
        indptr = np.arange(0, rows * entries + 1, entries, dtype=np.int32)
        block = sp.csr_array((values, columns.ravel(), indptr), (rows, d))
        block.sum_duplicates()
        blocks.append(block)
    return blocks[0] if len(blocks) == 1 else sp.csr_array(sp.vstack(blocks, format="csr"))


def _columns(rng: np.random.Generator, n: int, d: int, entries: int, zipf: float) -> np.ndarray:
    if zipf == 0.0:
        return rng.integers(0, d, (n, entries))
    chance = np.arange(1, d + 1) ** -zipf
    return rng.choice(d, size=(n, entries), p=chance / chance.sum())


def grouped(rng: np.random.Generator, shape: tuple[int, int], entries: int, spectrum: float) -> Any:
    """Return a CSR whose singular values, over their largest, fill [spectrum, 1] whatever columns are scaled by.

    Columns come in groups of five. A row takes entries/5 groups and in each wᵀ diag(s) Q: w normal, Q the
    group's random rotation, s = (1, s₂ … s₅). The sⱼ of all groups are log-spaced over [spectrum, 1].
    """
    n, d = shape
    groups, picked = d // GROUP, entries // GROUP
    sizes = np.geomspace(1.0, spectrum, groups * (GROUP - 1))
    rng.shuffle(sizes)
    shapes = np.ones((groups, GROUP))
    shapes[:, 1:] = sizes.reshape(groups, GROUP - 1)
    turns = np.linalg.qr(rng.standard_normal((groups, GROUP, GROUP)))[0] * shapes[:, :, None]
    chosen = np.argsort(rng.random((n, groups), dtype=np.float32), axis=1)[:, :picked]
    chosen.sort(axis=1)
    values = np.empty((n, picked, GROUP))
    for group in range(groups):
        rows, place = np.nonzero(chosen == group)
        values[rows, place] = rng.standard_normal((len(rows), GROUP)) @ turns[group]
    columns = (GROUP * chosen[:, :, None] + np.arange(GROUP)).astype(np.int32)
    indptr = np.arange(0, n * picked * GROUP + 1, picked * GROUP, dtype=np.int32)
    return sp.csr_array((values.ravel(), columns.ravel(), indptr), (n, groups * GROUP))
