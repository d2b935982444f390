"""Regression on exp(AᵀA) and on its cut series: by eigenvalues, by Lanczos, and where float64 ends."""

from itertools import pairwise
from math import factorial
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import sparse
from scipy.linalg import expm

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import SolveSpec
from newtond.engine.state import Csr, Solution

ID = "sha256:" + "0" * 64
METHODS = ("eigen", "lanczos")


def spec_of(ridge: float = 0.0, solver: dict[str, Any] | None = None, **options: Any) -> SolveSpec:
    problem = {"kind": "gram_exponential", **options}
    body = {"problem": problem, "A": ID, "b": ID, "regulariser": {"ridge": ridge}, "solver": solver or {}}
    return SolveSpec.model_validate(body)


def solve(A: Any, b: Any, ridge: float = 0.0, **options: Any) -> tuple[Any, Any, Any]:
    spec, inputs = spec_of(ridge, **options), {"A": A, "b": np.asarray(b, float)}
    steps = list(engine.steps(spec, inputs))
    found = engine.solution(spec, inputs, steps[-1].state)
    return steps, found, engine.certify(spec, inputs, found)


def drawn(n: int = 60, d: int = 25, size: float = 0.2) -> tuple[Any, Any]:
    draw = np.random.default_rng(d)
    return size * draw.standard_normal((n, d)), draw.standard_normal(d)


def as_csr(A: Any) -> Csr:
    a = sparse.csr_array(A)
    a.sort_indices()
    return Csr(a.indptr.astype(np.int64), a.indices.astype(np.int32), a.data, a.shape)


def series(M: Any, terms: int) -> Any:
    return sum(np.linalg.matrix_power(M, j) / factorial(j) for j in range(terms + 1))


def test_gradient_and_hessian_against_the_complex_step() -> None:
    A, b = drawn(9, 5)
    E, draw = expm(A.T @ A), np.random.default_rng(0)
    x, p = draw.standard_normal(5), draw.standard_normal(5)

    def value(x: Any) -> Any:
        return 0.5 * np.sum((E @ x - b) ** 2) + 0.05 * np.sum(x**2)

    def gradient(x: Any) -> Any:
        return E @ (E @ x - b) + 0.1 * x

    assert np.imag(value(x + 1e-30j * p)) / 1e-30 == pytest.approx(gradient(x) @ p, rel=1e-10)
    np.testing.assert_allclose(
        np.imag(gradient(x + 1e-30j * p)) / 1e-30, E @ E @ p + 0.1 * p, rtol=1e-10, atol=1e-12
    )
    best = solve(A, b, 0.1)[1].arrays["x"]
    assert np.linalg.norm(gradient(best)) <= 1e-12 * np.linalg.norm(gradient(0.0 * best))
    certificate = engine.certify(spec_of(0.1), {"A": A, "b": b}, Solution({"x": x}, None, ()))
    assert certificate.loss == pytest.approx(value(x), rel=1e-10)
    newton = np.linalg.solve(E @ E + 0.1 * np.eye(5), gradient(x))
    assert certificate.gradient_norm == pytest.approx(np.linalg.norm(newton), rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ridge", [0.0, 0.5, 50.0])
@pytest.mark.parametrize("terms", [None, 0, 1, 2, 8])
def test_against_dense_algebra(method: str, ridge: float, terms: int | None) -> None:
    A, b = drawn()
    E = expm(A.T @ A) if terms is None else series(A.T @ A, terms)
    x = np.linalg.solve(E @ E + ridge * np.eye(25), E @ b)
    steps, found, certificate = solve(A, b, ridge, method=method, terms=terms)
    assert steps[-1].termination == "converged"
    np.testing.assert_allclose(found.arrays["x"], x, rtol=1e-8, atol=1e-10)
    assert certificate.relative_gradient_norm <= 1e-12
    expected = 0.5 * np.sum((E @ x - b) ** 2) + 0.5 * ridge * x @ x
    assert certificate.loss == pytest.approx(expected, rel=1e-8, abs=1e-20)
    assert steps[-1].record.loss == pytest.approx(expected, rel=1e-8, abs=1e-20)


def test_the_series_tends_to_the_exponential() -> None:
    A, b = drawn()
    whole = solve(A, b)[1].arrays["x"]
    errors = [np.linalg.norm(solve(A, b, terms=J)[1].arrays["x"] - whole) for J in (2, 5, 10, 20, 60)]
    assert all(later < earlier for earlier, later in pairwise(errors))
    assert errors[-1] <= 1e-14


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_an_exponential_beyond_float64(method: str, ridge: float) -> None:
    A = np.diag([0.0, 0.5, 3.0, 28.0, 40.0])
    b = np.ones(5)
    steps, found, certificate = solve(A, b, ridge, method=method)
    assert steps[-1].termination == "converged"
    s = np.diag(A) ** 2
    shrunk = np.exp(-s)
    slack = 1e-15 if method == "eigen" else 1e-13
    np.testing.assert_allclose(found.arrays["x"], shrunk / (1.0 + ridge * shrunk**2), rtol=1e-12, atol=slack)
    assert certificate.loss is None
    assert certificate.estimates["log10_condition_number"] == pytest.approx(1600.0 / np.log(10.0))
    assert any("does not give b back" in said for said in found.warnings) == (ridge == 0.0)


def test_what_is_below_the_smallest_float_is_said() -> None:
    _, found, _ = solve([[30.0]] @ np.eye(1), [1.0])
    assert found.arrays["x"] == [0.0]
    assert any("smallest float64" in said for said in found.warnings)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "A",
    [[[0.7]], [[0.0]], [[1.0, 0.0], [0.5, 0.0]], [[0.3, 0.4], [0.3, 0.4]], [[0.1, 0.2, 0.3]]],
    ids=["1 × 1", "zero", "zero column", "equal rows", "wide"],
)
def test_small_and_degenerate_matrices(method: str, A: Any) -> None:
    A = np.array(A)
    for b in (np.linspace(1.0, 2.0, A.shape[1]), np.zeros(A.shape[1])):
        steps, found, _ = solve(A, b, method=method)
        assert steps[-1].termination == "converged"
        np.testing.assert_allclose(found.arrays["x"], expm(-A.T @ A) @ b, rtol=1e-12, atol=1e-15)


