"""Every sketch as a law: unbiased by key, an embedding where it promises one, same bits on any threads."""

from typing import Any, get_args

import numpy as np
import pytest
import scipy.sparse as sp

from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import SketchKind
from newtond.engine.design import DesignMatrix
from newtond.engine.sketches import Key, sketch
from newtond.engine.sketches.leverage import sample, scores

KINDS: tuple[SketchKind, ...] = get_args(SketchKind)
N, D = 20_000, 50
THEORY = ((1.0 + 0.5) / (1.0 - 0.5)) ** 2
"""The condition number of a Gaussian sketch of 4 d rows (Davidson, Szarek)."""


def incoherent() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, D))


def coherent() -> np.ndarray:
    A = 1e-4 * incoherent()
    A[np.random.default_rng(1).choice(N, D, replace=False)] = np.diag(np.linspace(1.0, 5.0, D))
    return A


def condition(A: np.ndarray, image: np.ndarray) -> float:
    """Return the condition number of the Gram that R of the image preconditions."""
    R, true = np.linalg.qr(image)[1], np.linalg.qr(A)[1]
    return float(np.linalg.cond(np.linalg.solve(R.T, true.T)) ** 2)


@pytest.mark.parametrize("kind", KINDS)
def test_preconditions_an_incoherent_matrix(kind: SketchKind) -> None:
    drawn = sketch(kind)
    image = drawn.apply(DesignMatrix(incoherent()), np.ones(N), drawn.default_rows(N, D), Key(3, 0))
    assert condition(incoherent(), image) < 1.3 * THEORY


@pytest.mark.parametrize("kind", ["sparse_sign", "srht", "gaussian", "leverage"])
@pytest.mark.parametrize("seed", range(5))
def test_preconditions_a_coherent_matrix(kind: SketchKind, seed: int) -> None:
    drawn = sketch(kind)
    image = drawn.apply(DesignMatrix(coherent()), np.ones(N), drawn.default_rows(N, D), Key(seed, 0))
    assert condition(coherent(), image) < 2.0 * THEORY


def test_uniform_sampling_fails_on_a_coherent_matrix() -> None:
    image = sketch("uniform").apply(DesignMatrix(coherent()), np.ones(N), 4 * D, Key(0, 0))
    assert condition(coherent(), image) > 1e4


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_and_dense_draw_the_same_and_threads_change_no_bit(kind: SketchKind, as_csr: Any) -> None:
    A = sp.random_array((N, D), density=0.2, rng=np.random.default_rng(2), format="csr")
    root = np.random.default_rng(3).uniform(0.0, 2.0, N)
    drawn = sketch(kind)
    rows = drawn.default_rows(N, D + 1)
    images = [
        drawn.apply(DesignMatrix(as_csr(A), intercept=True, threads=threads), root, rows, Key(5, 6))
        for threads in (1, 2, 3)
    ]
    assert all(np.array_equal(images[0], image) for image in images)
    dense = drawn.apply(DesignMatrix(A.toarray(), intercept=True), root, rows, Key(5, 6))
    np.testing.assert_allclose(images[0], dense, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_draws_anew(kind: SketchKind) -> None:
    drawn, design = sketch(kind), DesignMatrix(incoherent())
    rows = drawn.default_rows(N, D)
    first, again, other = (drawn.apply(design, np.ones(N), rows, Key(1, k)) for k in (0, 0, 1))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_expected_gram_is_the_gram(kind: SketchKind) -> None:
    A = np.random.default_rng(4).normal(size=(300, 3))
    drawn, root = sketch(kind), np.linspace(0.5, 2.0, 300)
    design, rows = DesignMatrix(A), max(60, drawn.default_rows(300, 3))
    images = (drawn.apply(design, root, rows, Key(k, 0)) for k in range(400))
    mean = np.mean([image.T @ image for image in images], axis=0)
    exact = (root[:, None] * A).T @ (root[:, None] * A)
    assert np.abs(mean - exact).max() < 0.05 * np.abs(exact).max()


def test_count_sketch_refuses_fewer_than_d_squared_rows() -> None:
    with pytest.raises(InvalidSpec, match=r"d² = 2500"):
        sketch("count_sketch").apply(DesignMatrix(incoherent()), np.ones(N), 8 * D, Key(0, 0))


def test_gaussian_refuses_what_would_take_hours() -> None:
    design = DesignMatrix(np.ones((10_000, 2)))
    with pytest.raises(InvalidSpec, match="sparse_sign"):
        sketch("gaussian").apply(design, np.ones(10_000), 10**8, Key(0, 0))


def test_leverage_scores_are_those_of_qr() -> None:
    A = np.random.default_rng(5).standard_t(2, size=(3_000, 12))
    exact = np.sum(np.linalg.qr(A)[0] ** 2, axis=1)
    estimated = scores(DesignMatrix(A), np.ones(3_000), Key(0, 0))
    assert np.all(estimated >= exact / 4.0)
    assert np.all(estimated <= 4.0 * exact)


def test_a_row_of_leverage_one_is_always_kept() -> None:
    leverage = np.full(1_000, 1e-3)
    leverage[7] = 1.0
    for seed in range(20):
        kept, probabilities = sample(leverage, 50, Key(seed, 0))
        assert probabilities[kept == 7] == 1.0
        assert 20 < len(kept) < 90
