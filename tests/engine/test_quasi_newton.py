"""The kept Hessian: few passes, the point that an exact one finds, and the fall back to Newton's method."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine


def rows(n: int, d: int, entries: int, seed: int) -> sp.csr_array:
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, d, n * entries)
    A = sp.csr_array((rng.normal(size=n * entries), indices, np.arange(0, n * entries + 1, entries)), (n, d))
    A.sum_duplicates()
    return A


def target(A: Any, seed: int, spread: float = 0.6, noise: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = A @ rng.normal(size=A.shape[1])
    z *= spread / z.std()
    return np.exp(z) * (1.0 + noise * rng.normal(size=len(z)))


def correlated(n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    return 0.3 * rng.normal(size=(n, 10)) @ rng.normal(size=(10, d)) + 0.1 * rng.normal(size=(n, d))


def zipf(n: int, d: int) -> sp.csr_array:
    rng = np.random.default_rng(5)
    chance = np.arange(1, d + 1) ** -1.1
    indices = rng.choice(d, size=n * 8, p=chance / chance.sum())
    A = sp.csr_array((rng.normal(size=n * 8), indices, np.arange(0, n * 8 + 1, 8)), (n, d))
    A.sum_duplicates()
    return A


DESIGNS = {
    "even": lambda: rows(40_000, 100, 8, 1),
    "scales": lambda: sp.csr_array(rows(40_000, 100, 8, 1) @ sp.diags_array(np.geomspace(1.0, 1e4, 100))),
    "zipf": lambda: zipf(40_000, 100),
    "dense": lambda: np.random.default_rng(2).normal(size=(30_000, 40)),
    "correlated": lambda: correlated(40_000, 80),
}


def solve(make_problem: Any, function: str, A: Any, b: Any, **options: Any) -> tuple[list, Any, Any]:
    spec, inputs = make_problem(function, A, b, **options)
    steps = list(engine.steps(spec, inputs, 2))
    return steps, engine.solution(spec, inputs, steps[-1].state, 2), engine.plan(spec, inputs)


@pytest.mark.parametrize("name", DESIGNS)
def test_it_reaches_the_point_of_the_exact_hessian(make_problem: Any, name: str) -> None:
    A = DESIGNS[name]()
    b = target(A, 7)
    steps, found, plan = solve(make_problem, "exp", A, b)
    _, exact, _ = solve(make_problem, "exp", A, b, solver={"hessian": "exact"})
    assert plan.hessian == "partial"
    assert steps[-1].termination == "converged"
    assert len(steps) <= 13
    gap = A @ (found.arrays["x"] - exact.arrays["x"])
    assert np.linalg.norm(gap) <= 1e-8 * np.linalg.norm(A @ exact.arrays["x"])


def test_where_the_rate_is_poor_it_changes_to_an_exact_hessian(make_problem: Any) -> None:
    A = correlated(40_000, 80)
    steps, _, _ = solve(make_problem, "exp", A, target(A, 7))
    notes = [step.record.note for step in steps]
    assert "rest of" in notes[0]
    assert notes[-1] == "kept Hessian: exact"


def test_a_last_step_halved_what_was_left(make_problem: Any) -> None:
    A = rows(40_000, 100, 8, 1)
    steps, _, _ = solve(make_problem, "exp", A, target(A, 7))
    left = [step.record.newton_decrement for step in steps]
    assert left[-1] <= 0.5 * left[-2]


def test_rows_of_negative_curvature_at_the_end_are_newtons_to_judge(make_problem: Any) -> None:
    A = rows(40_000, 100, 8, 1)
    b = target(A, 7, noise=0.8)
    steps, found, _ = solve(make_problem, "exp", A, b)
    _, exact, _ = solve(make_problem, "exp", A, b, solver={"hessian": "exact"})
    assert steps[-1].state.scalars["handed_over"] == 1
    assert steps[-1].termination == "converged"
    np.testing.assert_allclose(found.arrays["x"], exact.arrays["x"], atol=1e-7)


def test_a_warm_start_far_away_still_arrives(make_problem: Any) -> None:
    A = rows(40_000, 100, 8, 1)
    b = target(A, 7)
    _, exact, _ = solve(make_problem, "exp", A, b, solver={"hessian": "exact"})
    steps, found, _ = solve(make_problem, "exp", A, b, warm_start=np.full(100, 1.5))
    assert steps[-1].termination == "converged"
    np.testing.assert_allclose(found.arrays["x"], exact.arrays["x"], atol=1e-7)


def test_a_warm_start_at_a_saddle_is_left(make_problem: Any) -> None:
    A = rows(30_000, 30, 6, 4)
    x = np.random.default_rng(0).normal(size=30)
    steps, found, plan = solve(make_problem, "cosh", A, np.cosh(A @ (0.3 * x)), warm_start=np.full(30, 1e-12))
    assert plan.hessian == "partial"
    assert steps[-1].termination == "converged"
    np.testing.assert_allclose(np.abs(found.arrays["x"]), np.abs(0.3 * x), atol=1e-6)


def test_a_limit_of_iterations_is_kept(make_problem: Any) -> None:
    A = rows(40_000, 100, 8, 1)
    steps, _, _ = solve(make_problem, "exp", A, target(A, 7), solver={"max_iterations": 3})
    assert steps[-1].termination == "max_iterations"
    assert steps[-1].record.iteration == 3


@pytest.mark.parametrize("noise", [0.05, 0.8])
def test_an_interrupted_solve_goes_on_to_the_same_bits(make_problem: Any, noise: float) -> None:
    A = correlated(40_000, 80)
    spec, inputs = make_problem("exp", A, target(A, 7, noise=noise))
    whole = list(engine.steps(spec, inputs, 1))
    for earlier in whole[:-1]:
        resumed = list(engine.steps(spec, inputs, 2, earlier.state))
        assert len(resumed) == len(whole) - 1 - earlier.record.iteration
        assert resumed[-1].state.arrays["x"].tobytes() == whole[-1].state.arrays["x"].tobytes()


def test_where_even_a_partial_hessian_is_dear_the_diagonal_comes_first(make_problem: Any) -> None:
    A = rows(60_000, 1_000, 4, 9)
    b = target(A, 7)
    steps, found, plan = solve(make_problem, "exp", A, b)
    assert plan.hessian == "partial"
    assert steps[0].record.note == "kept Hessian: its diagonal"
    assert steps[-1].termination == "converged"
    _, exact, _ = solve(make_problem, "exp", A, b, solver={"hessian": "exact"})
    gap = A @ (found.arrays["x"] - exact.arrays["x"])
    assert np.linalg.norm(gap) <= 1e-8 * np.linalg.norm(A @ exact.arrays["x"])