def test_lanczos_and_the_chebyshev_certificate_agree_on_a_large_sparse_matrix() -> None:
    draw = np.random.default_rng(7)
    A = sparse.random_array((3000, 4000), density=0.002, rng=draw, format="csr")
    b = draw.standard_normal(4000)
    assert engine.plan(spec_of(), {"A": as_csr(A), "b": b}).hessian == "free"
    for ridge in (0.0, 2.0):
        steps, found, certificate = solve(as_csr(A), b, ridge)
        assert steps[-1].termination == "converged"
        assert certificate.relative_gradient_norm <= 1e-10
        assert found.arrays["x"].shape == (4000,)


def test_a_norm_that_needs_many_products() -> None:
    A = np.diag(np.sqrt(np.linspace(0.0, 1e4, 400)))
    b = np.random.default_rng(0).standard_normal(400)
    steps, found, _ = solve(A, b, method="lanczos")
    assert len(steps) > 10
    np.testing.assert_allclose(found.arrays["x"], np.exp(-(np.diag(A) ** 2)) * b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_resumed_and_threaded_solves_have_the_same_bits(method: str) -> None:
    A, b = drawn(5000, 90, 0.2)
    spec, inputs = spec_of(0.3, method=method, solver={"tolerance": 1e-13}), {"A": A, "b": b}
    whole = list(engine.steps(spec, inputs))
    assert method == "eigen" or len(whole) >= 5
    for k in range(len(whole) - 1):
        resumed = list(engine.steps(spec, inputs, 2, whole[k].state))
        assert [step.record.iteration for step in resumed] == list(range(k + 1, len(whole)))
        for name, array in whole[-1].state.arrays.items():
            assert array.tobytes() == resumed[-1].state.arrays[name].tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_no_iteration_is_the_start(method: str) -> None:
    A, b = drawn()
    (step,) = engine.steps(spec_of(method=method, solver={"max_iterations": 0}), {"A": A, "b": b})
    assert step.termination == "max_iterations"
    assert step.record.loss == pytest.approx(0.5 * b @ b)
    found = engine.solution(spec_of(method=method), {"A": A, "b": b}, step.state)
    assert not found.arrays["x"].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem": {"kind": "gram_exponential", "terms": -1}}, "greater than or equal to 0"),
        ({"outputs": ["fitted"]}, "outputs"),
        ({"intercept": True}, "intercept"),
        ({"solver": {"hessian": "exact"}}, "problem.method"),
        ({"solver": {"sketch": {"kind": "srht"}}}, "sketch"),
    ],
)
def test_what_it_does_not_take_is_refused(change: dict[str, Any], said: str) -> None:
    body = {"problem": {"kind": "gram_exponential"}, "A": ID, "b": ID, **change}
    with pytest.raises(ValidationError, match=said):
        SolveSpec.model_validate(body)


def test_too_many_columns_for_eigenvalues_are_refused() -> None:
    A = as_csr(sparse.eye_array(2500, format="csr"))
    with pytest.raises(InvalidSpec, match="lanczos"):
        engine.plan(spec_of(method="eigen"), {"A": A, "b": np.ones(2500)})
