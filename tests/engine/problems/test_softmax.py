"""Softmax regression: recovery, invariance, brackets of its curvature, groups, and every odd input in words."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from pydantic import ValidationError

from newtond.engine.problems import softmax
from newtond.engine.regression import Regression

KIND = {"kind": "softmax"}


def shares(z: Any, labels: Any = None) -> Any:
    labels = np.zeros(len(z)) if labels is None else labels
    out = np.empty_like(z)
    for label in np.unique(labels):
        part = labels == label
        e = np.exp(z[part] - z[part].max())
        out[part] = e / e.sum()
    return out


@pytest.mark.parametrize("spread", [1, 2, 3, 4, 5, 6])
def test_a_planted_x_is_recovered_from_nought(solve: Any, spread: int) -> None:
    for seed in range(14):
        rng = np.random.default_rng(100 * spread + seed)
        A, x = rng.normal(size=(200, 5)), rng.normal(size=5)
        x *= spread / np.std(A @ x)
        found = solve(KIND, A, shares(A @ x), warm_start=np.zeros(5))
        assert found.last.termination == "converged"
        assert found.last.record.loss < 1e-14
        assert found.last.state.iteration <= 30
        np.testing.assert_allclose(found.x, x, rtol=1e-6, atol=1e-6)
        assert found.certificate.curvature == "strict_local_minimum"
        assert found.certificate.distance_bound is None


def hessian_in_z(make_problem: Any, z: Any, b: Any) -> Any:
    spec, inputs = make_problem(KIND, np.eye(len(z)), b)
    regression = Regression(spec, inputs, softmax.link(spec), 1)
    curvature = regression.loss.expand(z).curvature
    B = np.column_stack([curvature.apply(unit) for unit in np.eye(len(z))])
    return B, regression.loss.least_curvature(z), regression


def test_the_eigenvalues_in_z_stay_in_their_bracket(make_problem: Any) -> None:
    rng = np.random.default_rng(0)
    lowest = highest = 0.0
    for trial in range(300):
        n = int(rng.integers(2, 9))
        b = rng.dirichlet(np.full(n, 0.3)) * np.where(trial % 2, 1.0, rng.choice([-1.0, 1.0], n))
        z = rng.normal(size=n) * rng.choice([0.3, 1.0, 4.0])
        B, least, _ = hessian_in_z(make_problem, z, b)
        values = np.linalg.eigvalsh((B + B.T) / 2)
        assert np.abs(B - B.T).max() < 1e-15
        assert values[0] >= least - 1e-15
        lowest, highest = min(lowest, values[0]), max(highest, values[-1])
        np.testing.assert_allclose(B @ np.ones(n), 0.0, atol=1e-16)
    assert -0.24041 <= lowest <= -0.1
    assert 0.2 <= highest <= 0.30813


def test_the_bracket_is_attained_by_two_rows(make_problem: Any) -> None:
    for root, bound in ((-1.0, -0.24041), (1.0, 0.30812)):
        p = (9.0 + root * np.sqrt(33.0)) / 24.0
        values = []
        for b in (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([-1.0, 0.0]), np.array([0.0, -1.0])):
            B, *_ = hessian_in_z(make_problem, np.log([p, 1.0 - p]), b)
            values.append(np.linalg.eigvalsh((B + B.T) / 2))
        extreme = np.min(values) if root < 0 else np.max(values)
        assert extreme == pytest.approx(bound, abs=1e-5) or np.abs(values).max() < abs(bound) + 1e-5
    attained = [
        np.linalg.eigvalsh(hessian_in_z(make_problem, np.log([p, 1 - p]), np.array([1.0, 0.0]))[0])[0]
        for p in np.linspace(0.01, 0.99, 981)
    ]
    assert min(attained) == pytest.approx(-0.24041, abs=2e-5)


def test_the_threshold_is_tight_and_scales_with_weights(make_problem: Any) -> None:
    rng = np.random.default_rng(1)
    b = rng.dirichlet(np.ones(6))
    for options, tau in (({}, 0.2405), ({"row_weights": np.full(6, 3.0)}, 3 * 0.2405)):
        spec, inputs = make_problem(KIND, np.eye(6), b, weights="convex", margin=0.5, **options)
        regression = Regression(spec, inputs, softmax.link(spec), 1)
        np.testing.assert_allclose(regression.omega, tau + 0.5)
        np.testing.assert_allclose(regression.global_floor, 0.5)
    _, _, twice = hessian_in_z(make_problem, np.zeros(6), 2 * b)
    assert (softmax.threshold(twice) > 0.2405).all()
    for _ in range(200):
        z, b = 2 * rng.normal(size=5), 3 * rng.normal(size=5)
        B, _, regression = hessian_in_z(make_problem, z, b)
        assert np.linalg.eigvalsh(B)[0] >= -softmax.threshold(regression)[0]
        assert np.linalg.eigvalsh(B)[0] >= -softmax.proven(regression)[0]


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_a_shift_of_a_group_changes_nothing(solve: Any, storage: Any) -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(25.0), 8)
    A = rng.normal(size=(200, 4))
    b = shares(A @ rng.normal(size=4), labels) + 0.02 * rng.random(200)
    b /= np.repeat(np.add.reduceat(b, np.arange(0, 200, 8)), 8)
    shifted = A + np.repeat(10 * rng.normal(size=(25, 4)), 8, axis=0)
    first, second = solve(KIND, storage(A), b, groups=labels), solve(KIND, storage(shifted), b, groups=labels)
    np.testing.assert_allclose(second.x, first.x, rtol=1e-9)
    assert second.certificate.loss == pytest.approx(first.certificate.loss, rel=1e-12)


@pytest.mark.parametrize("hessian", ["exact", "sketch"])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_what_is_constant_within_groups_is_null(solve: Any, storage: Any, hessian: str) -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(40.0), 15)
    of_group = np.repeat(rng.normal(size=(40, 2)), 15, axis=0)
    A = rng.normal(size=(600, 3))
    wide = np.column_stack([A, 1e3 * of_group[:, 0], A[:, 2] + of_group[:, 1]])
    x = np.array([1.0, -0.5, 0.8])
    found = solve(KIND, storage(wide), shares(A @ x, labels), groups=labels, solver={"hessian": hessian})
    assert found.last.termination == "converged"
    assert found.last.record.loss < 1e-24
    np.testing.assert_allclose(found.x, [1.0, -0.5, 0.4, 0.0, 0.4], atol=1e-9)
    assert found.certificate.nullity == 2
    assert "nullity 2" in found.warnings


@pytest.mark.parametrize("hessian", ["exact", "sketch"])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_one_hot_columns_get_the_least_norm(solve: Any, storage: Any, hessian: str) -> None:
    rng = np.random.default_rng(6)
    labels = np.repeat(np.arange(40.0), 15)
    A = np.column_stack([np.tile(np.eye(15), (40, 1)), rng.normal(size=(600, 2))])
    b = shares(A @ rng.normal(size=17), labels) + 0.01 * rng.random(600)
    found = solve(KIND, storage(A), b, groups=labels, solver={"hessian": hessian})
    assert found.last.termination == "converged"
    assert found.x[:15].sum() == pytest.approx(0.0, abs=1e-9)
    assert found.certificate.nullity == 1
    assert found.certificate.curvature == "strict_local_minimum"


def test_convex_weights_bound_the_predictors_and_say_what_they_do(solve: Any) -> None:
    rng = np.random.default_rng(7)
    A, b = 3 * rng.normal(size=(300, 4)), rng.dirichlet(np.full(300, 0.1))
    found = solve(KIND, A, b, weights="convex", margin=0.5)
    assert found.plan.convex
    assert "not proven" in found.plan.convexity
    assert np.linalg.norm(A @ found.x) <= 0.4190 / 0.7405
    assert "regularised away" in found.warnings
    proven = solve(KIND, A, b, weights=1.05)
    assert proven.certificate.curvature == "global_minimum"
    assert proven.certificate.scope == "global"
    away = solve(KIND, A, b, weights=1.05, warm_start=0.3 * np.ones(4), solver={"max_iterations": 0})
    assert np.linalg.norm(away.x - proven.x) <= away.certificate.distance_bound


ODD: dict[str, Any] = {
    "one row": (np.ones((1, 2)), np.ones(1), {}, "one row only"),
    "one-row groups": (np.eye(3), np.ones(3), {"groups": np.arange(3.0)}, "say nothing of x"),
    "b does not sum to 1": (np.eye(4), np.full(4, 0.5), {}, "a loss of 0.125 is irreducible"),
    "negative b": (np.eye(3)[:, :2], np.array([-0.2, 0.7, 0.5]), {}, "negative, which no share reaches"),
    "separable": (np.array([[1.0], [0.0]]), np.array([1.0, 0.0]), {}, "0 or 1 to rounding"),
    "zero column": (np.array([[1.0, 0], [0, 0], [2, 0]]), np.array([0.2, 0.3, 0.5]), {}, "nullity 1"),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_an_odd_input_is_an_answer_in_words(solve: Any, case: str, storage: Any) -> None:
    A, b, options, words = ODD[case]
    found = solve(KIND, storage(A), b, **options)
    assert words in found.warnings, found.warnings
    assert np.isfinite(found.x).all()


def test_equal_shares_are_solved_at_nought(solve: Any) -> None:
    A = np.random.default_rng(3).normal(size=(50, 3))
    found = solve(KIND, A, np.full(50, 0.02))
    assert found.last.termination == "converged"
    np.testing.assert_allclose(found.x, 0.0, atol=1e-15)
    assert found.certificate.curvature == "strict_local_minimum"


@pytest.mark.parametrize("size", [1e3, 1e5])
def test_huge_predictors_overflow_nothing(solve: Any, size: float) -> None:
    rng = np.random.default_rng(8)
    A, b = rng.normal(size=(60, 3)), rng.dirichlet(np.ones(60))
    found = solve(KIND, A, b, warm_start=size * np.ones(3))
    assert np.isfinite(found.last.record.loss)
    assert found.certificate.curvature != "strict_local_minimum"


def test_many_groups_in_one_pass(solve: Any) -> None:
    rng = np.random.default_rng(9)
    n, count = 40_000, 10_000
    labels = np.repeat(np.arange(float(count)), 4)
    A = rng.normal(size=(n, 6))
    x = rng.normal(size=6)
    e = np.exp(A @ x)
    found = solve(KIND, A, e / np.repeat(np.add.reduceat(e, np.arange(0, n, 4)), 4), groups=labels)
    assert found.last.record.loss < 1e-20
    np.testing.assert_allclose(found.x, x, rtol=1e-9)


def test_the_start_is_the_least_cross_entropy_where_that_is_better(make_problem: Any) -> None:
    rng = np.random.default_rng(10)
    A = rng.normal(size=(100, 3))
    x = np.array([1.0, -2.0, 0.5])
    spec, inputs = make_problem(KIND, A, shares(A @ x))
    regression = Regression(spec, inputs, softmax.link(spec), 1)
    np.testing.assert_allclose(softmax.start(regression), x, atol=1e-3)
    objective = softmax.cross_entropy(regression)
    here = objective.expand(np.zeros(3))
    np.testing.assert_allclose(here.gradient, A.T @ (0.01 - shares(A @ x)), atol=1e-14)
    assert here.value == pytest.approx(np.log(100))


REFUSED = {
    "intercept": ({"intercept": True}, "changes no share"),
    "paper": ({"solver": {"hessian": "paper"}}, "coupled"),
    "offset": ({"regulariser": {"offset": "target"}}, "up to a constant"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_softmax_does_not_take_is_refused_with_the_reason(make_problem: Any, case: str) -> None:
    options, words = REFUSED[case]
    with pytest.raises(ValidationError, match=words):
        make_problem(KIND, np.eye(2), np.ones(2) / 2, **options)
