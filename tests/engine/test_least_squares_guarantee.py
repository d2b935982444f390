"""Guarantees: how often they hold, what they cost, what they refuse."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.contract.errors import InvalidSpec


def kind(**guarantee: float) -> dict[str, Any]:
    return {"kind": "least_squares", "guarantee": guarantee}


def answer(make_problem: Any, problem: dict[str, Any], A: Any, b: Any, seed: int, **options: Any) -> Any:
    spec, inputs = make_problem(problem, A, b, solver={"seed": seed}, **options)
    *_, last = engine.steps(spec, inputs)
    assert last.termination == "converged"
    return engine.solution(spec, inputs, last.state)


def heavy_tailed(n: int, d: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(30)
    A = rng.standard_t(2, size=(n, d))
    return A, A @ rng.normal(size=d) + rng.normal(size=n)


@pytest.mark.parametrize("epsilon", [0.5, 0.1])
def test_sampled_rows_come_within_epsilon_of_the_least(make_problem: Any, epsilon: float) -> None:
    A, b = heavy_tailed(4_000, 5)
    least = float(np.linalg.lstsq(A, b, rcond=None)[1][0])
    problem = kind(epsilon=epsilon)
    assert engine.plan(*make_problem(problem, A, b)).hessian == "sketch_and_solve"
    excess = []
    for seed in range(200):
        x = answer(make_problem, problem, A, b, seed).arrays["x"]
        excess.append(float(np.sum((A @ x - b) ** 2)) / least - 1.0)
    assert min(excess) > 0.0
    assert np.mean(np.array(excess) <= epsilon) >= 0.95


def test_the_query_count_is_a_labelled_model(make_problem: Any) -> None:
    A, b = heavy_tailed(4_000, 5)
    plan = engine.plan(*make_problem(kind(epsilon=0.1), A, b))
    assert plan.estimates["quantum_query_model"] == pytest.approx(4_000**0.5 * 5**1.5 / 0.1)
    assert "a model, not a measurement" in plan.why


def test_srht_spreads_the_error_over_the_entries(make_problem: Any) -> None:
    rng = np.random.default_rng(31)
    n, d, linf = 16_000, 20, 0.5
    A = 0.01 * rng.normal(size=(n, d))
    A[:d] += 30.0 * np.eye(d)  # rows that alone hold a direction
    b = rng.normal(size=n)
    exact, squares, _, singular = np.linalg.lstsq(A, b, rcond=None)
    scale = float(np.sqrt(squares[0])) / singular[-1]
    problem, ratios = kind(linf=linf), []
    rows = engine.plan(*make_problem(problem, A, b)).sketch_rows
    for seed in range(20):
        error = np.abs(answer(make_problem, problem, A, b, seed).arrays["x"] - exact).max()
        assert error <= linf / np.sqrt(d) * scale
        ratios.append(float(error) * np.sqrt(rows) / scale)
    assert max(ratios) < 5.0


def test_a_guarantee_that_needs_more_rows_than_there_are_is_met_exactly(solve: Any) -> None:
    A, b = heavy_tailed(300, 5)
    for problem in (kind(linf=0.01), kind(epsilon=0.001)):
        solved = solve(problem, A, b)
        np.testing.assert_allclose(solved.x, np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-11)
        assert "solved exactly" in solved.plan.why


def test_ridge_weights_and_intercept_are_kept(make_problem: Any) -> None:
    A, b = heavy_tailed(4_000, 5)
    v = np.random.default_rng(32).uniform(0.5, 2.0, 4_000)
    found = answer(
        make_problem, kind(epsilon=0.1), A, b, 0, row_weights=v, ridge=5.0, intercept=True, outputs=["fitted"]
    )
    ones = np.column_stack([A, np.ones(4_000)])
    M = np.vstack([np.sqrt(v)[:, None] * ones, np.sqrt(5.0) * np.eye(5, 6)])
    beta = np.append(np.sqrt(v) * b, np.zeros(5))
    y = np.append(found.arrays["x"], found.intercept)
    assert np.sum((M @ y - beta) ** 2) <= 1.1 * np.linalg.lstsq(M, beta, rcond=None)[1][0]
    np.testing.assert_allclose(found.arrays["fitted"], ones @ y)


def test_what_it_refuses(make_problem: Any) -> None:
    A, b = heavy_tailed(4_000, 5)
    for options, pointer in (
        ({"solver": {"hessian": "exact"}}, "/solver/hessian"),
        ({"solver": {"sketch": {"kind": "srht"}}}, "/solver/sketch"),
        ({"warm_start": np.ones(5)}, "/warm_start"),
    ):
        with pytest.raises(InvalidSpec) as refused:
            engine.plan(*make_problem(kind(epsilon=0.1), A, b, **options))
        assert refused.value.source == {"pointer": pointer}


def test_a_srht_past_the_stated_cost_is_refused(make_problem: Any) -> None:

    A = sp.random_array((3_000_000, 2_000), density=1e-6, rng=np.random.default_rng(33), format="csr")
    with pytest.raises(InvalidSpec, match="dense whatever A is"):
        engine.plan(*make_problem(kind(linf=1.0), A, np.ones(3_000_000)))
