"""Linear least squares in its plain form: agreement with LAPACK, least norm, ridge, weights."""

from typing import Any

import numpy as np
import pytest
import scipy.linalg
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


def spectrum(n: int, d: int, kappa: float, seed: int) -> tuple[Any, Any]:
    """Return A of singular values log-spaced over κ, which no scaling of columns mends, and b with noise."""
    rng = np.random.default_rng(seed)
    U, _ = np.linalg.qr(rng.normal(size=(n, d)))
    V, _ = np.linalg.qr(rng.normal(size=(d, d)))
    A = U @ np.diag(np.geomspace(1.0, 1.0 / kappa, d)) @ V.T
    return A, A @ rng.normal(size=d) + rng.normal(size=n) / np.sqrt(n)


def backward_error(A: Any, b: Any, x: Any) -> float:
    """Return the Karlson-Waldén estimate of the smallest ‖E‖ for which x minimises ‖(A + E)x − b‖, within √2."""
    U, s, _ = np.linalg.svd(A, full_matrices=False)
    r = b - A @ x
    share = (np.linalg.norm(r) / np.linalg.norm(x)) ** 2
    return float(np.linalg.norm(s * (U.T @ r) / np.sqrt(s**2 + share)) / np.linalg.norm(x))


@pytest.mark.parametrize("kappa", [1e8, 1e12])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_is_as_backward_stable_as_qr_where_a_gram_matrix_is_not(
    solve: Any, kappa: float, storage: Any
) -> None:
    A, b = spectrum(20_000, 50, kappa, 6)
    solved = solve("identity", storage(A), b)
    assert solved.plan.hessian == "sketched_qr"
    assert solved.last.termination == "converged"
    assert 0.3 * kappa < solved.plan.estimates["condition_number"] < 3.0 * kappa
    theirs = scipy.linalg.lstsq(A, b, lapack_driver="gelsy")[0]
    assert backward_error(A, b, solved.x) < 4.0 * backward_error(A, b, theirs) + 1e-16
    if kappa == 1e8:
        assert np.linalg.norm(solved.x - theirs) < 1e-6 * np.linalg.norm(theirs)
    assert f"condition number about {solved.last.state.scalars['condition']:.1e}" in solved.warnings


def test_ill_conditioned_with_ridge_weights_and_intercept(solve: Any) -> None:
    A, b = spectrum(20_000, 40, 1e9, 7)
    v = np.random.default_rng(8).uniform(0.5, 2.0, len(b))
    solved = solve("identity", A, b, row_weights=v, ridge=1e-16, intercept=True, outputs=["fitted"])
    assert solved.plan.hessian == "sketched_qr"
    stacked = np.vstack([np.sqrt(v)[:, None] * np.column_stack([A, np.ones(len(b))]), np.eye(40, 41) * 1e-8])
    exact = scipy.linalg.lstsq(stacked, np.append(np.sqrt(v) * b, np.zeros(40)), lapack_driver="gelsy")[0]
    np.testing.assert_allclose(solved.y, exact, rtol=0.0, atol=1e-6 * np.linalg.norm(exact))
    np.testing.assert_allclose(solved.solution.arrays["fitted"], A @ solved.x + solved.solution.intercept)


def test_dependent_columns_among_ill_conditioned_ones(solve: Any) -> None:
    A, b = spectrum(20_000, 40, 1e8, 9)
    A = np.column_stack([A, A[:, 0] - 2.0 * A[:, 1], A[:, 2]])
    solved = solve("identity", A, b)
    assert solved.plan.hessian == "sketched_qr"
    assert "nullity 2" in solved.warnings
    assert "numerical rank 40 of 42" in solved.warnings
    exact = scipy.linalg.lstsq(A, b, cond=1e-13, lapack_driver="gelsd")[0]
    assert np.linalg.norm(solved.x - exact) < 1e-6 * np.linalg.norm(exact)


def test_well_conditioned_and_large_goes_by_newton_and_says_what_was_measured(make_problem: Any) -> None:
    A, b = spectrum(20_000, 50, 1e3, 10)
    plan = engine.plan(*make_problem("identity", A, b))
    assert plan.hessian == "exact"
    assert "measured on a sketch" in plan.why
    assert plan.estimates["residual_norm"] == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("rows", [400, 20_000], ids=["qr", "sketched_qr"])
def test_resumes_to_the_same_bits_on_any_number_of_threads(make_problem: Any, rows: int) -> None:
    spec, inputs = make_problem("identity", *spectrum(rows, 50, 1e9, 11))
    whole = list(engine.steps(spec, inputs))
    assert len(whole) >= 3
    for earlier in whole[:-1]:
        resumed = list(engine.steps(spec, inputs, 2, earlier.state))
        assert resumed[-1].state.arrays["x"].tobytes() == whole[-1].state.arrays["x"].tobytes()
        assert (resumed[-1].record.iteration, resumed[-1].termination) == (
            whole[-1].record.iteration,
            whole[-1].termination,
        )
    again = list(engine.steps(spec, inputs, 2))
    assert again[-1].state.arrays["x"].tobytes() == whole[-1].state.arrays["x"].tobytes()


def test_small_deficient_with_intercept_keeps_the_least_coefficients(solve: Any) -> None:
    rng = np.random.default_rng(12)
    A = rng.normal(size=(60, 4))
    A = np.column_stack([A, A @ [1.0, 1.0, 0.0, 0.0]])
    b = 5.0 + rng.normal(size=60)
    solved = solve("identity", A, b, intercept=True)
    centred = np.linalg.lstsq(A - A.mean(axis=0), b - b.mean(), rcond=1e-12)[0]
    np.testing.assert_allclose(solved.x, centred, atol=1e-12)
    assert solved.solution.intercept == pytest.approx(b.mean() - A.mean(axis=0) @ centred)


def test_a_warm_start_and_a_limit_of_iterations_are_kept(solve: Any) -> None:
    A, b = spectrum(20_000, 50, 1e8, 13)
    warm = np.ones(50)
    solved = solve("identity", A, b, warm_start=warm, solver={"max_iterations": 0})
    assert solved.last.termination == "max_iterations"
    np.testing.assert_array_equal(solved.x, warm)
    assert solve("identity", A, b, warm_start=warm).last.termination == "converged"
