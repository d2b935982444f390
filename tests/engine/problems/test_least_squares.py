"""Linear least squares in its plain form: agreement with LAPACK, least norm, ridge, weights."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine


def last(make_problem: Any, A: Any, b: Any, **options: Any) -> Any:
    spec, inputs = make_problem("identity", A, b, **options)
    *_, step = engine.steps(spec, inputs)
    return step, engine.solution(spec, inputs, step.state)


@pytest.mark.parametrize("hessian", ["exact", "sketch", "auto"])
@pytest.mark.parametrize("kappa", [1e1, 1e4])
def test_agrees_with_qr(make_problem: Any, hessian: str, kappa: float) -> None:
    rng = np.random.default_rng(0)
    U, _ = np.linalg.qr(rng.normal(size=(500, 20)))
    V, _ = np.linalg.qr(rng.normal(size=(20, 20)))
    A = U @ np.diag(np.geomspace(1.0, 1.0 / kappa, 20)) @ V.T
    b = rng.normal(size=500)
    step, found = last(make_problem, A, b, solver={"hessian": hessian})
    assert step.termination == "converged"
    exact = np.linalg.lstsq(A, b, rcond=None)[0]
    rounding, tolerance = 1e-14 * kappa**2, spec_tolerance(step) * kappa
    assert np.linalg.norm(found.arrays["x"] - exact) < (rounding + tolerance) * np.linalg.norm(exact)


def test_rank_deficient_gives_the_least_norm_and_says_so(make_problem: Any) -> None:
    rng = np.random.default_rng(1)
    groups = [rng.integers(0, k, 3_000) for k in (5, 7, 11)]
    A = sp.hstack([sp.csr_array((np.ones(3_000), (np.arange(3_000), g))) for g in groups]).tocsr()
    b = rng.normal(size=3_000)
    _, found = last(make_problem, A, b)
    exact = np.linalg.lstsq(A.toarray(), b, rcond=None)[0]
    np.testing.assert_allclose(found.arrays["x"], exact, atol=1e-11)
    assert any("nullity 2" in warning for warning in found.warnings)


def test_small_singular_values_are_not_taken_for_a_null_space(make_problem: Any) -> None:
    rng = np.random.default_rng(2)
    A = rng.normal(size=(200, 4))
    A[:, 3] = A[:, 2] + 1e-7 * rng.normal(size=200)
    _, found = last(make_problem, A, A @ np.array([1.0, 2.0, 3.0, 4.0]))
    assert not any("rank deficient" in warning for warning in found.warnings)
    np.testing.assert_allclose(found.arrays["x"], [1.0, 2.0, 3.0, 4.0], rtol=1e-6)


def test_ridge_and_row_weights(make_problem: Any) -> None:
    rng = np.random.default_rng(3)
    A, b, v = rng.normal(size=(300, 8)), rng.normal(size=300), rng.uniform(0.0, 3.0, 300)
    _, found = last(make_problem, A, b, row_weights=v, ridge=2.5)
    exact = np.linalg.solve(A.T @ (v[:, None] * A) + 2.5 * np.eye(8), A.T @ (v * b))
    np.testing.assert_allclose(found.arrays["x"], exact, rtol=1e-11)


def spec_tolerance(step: Any) -> float:
    """Return the relative decrement that the solve ended with."""
    return step.record.newton_decrement / np.sqrt(2.0 * step.record.loss)


SHAPES = {"one row": (1, 3), "one column": (50, 1), "one by one": (1, 1), "wide": (5, 12)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_small_and_wide_shapes(make_problem: Any, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    A, b = rng.normal(size=shape), rng.normal(size=shape[0])
    step, found = last(make_problem, A, b)
    assert step.termination == "converged"
    np.testing.assert_allclose(found.arrays["x"], np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-10)


def test_a_zero_column_keeps_a_zero_coefficient(make_problem: Any) -> None:
    rng = np.random.default_rng(5)
    A = rng.normal(size=(60, 3))
    A[:, 1] = 0.0
    _, found = last(make_problem, A, rng.normal(size=60))
    assert found.arrays["x"][1] == 0.0
