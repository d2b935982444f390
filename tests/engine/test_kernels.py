"""The compiled primitives against NumPy, and the on-disk cache that a second process must hit."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond.engine import kernels
from newtond.engine.kernels import kernel
from newtond.engine.problems import family
from newtond.engine.regression import Regression


@kernel
def _exp_all(x, out):
    for i in range(x.size):
        out[i] = kernels.exp(x[i])


def exp_of(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    _exp_all(x, out)
    return out


def test_exp_is_within_two_ulp_of_extended_precision() -> None:
    x = np.random.default_rng(0).uniform(-708.0, 709.7, 200_000)
    exact = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(exp_of(x) - exact) / np.spacing(np.exp(x))) < 2.0


def test_exp_at_the_ends() -> None:
    x = np.array([0.0, -0.0, 709.782712893384, 709.7827128933841, np.inf, -708.0, -709.0, -np.inf, np.nan])
    out = exp_of(x)
    assert out[0] == out[1] == 1.0
    assert np.isfinite(out[2])
    assert np.isinf(out[3])
    assert np.isinf(out[4])
    assert out[5] == pytest.approx(np.exp(-708.0), rel=1e-15)
    assert out[6] == out[7] == 0.0
    assert np.isnan(out[8])


def test_hadamard_is_the_walsh_matrix() -> None:
    from scipy.linalg import hadamard

    columns = np.random.default_rng(1).normal(size=(64, 3))
    expected = hadamard(64) @ columns
    kernels.hadamard(columns)
    np.testing.assert_allclose(columns, expected, rtol=0, atol=1e-12)


def test_mix_spreads_neighbouring_counters() -> None:
    key = np.uint64(12345)
    bits = [int(kernels.mix(key, np.uint64(k))) for k in range(4096)]
    assert len(set(bits)) == 4096
    ones = [bin(a ^ b).count("1") for a, b in pairwise(bits)]
    assert 31.0 < np.mean(ones) < 33.0


PROBE = """
import sys, json
import numpy as np
from newtond.engine import kernels
from newtond.engine.problems.hyperbolic import _links
hits = misses = 0
A = np.arange(12.0).reshape(6, 2) / 10
from newtond.engine.design import DesignMatrix
from newtond.engine.state import Csr
csr = Csr(np.arange(0, 13, 2), np.tile(np.arange(2, dtype=np.int32), 6), A.ravel(), (6, 2))
link = _links()["exp"]
one, zero, b = np.ones(1), np.zeros(1), np.ones(6)
design = DesignMatrix(csr)
design.sweep(link.kernels, (b, one, zero, zero), np.zeros(2))
design.gram(b), design.sparse_sign(b, 8, 8, 3), design.normal(np.ones(2), b)
for f in (link.kernels.csr_sweep, kernels.csr_gram, kernels.csr_segment, kernels.csr_normal):
    hits += sum(f.stats.cache_hits.values())
    misses += sum(f.stats.cache_misses.values())
print(json.dumps([hits, misses]))
"""


def test_a_second_process_finds_every_kernel_in_the_cache(tmp_path: Path) -> None:
    environment = {**os.environ, "NEWTOND_KERNEL_CACHE": str(tmp_path)}

    def probe() -> list[int]:
        done = subprocess.run(
            [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
        )
        return [int(word) for word in done.stdout.strip("[]\n ").split(",")]

    assert probe() == [0, 4]
    assert probe() == [4, 0]


@pytest.mark.parametrize("storage", ["sparse", "dense"])
@pytest.mark.parametrize("function", ["exp", "cosh", "sinh", "identity"])
def test_a_slope_has_the_bits_of_an_expansion(make_problem: Any, storage: str, function: str) -> None:
    rng = np.random.default_rng(3)
    A = sp.random_array((9_001, 30), density=0.2, rng=rng, format="csr")
    spec, inputs = make_problem(function, A if storage == "sparse" else A.toarray(), 2.0 + rng.random(9_001))
    objective = Regression(spec, inputs, family(spec).link(spec), 2).objective  # type: ignore[attr-defined]
    for scale in (0.0, 0.3, 2.0):
        x = scale * rng.normal(size=30)
        whole, slope = objective.expand(x), objective.slope(x)
        assert (slope.value, slope.positive) == (whole.value, whole.curvature.positive)
        assert slope.gradient.tobytes() == whole.gradient.tobytes()
        for mine, theirs in zip(slope.shares, whole.shares, strict=True):
            assert (mine[0].tobytes(), mine[1]) == (theirs[0].tobytes(), theirs[1])
