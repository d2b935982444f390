"""Rescaled regression: recovery, what is refused and why, and the traps of each function in words."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.engine.problems import rescaled
from newtond.engine.regression import Regression

EXP: dict[str, Any] = {"kind": "rescaled", "function": "exp"}
COSH: dict[str, Any] = {"kind": "rescaled", "function": "cosh"}
DIVIDED: dict[str, Any] = {**COSH, "normalised": True}
SINH: dict[str, Any] = {"kind": "rescaled", "function": "sinh", "normalised": True}


def planted(function: Any, seed: int, positive: bool = False) -> Any:
    rng = np.random.default_rng(seed)
    A, x = rng.normal(size=(200, 4)), rng.normal(size=4)
    if positive:
        A, x = np.abs(A), np.abs(x)
    x /= np.std(A @ x)
    u = function(A @ x)
    return A, x * np.sign(x[0]), u / u.sum()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("problem", "u"), [(COSH, np.cosh), (DIVIDED, np.cosh)])
def test_cosh_is_recovered_up_to_its_sign(solve: Any, problem: Any, u: Any, seed: int) -> None:
    A, x, b = planted(u, seed)
    found = solve(problem, A, b)
    assert found.last.termination == "converged"
    assert found.last.record.loss < 1e-20
    np.testing.assert_allclose(found.x, x, rtol=1e-6, atol=1e-7)
    assert "cosh is even" in found.warnings
    assert found.certificate.curvature == "strict_local_minimum"


@pytest.mark.parametrize("seed", range(5))
def test_exp_is_recovered(solve: Any, seed: int) -> None:
    A, x, b = planted(np.exp, seed)
    found = solve(EXP, A, b)
    assert found.last.record.loss < 1e-16
    np.testing.assert_allclose(found.x, x * np.sign(found.x[0] * x[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_divided_sinh_is_recovered_where_its_sum_is_positive(solve: Any, seed: int) -> None:
    A, x, b = planted(np.sinh, seed, positive=True)
    found = solve(SINH, A, b)
    assert found.last.record.loss < 1e-18
    np.testing.assert_allclose(found.x, x, rtol=1e-4, atol=1e-5)
    for step in found.steps:
        assert np.sinh(A @ step.state.arrays["x"]).sum() > 0.0


REFUSED = {
    "sinh": ({"kind": "rescaled", "function": "sinh"}, {}, "loss 0 at x = 0 whatever b is"),
    "divided exp": ({**EXP, "normalised": True}, {}, "use the kind 'softmax'"),
    "convex": (COSH, {"weights": "convex"}, "cosh is even"),
    "intercept": (EXP, {"intercept": True}, "does not take intercept"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_answer_is_refused_with_the_reason(make_problem: Any, case: str) -> None:
    problem, options, words = REFUSED[case]
    with pytest.raises(ValidationError, match=words):
        make_problem(problem, np.eye(2), np.ones(2) / 2, **options)


def test_exp_needs_shares(make_problem: Any) -> None:
    spec, inputs = make_problem(EXP, np.eye(3), np.ones(3))
    with pytest.raises(InvalidSpec, match="sum to 1") as raised:
        engine.plan(spec, inputs)
    assert raised.value.source == {"pointer": "/b", "groups": [0]}


def test_exp_with_a_constant_column_is_driven_to_nought_and_says_so(solve: Any) -> None:
    rng = np.random.default_rng(3)
    A = np.column_stack([rng.normal(size=(200, 3)), np.ones(200)])
    found = solve(EXP, A, rng.dirichlet(np.ones(200)))
    assert found.last.record.loss < 1e-6
    assert np.exp(A @ found.x).sum() < 1.0
    assert "it has no minimum" in found.warnings


def test_weights_that_make_cosh_convex_warn(solve: Any) -> None:
    A, _, b = planted(np.cosh, 1)
    found = solve(COSH, A, b, weights=100.0)
    assert np.abs(found.x).max() < 1e-10
    assert "x = 0 the answer for every b" in found.warnings


def test_x_0_of_cosh_is_left(solve: Any) -> None:
    A, x, b = planted(np.cosh, 2)
    found = solve(DIVIDED, A, b, warm_start=np.zeros(4))
    assert found.last.record.loss < 1e-20
    np.testing.assert_allclose(found.x, x, rtol=1e-6)


def test_a_sinh_without_an_admissible_start_says_so(make_problem: Any) -> None:
    spec, inputs = make_problem(SINH, np.array([[1.0], [-1.0]]), np.array([0.5, 0.5]))
    with pytest.raises(InvalidSpec, match="give one as warm_start"):
        next(engine.steps(spec, inputs))


def test_curvature_has_no_lower_bound(make_problem: Any) -> None:
    """Shifting z by t multiplies the Hessian of exp by e^{2t}."""
    rng = np.random.default_rng(5)
    z, b = 2 * rng.normal(size=6), rng.dirichlet(np.full(6, 0.2))
    spec, inputs = make_problem(EXP, np.eye(6), b)
    loss = Regression(spec, inputs, rescaled.link(spec), 1).loss
    lowest = []
    for t in (0.0, 6.0):
        curvature = loss.expand(z + t).curvature
        B = np.column_stack([curvature.apply(unit) for unit in np.eye(6)])
        lowest.append(np.linalg.eigvalsh((B + B.T) / 2)[0])
        assert lowest[-1] >= loss.least_curvature(z + t) * (1 + 1e-12)
    assert lowest[0] < 0.0
    assert lowest[1] == pytest.approx(np.exp(12.0) * lowest[0], rel=1e-6)


@pytest.mark.parametrize("problem", [EXP, COSH, DIVIDED])
def test_huge_predictors_and_odd_shapes_are_answers(solve: Any, problem: Any) -> None:
    assert "one row only" in solve(problem, np.ones((1, 2)), np.ones(1)).warnings
    A = np.column_stack([np.linspace(-1, 1, 9), np.zeros(9)])
    b = np.cosh(A[:, 0]) / np.cosh(A[:, 0]).sum()
    assert "nullity 1" in solve(problem, A, b).warnings
    assert np.isfinite(solve(problem, 300 * A[:, :1], b).x).all()
