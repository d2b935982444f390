"""Random sparse designs with a fixed number of normal entries a row, and exponential targets with noise."""

import numpy as np
import scipy.sparse as sp

from benchmarks.problem import Instance


def exponential(
    name: str,
    title: str,
    shape: tuple[int, int],
    entries: int,
    seed: int,
    *,
    column_scales: np.ndarray | None = None,
    zipf: float = 0.0,
    spread: float = 0.6,
) -> Instance:
    """Return A (n, d) with ``entries`` normal entries a row, b = exp(A x)(1 + 5 % noise), std(A x) = spread."""
    n, d = shape
    rng = np.random.default_rng(seed)
    indices = _columns(rng, n, d, entries, zipf)
    A = sp.csr_array(
        (rng.standard_normal(n * entries), indices.ravel(), np.arange(0, n * entries + 1, entries)), shape
    )
    A.sum_duplicates()
    x = rng.standard_normal(d)
    z = A @ x
    z *= spread / z.std()
    b = np.exp(z) * (1.0 + 0.05 * rng.standard_normal(n))
    if column_scales is not None:
        A = A @ sp.diags_array(column_scales)
    A = sp.csr_array(A)
    A.sort_indices()
    return Instance(name, title, A, b)


def _columns(rng: np.random.Generator, n: int, d: int, entries: int, zipf: float) -> np.ndarray:
    if zipf == 0.0:
        return rng.integers(0, d, (n, entries))
    chance = np.arange(1, d + 1) ** -zipf
    return rng.choice(d, size=(n, entries), p=chance / chance.sum())
