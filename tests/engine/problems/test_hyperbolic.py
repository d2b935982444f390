"""Exponential, cosh and sinh regression: what the spec's options mean, and what is refused."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.contract.errors import InvalidSpec

FUNCTIONS = {"exp": np.exp, "cosh": np.cosh, "sinh": np.sinh}


def planted(function: str, n: int = 400, d: int = 6, noise: float = 0.05, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    A, x = rng.normal(size=(n, d)), 0.5 * rng.normal(size=d)
    return A, FUNCTIONS[function](A @ x) + noise * rng.normal(size=n), x


def last(make_problem: Any, function: str, A: Any, b: Any, **options: Any) -> Any:
    spec, inputs = make_problem(function, A, b, **options)
    *_, step = engine.steps(spec, inputs)
    return step, engine.solution(spec, inputs, step.state)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("hessian", ["exact", "sketch"])
def test_a_planted_point_is_found(make_problem: Any, function: str, hessian: str) -> None:
    A, b, x = planted(function, noise=0.0)
    step, found = last(make_problem, function, A, b, solver={"hessian": hessian})
    assert step.termination == "converged"
    sign = np.sign(x[0]) if function == "cosh" else 1.0
    np.testing.assert_allclose(found.arrays["x"], sign * x, atol=1e-8)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_intercept_is_a_column_of_ones_free_of_the_ridge(make_problem: Any, function: str) -> None:
    A, b, _ = planted(function)
    _, one = last(make_problem, function, A, b + 2.0, intercept=True)
    _, two = last(make_problem, function, np.hstack([A, np.ones((len(b), 1))]), b + 2.0)
    sign = np.sign(two.arrays["x"][0] * one.arrays["x"][0])
    np.testing.assert_allclose([*one.arrays["x"], one.intercept], sign * two.arrays["x"], atol=1e-8)
    spec, inputs = make_problem(function, A, b + 2.0, intercept=True, ridge=1e9)
    *_, step = engine.steps(spec, inputs)
    ridged = engine.solution(spec, inputs, step.state)
    assert np.abs(ridged.arrays["x"]).max() < 1e-5
    assert FUNCTIONS[function](ridged.intercept) == pytest.approx(np.mean(b) + 2.0, rel=1e-3)


def test_a_row_weight_is_a_repeated_row(make_problem: Any) -> None:
    A, b, _ = planted("exp")
    times = np.random.default_rng(1).integers(0, 4, len(b))
    _, weighted = last(make_problem, "exp", A, b, row_weights=times.astype(float))
    _, repeated = last(make_problem, "exp", np.repeat(A, times, axis=0), np.repeat(b, times))
    np.testing.assert_allclose(weighted.arrays["x"], repeated.arrays["x"], rtol=1e-9)


def test_sparse_and_dense_agree_and_outputs_are_what_they_say(make_problem: Any) -> None:
    A, b, _ = planted("sinh")
    A[np.abs(A) < 0.5] = 0.0
    _, dense = last(make_problem, "sinh", A, b, outputs=["fitted", "residual"])
    _, sparse = last(make_problem, "sinh", sp.csr_array(A), b)
    np.testing.assert_allclose(sparse.arrays["x"], dense.arrays["x"], rtol=1e-10)
    np.testing.assert_allclose(dense.arrays["fitted"], np.sinh(A @ dense.arrays["x"]), rtol=1e-12)
    np.testing.assert_allclose(dense.arrays["residual"], dense.arrays["fitted"] - b, rtol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_convex_weights_are_tight(make_problem: Any, function: str) -> None:
    A, _, _ = planted(function)
    b = np.linspace(-3.0, 9.0, len(A))
    spec, inputs = make_problem(function, A, b, weights="convex")
    plan = engine.plan(spec, inputs)
    assert plan.convex
    less, inputs = make_problem(function, A, b, weights=np.zeros(len(b)))
    assert not engine.plan(less, inputs).convex


def test_the_offset_target_removes_the_pull(make_problem: Any) -> None:
    A, b, _ = planted("exp", n=2_000)
    b = np.maximum(b, 0.05)
    losses = {}
    for offset in ("zero", "target"):
        spec, inputs = make_problem("exp", A, b, weights="convex", outputs=["residual"])
        spec = spec.model_copy(update={"regulariser": spec.regulariser.model_copy(update={"offset": offset})})
        *_, step = engine.steps(spec, inputs)
        residual = engine.solution(spec, inputs, step.state).arrays["residual"]
        losses[offset] = float(residual @ residual)
    _, free = last(make_problem, "exp", A, b, outputs=["residual"])
    best = float(free.arrays["residual"] @ free.arrays["residual"])
    assert losses["target"] < 1.6 * best
    assert losses["zero"] > 10.0 * best


def test_a_vector_offset_is_the_point_of_pull(make_problem: Any) -> None:
    A, b, _ = planted("exp")
    z = 0.3 * np.ones(len(b))
    _, found = last(make_problem, "exp", A, b, weights=1e4, offset=z)
    nearest = np.linalg.lstsq(A, z, rcond=None)[0]
    np.testing.assert_allclose(found.arrays["x"], nearest, atol=1e-5)


def test_rows_of_no_weight_are_as_if_they_were_not_there(make_problem: Any) -> None:
    generator = np.random.default_rng(5)
    A, b = generator.random((15, 30)), generator.integers(0, 3, 15).astype(float)
    v = np.repeat([0.0, 2.0], [6, 9])
    _, weighted = last(make_problem, "sinh", A, b, row_weights=v, intercept=True)
    _, without = last(make_problem, "sinh", A[6:], b[6:], intercept=True)
    z = A @ weighted.arrays["x"] + weighted.intercept
    np.testing.assert_allclose(np.sinh(z[6:]), b[6:], atol=1e-12)
    np.testing.assert_allclose(weighted.arrays["x"], without.arrays["x"], atol=1e-11)


REFUSED = {
    "target out of range": ({"offset": "target"}, "/regulariser/offset"),
    "paper without convexity": ({"solver": {"hessian": "paper"}}, "/solver/hessian"),
    "names": ({"column_names": ["one"]}, "/column_names"),
    "negative row weight": ({"row_weights": -np.ones(400)}, "/row_weights"),
    "negative weight": ({"weights": -np.ones(400)}, "/regulariser/weights"),
    "short warm start": ({"warm_start": np.ones(3)}, "/warm_start"),
    "short row weights": ({"row_weights": np.ones(399)}, "/row_weights"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_contradicts_itself_is_refused_with_its_place(make_problem: Any, case: str) -> None:
    A, b, _ = planted("exp")
    b[17] = -1.0
    options, pointer = REFUSED[case]
    spec, inputs = make_problem("exp", A, b, **options)
    with pytest.raises(InvalidSpec) as refusal:
        list(engine.steps(spec, inputs))
    assert refusal.value.source is not None
    assert refusal.value.source["pointer"] == pointer


def test_the_limit_of_iterations_is_an_answer(make_problem: Any) -> None:
    A, b, _ = planted("exp")
    step, found = last(make_problem, "exp", A, b, solver={"max_iterations": 0})
    assert step.termination == "max_iterations"
    assert np.isfinite(found.arrays["x"]).all()
