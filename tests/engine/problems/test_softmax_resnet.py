"""Softmax-ResNet: recovery from x = 0 with positive sums all the way, and what happens where they are not."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from pydantic import ValidationError

from newtond import engine
from newtond.contract.errors import NonFinite
from newtond.engine.problems import softmax_resnet
from newtond.engine.regression import Regression

KIND = {"kind": "softmax_resnet"}


def sums(z: Any, size: int) -> Any:
    return np.add.reduceat(np.exp(z) + z, np.arange(0, len(z), size))


def planted(seed: int, size: int = 200, spread: float = 1.0) -> Any:
    """Return A (200, 4), x and the shares of groups of ``size`` rows, all sums positive."""
    rng = np.random.default_rng(seed)
    while True:
        A, x = rng.normal(size=(200, 4)), rng.normal(size=4)
        x *= spread / np.std(A @ x)
        z = A @ x
        if sums(z, size).min() > 0.2 * size:
            return A, x, (np.exp(z) + z) / np.repeat(sums(z, size), size)


@pytest.mark.parametrize("seed", range(20))
def test_a_planted_x_is_recovered_with_positive_sums_all_the_way(solve: Any, seed: int) -> None:
    A, x, b = planted(seed)
    found = solve(KIND, A, b)
    assert found.last.termination == "converged"
    assert found.last.record.loss < 1e-20
    np.testing.assert_allclose(found.x, x, rtol=1e-7, atol=1e-8)
    for step in found.steps:
        assert sums(A @ step.state.arrays["x"], 200).min() > 1e-3 * 200
    assert found.certificate.curvature == "strict_local_minimum"


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_groups_keep_every_sum_positive(solve: Any, storage: Any) -> None:
    A, _, b = planted(3, size=10, spread=0.7)
    labels = np.repeat(np.arange(20.0), 10)
    found = solve(KIND, storage(A), b + 0.01 * np.random.default_rng(0).random(200), groups=labels)
    assert found.last.termination == "converged"
    for step in found.steps:
        assert sums(A @ step.state.arrays["x"], 10).min() > 1e-2
    assert "irreducible" in found.warnings


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
def test_the_loss_blows_up_where_the_sum_passes_nought_and_is_not_admitted(
    make_problem: Any, distance: float
) -> None:
    z = np.array([-0.567143290409784 + distance, -0.567143290409784 + distance / 2])
    f = (np.exp(z) + z) / (np.exp(z) + z).sum()
    assert np.isfinite(f).all()
    spec, inputs = make_problem(KIND, np.eye(2), np.array([0.5, 0.5]), warm_start=z)
    regression = Regression(spec, inputs, softmax_resnet.link(spec), 1)
    admitted = (np.exp(z) + z).sum() > 2e-3
    assert np.isfinite(regression.loss.value(z)) == admitted


def test_a_start_on_the_wrong_side_is_an_error_in_words(make_problem: Any) -> None:
    spec, inputs = make_problem(KIND, np.eye(3), np.ones(3) / 3, warm_start=np.full(3, -5.0))
    with pytest.raises(NonFinite, match="not finite at the start"):
        next(engine.steps(spec, inputs))


def test_the_pointwise_bound_is_below_every_eigenvalue(make_problem: Any) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        n = int(rng.integers(2, 8))
        z, b = rng.normal(size=n) + 0.5, rng.dirichlet(np.ones(n))
        spec, inputs = make_problem(KIND, np.eye(n), b)
        loss = Regression(spec, inputs, softmax_resnet.link(spec), 1).loss
        if not np.isfinite(loss.value(z)):
            continue
        curvature = loss.expand(z).curvature
        B = np.column_stack([curvature.apply(unit) for unit in np.eye(n)])
        assert np.linalg.eigvalsh((B + B.T) / 2)[0] >= loss.least_curvature(z) - 1e-12


def test_an_intercept_is_identified_here(solve: Any) -> None:
    rng = np.random.default_rng(4)
    A = rng.normal(size=(100, 2))
    z = A @ [0.5, -0.3] + 0.7
    found = solve(KIND, A, (np.exp(z) + z) / (np.exp(z) + z).sum(), intercept=True)
    np.testing.assert_allclose(found.y, [0.5, -0.3, 0.7], rtol=1e-6)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_odd_inputs_are_answers(solve: Any, storage: Any) -> None:
    assert "one row only" in solve(KIND, storage(np.ones((1, 2))), np.ones(1)).warnings
    A = np.column_stack([np.linspace(-1, 1, 9), np.zeros(9)])
    assert "nullity 1" in solve(KIND, storage(A), np.linspace(0.01, 0.2, 9)).warnings
    equal = solve(KIND, storage(A[:, :1]), np.full(9, 1 / 9))
    np.testing.assert_allclose(equal.x, 0.0, atol=1e-12)
    below = solve(KIND, storage(np.eye(4)), np.array([-0.1, 0.4, 0.4, 0.3]))
    assert "predictions are negative" in below.warnings


def test_no_finite_weight_makes_it_convex(make_problem: Any) -> None:
    with pytest.raises(ValidationError, match="no finite w"):
        make_problem(KIND, np.eye(2), np.ones(2) / 2, weights="convex")
