"""Predictions: at the solve's own rows they are its fitted values; at others, the formula worked out by hand."""

import json
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import PROBLEMS
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr, Inputs, Solution
from newtond.engine.gaussian import GaussianMatrix
from worker.warm import _inline

UNUSED = "sha256:" + "0" * 64


def spec_of(kind: str) -> SolveSpec:
    return SolveSpec.model_validate_json((files("openapi") / "examples" / f"{kind}.json").read_text())


PREDICTED = sorted(kind for kind in PROBLEMS if spec_of(kind).problem.no_prediction() is None)


def solve(spec: SolveSpec, inputs: Inputs) -> Solution:
    *_, last = engine.steps(spec, inputs)
    return engine.solution(spec, inputs, last.state)


def predict(spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs) -> Any:
    form = spec.problem.prediction
    assert form is not None
    return engine.predict(spec, {name: inputs[name] for name in form.solved}, solution, rows)


def csr(A: Any) -> Csr:
    S = sp.csr_array(np.asarray(A))
    return Csr(S.indptr.astype(np.int64), S.indices.astype(np.int32), S.data, S.shape)


@pytest.mark.parametrize("kind", PREDICTED)
def test_at_the_rows_of_the_solve_it_is_what_was_fitted(kind: str) -> None:
    spec = spec_of(kind).model_copy(update={"outputs": ["fitted"]})
    inputs = {name: _inline(array) for name, array in spec.arrays().items()}
    solution = solve(spec, inputs)
    assert spec.problem.prediction is not None
    rows = {name: inputs[name] for name in spec.problem.prediction.arrays if name in inputs}
    predicted = predict(spec, inputs, solution, rows)
    np.testing.assert_allclose(predicted, solution.arrays["fitted"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", sorted(set(PROBLEMS) - set(PREDICTED)))
def test_a_kind_that_predicts_nothing_says_why(kind: str) -> None:
    assert "new rows" in (spec_of(kind).problem.no_prediction() or "")


def of(problem: dict[str, Any], **rest: Any) -> SolveSpec:
    arrays = {"A": UNUSED, "b": UNUSED} | rest
    return SolveSpec.model_validate({"problem": problem, **arrays})


def test_a_link_and_an_intercept() -> None:
    spec, rng = of({"kind": "hyperbolic", "function": "sinh"}, intercept=True), np.random.default_rng(1)
    A, x = rng.normal(size=(7, 3)), rng.normal(size=3)
    solution = Solution({"x": x}, 0.5, ())
    expected = np.sinh(A @ x + 0.5)
    for rows in (A, csr(A)):
        np.testing.assert_allclose(predict(spec, {}, solution, {"A": rows}), expected, rtol=1e-14)


def test_several_targets_have_a_column_each() -> None:
    spec, rng = of({"kind": "least_squares"}, b=None, B=UNUSED, intercept=True), np.random.default_rng(2)
    A, X, shifts = rng.normal(size=(5, 2)), rng.normal(size=(2, 3)), rng.normal(size=3)
    solution = Solution({"X": X, "intercepts": shifts}, None, ())
    np.testing.assert_allclose(predict(spec, {}, solution, {"A": A}), A @ X + shifts, rtol=1e-13)


def test_shares_are_of_the_new_groups_however_they_are_scattered() -> None:
    spec, rng = of({"kind": "softmax"}, groups=UNUSED), np.random.default_rng(3)
    A, x, groups = rng.normal(size=(6, 2)), rng.normal(size=2), np.array([4.0, 9.0, 4.0, 9.0, 9.0, 4.0])
    u = np.exp(A @ x)
    sums = np.array([u[groups == g].sum() for g in groups])
    solution = Solution({"x": x}, None, ())
    np.testing.assert_allclose(predict(spec, {}, solution, {"A": A, "groups": groups}), u / sums, rtol=1e-13)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("target", ["output", "map"])
def test_new_tokens_attend_to_each_other_where_the_solve_had_no_keys(causal: bool, target: str) -> None:
    problem = {"kind": "attention", "causal": causal, "target": target}
    spec = SolveSpec.model_validate({"problem": problem, "A1": UNUSED, "B": UNUSED})
    rng = np.random.default_rng(4)
    A, X, Y = rng.normal(size=(40, 3)), rng.normal(size=(3, 3)), rng.normal(size=(3, 2))
    scores = A @ X @ A.T + (np.triu(np.full((40, 40), -np.inf), 1) if causal else 0.0)
    P = np.exp(scores - scores.max(axis=1)[:, None])
    P /= P.sum(axis=1)[:, None]
    found = predict(spec, {}, Solution({"X": X, "Y": Y}, None, ()), {"A1": A})
    np.testing.assert_allclose(found, P if target == "map" else P @ A @ Y, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_kernel_between_old_and_new_points(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    old, new, y = rng.normal(size=(70, 3)), rng.normal(size=(130, 3)), rng.normal(size=70)
    new[3] = 0.0
    expected = np.exp(-0.5 * ((new[:, None] - old[None]) ** 2).sum(axis=2)) @ y
    points: Any
    for points in (new, csr(new)):
        found = GaussianMatrix(old, threads).between(points, y)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    monkeypatch.setattr("newtond.engine.gaussian.MOST_DENSE_ENTRIES", 0)
    sparse = GaussianMatrix(csr(old), threads).between(csr(new), y)
    np.testing.assert_allclose(sparse, expected, rtol=1e-12, atol=1e-13)


def test_rows_of_another_width() -> None:
    with pytest.raises(InvalidSpec, match="A has 2 columns, the solve had 3"):
        predict(of({"kind": "softmax"}), {}, Solution({"x": np.ones(3)}, None, ()), {"A": np.ones((4, 2))})


def test_what_float64_cannot_hold_is_infinite() -> None:
    spec = of({"kind": "hyperbolic", "function": "exp"})
    found = predict(spec, {}, Solution({"x": np.ones(1)}, None, ()), {"A": np.array([[1.0], [800.0]])})
    assert found.tolist() == [np.exp(1.0), np.inf]


def test_the_form_says_which_result_arrays_it_needs() -> None:
    for kind in PREDICTED:
        problem = PROBLEMS[kind]
        assert problem.prediction is not None
        assert set(problem.prediction.solution) <= set(problem.results)
        assert set(problem.prediction.solved) <= set(problem.inputs)
        assert json.loads(problem.prediction.model_dump_json())["units"]
