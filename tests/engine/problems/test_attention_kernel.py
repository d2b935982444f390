"""Kernel ridge regression on exp(AAᵀ): exact where that fits, preconditioned beyond, and honest about both."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import sparse

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import SolveSpec
from newtond.engine import gaussian
from newtond.engine.gaussian import GaussianMatrix
from newtond.engine.state import Csr, Solution

ID = "sha256:" + "0" * 64


def spec_of(ridge: float = 0.1, solver: dict[str, Any] | None = None, **options: Any) -> SolveSpec:
    problem = {"kind": "attention_kernel", **options}
    return SolveSpec.model_validate(
        {
            "problem": problem,
            "A": ID,
            "b": ID,
            "regulariser": {"ridge": ridge},
            "outputs": ["fitted", "residual"],
            "solver": solver or {},
        }
    )


def solve(A: Any, b: Any, ridge: float, threads: int = 1, **options: Any) -> tuple[Any, Any, Any]:
    spec, inputs = spec_of(ridge, **options), {"A": A, "b": np.asarray(b, float)}
    steps = list(engine.steps(spec, inputs, threads))
    found = engine.solution(spec, inputs, steps[-1].state, threads)
    return steps, found, engine.certify(spec, inputs, found)


def planted(n: int, d: int = 4, size: float = 0.5) -> tuple[Any, Any]:
    draw = np.random.default_rng(n)
    return size * draw.standard_normal((n, d)), draw.standard_normal(n)


def as_csr(A: Any) -> Csr:
    a = sparse.csr_array(A)
    a.sort_indices()
    return Csr(a.indptr.astype(np.int64), a.indices.astype(np.int32), a.data, a.shape)


def test_the_kernel_is_d_g_d() -> None:
    A, _ = planted(60)
    G = GaussianMatrix(A)
    growth = np.exp(G.half)
    K = np.exp(A @ A.T)
    difference = growth[:, None] * G.columns(np.arange(60)) * growth - K
    assert np.linalg.norm(difference) <= 5e-16 * np.linalg.norm(K)


@pytest.mark.parametrize("sparse_points", [False, True])
@pytest.mark.parametrize("d", [1, 3, 4, 9])
def test_products_and_columns(sparse_points: bool, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian, "MOST_DENSE_ENTRIES", 0)
    draw = np.random.default_rng(d)
    A = draw.standard_normal((300, d)) * (draw.random((300, d)) < 0.5)
    expected = np.exp(-0.5 * ((A[:, None] - A[None]) ** 2).sum(2))
    G = GaussianMatrix(as_csr(A) if sparse_points else A, threads=2)
    v, chosen = draw.standard_normal(300), np.array([7, 299, 0])
    np.testing.assert_allclose(G.product(v), expected @ v, atol=1e-12)
    np.testing.assert_allclose(G.columns(chosen), expected[:, chosen], atol=1e-14)


def test_gradient_and_hessian_against_the_complex_step() -> None:
    A, b = planted(12)
    K, ridge, draw = np.exp(A @ A.T), 0.3, np.random.default_rng(1)
    x, p = draw.standard_normal(12), draw.standard_normal(12)

    def value(x: Any) -> Any:
        return 0.5 * np.sum((K @ x - b) ** 2) + 0.5 * ridge * (x @ K @ x)

    def gradient(x: Any) -> Any:
        return K @ (K @ x + ridge * x - b)

    slope = np.imag(value(x + 1e-30j * p)) / 1e-30
    bent = np.imag(gradient(x + 1e-30j * p)) / 1e-30
    assert slope == pytest.approx(gradient(x) @ p, rel=1e-10)
    np.testing.assert_allclose(bent, K @ (K + ridge * np.eye(12)) @ p, rtol=1e-10)
    anywhere = Solution({"x": x, "y": np.exp(0.5 * np.sum(A * A, axis=1)) * x}, None, ())
    certificate = engine.certify(spec_of(ridge), {"A": A, "b": b}, anywhere)
    assert certificate.loss == pytest.approx(value(x), rel=1e-10)
    in_metric = np.linalg.solve(K, np.array([np.imag(value(x + 1e-30j * e)) / 1e-30 for e in np.eye(12)]))
    assert certificate.gradient_norm == pytest.approx(np.linalg.norm(in_metric), rel=1e-10)


@pytest.mark.parametrize("method", ["cholesky", "pcg"])
@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_against_a_dense_solve(method: str, ridge: float) -> None:
    A, b = planted(150)
    K = np.exp(A @ A.T)
    x = np.linalg.solve(K + ridge * np.eye(150), b)
    steps, found, certificate = solve(A, b, ridge, method=method)
    assert steps[-1].termination == "converged"
    error = np.linalg.norm(found.arrays["x"] - x)
    assert error <= 1e-8 * np.linalg.norm(x)
    assert error <= certificate.distance_bound + 1e-13 * np.linalg.cond(K + ridge * np.eye(150))
    np.testing.assert_allclose(found.arrays["fitted"], K @ x, atol=1e-8)
    np.testing.assert_allclose(found.arrays["residual"], K @ x - b, atol=1e-8)
    exact_loss = 0.5 * np.sum((K @ x - b) ** 2) + 0.5 * ridge * x @ K @ x
    assert certificate.loss == pytest.approx(exact_loss, rel=1e-9)
    assert steps[-1].record.loss == pytest.approx(exact_loss, rel=1e-9)


def test_the_distance_bound_holds_in_long_double() -> None:
    A, b = planted(40)
    wide = A.astype(np.longdouble)
    K = np.exp(wide @ wide.T)
    _, found, certificate = solve(A, b, 0.5, method="pcg")
    M = (K + np.longdouble(0.5) * np.eye(40)).astype(np.longdouble)
    x = found.arrays["x"].astype(np.longdouble)
    best = x.copy()
    inverse = np.linalg.inv(M.astype(float))
    for _ in range(6):
        best = best + inverse @ (b - M @ best).astype(float)
    assert 0.0 < float(np.linalg.norm(x - best)) <= certificate.distance_bound


@pytest.mark.parametrize(("n", "most"), [(500, 10), (1000, 16), (2000, 25)])
def test_iterations_at_rank_200(n: int, most: int) -> None:
    A, b = planted(n)
    steps, _, certificate = solve(A, b, 1e-4 * n, method="pcg", rank=200)
    assert steps[-1].termination == "converged"
    assert steps[-1].state.iteration <= most
    assert certificate.relative_gradient_norm <= 1e-10


def test_a_larger_rank_takes_fewer_iterations() -> None:
    A, b = planted(1000)
    counts = [solve(A, b, 0.1, method="pcg", rank=rank)[0][-1].state.iteration for rank in (20, 80, 200)]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_points_whose_kernel_overflows(ridge: float) -> None:
    A = np.array([[27.84, 0.0], [0.0, 27.84], [0.3, 0.1]])
    b = np.array([2.0, 3.0, 4.0])
    steps, found, certificate = solve(A, b, ridge)
    assert steps[-1].termination == "converged"
    assert all(np.isfinite(array).all() for array in found.arrays.values())
    fitted = [2.0, 3.0, np.exp(0.1) * 4.0 / (np.exp(0.1) + ridge)]
    np.testing.assert_allclose(found.arrays["fitted"], fitted, rtol=1e-9)
    assert any("below the smallest float64" in said for said in found.warnings)
    assert certificate.distance_bound is None


def test_a_fit_that_cancels_beyond_the_tolerance_is_not_called_converged() -> None:
    A = np.array([[27.84, 0.0], [0.0, 27.84], [0.3, 0.1], [27.5, 1.0]])
    steps, found, _ = solve(A, [2.0, 3.0, 4.0, -1.0], 0.1)
    assert steps[-1].termination == "stalled"
    assert "rounding" in steps[-1].stopping_rule
    np.testing.assert_allclose(found.arrays["fitted"], [2.0, 3.0, 3.6681, -1.0], rtol=1e-5)


def test_points_beyond_even_the_square_root_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="scale A down") as caught:
        solve(np.array([[1.0], [40.0]]), [1.0, 2.0], 0.1)
    assert caught.value.source == {"pointer": "/A", "row": 1}


@pytest.mark.parametrize("method", ["cholesky", "pcg"])
def test_small_and_degenerate_inputs(method: str) -> None:
    for A, b in (
        ([[0.3]], [2.0]),
        ([[0.3], [0.3]], [1.0, 3.0]),
        ([[0.0, 1.0], [0.0, 2.0]], [1.0, 1.0]),
        ([[0.0], [0.0], [0.0]], [1.0, 2.0, 3.0]),
        ([[0.5], [0.7]], [0.0, 0.0]),
    ):
        points = np.array(A)
        K = np.exp(points @ points.T)
        steps, found, _ = solve(points, b, 0.5, method=method)
        assert steps[-1].termination == "converged"
        np.testing.assert_allclose(
            found.arrays["x"], np.linalg.solve(K + 0.5 * np.eye(len(b)), b), rtol=1e-9, atol=1e-12
        )


def test_no_ridge_is_answered_in_words() -> None:
    A, _ = planted(400, 2)
    steps, found, certificate = solve(A, np.ones(400), 0.0)
    assert certificate.relative_gradient_norm <= 1e-10
    assert certificate.distance_bound is None
    assert any("beyond float64" in said for said in found.warnings)
    assert any("no proven lower bound" in said for said in certificate.statements)
    assert steps[-1].stopping_rule


def test_equal_points_without_a_ridge_give_the_mean_and_say_that_it_stalled() -> None:
    steps, found, _ = solve(np.ones((5, 2)), np.arange(5.0), 0.0)
    assert steps[-1].termination == "stalled"
    assert "outside the range" in steps[-1].stopping_rule
    np.testing.assert_allclose(found.arrays["fitted"], 2.0)
    np.testing.assert_allclose(found.arrays["x"], found.arrays["x"][0])


def test_a_ridge_too_small_for_the_accuracy_is_said() -> None:
    A, b = planted(300, 2)
    spec, inputs = spec_of(1e-9), {"A": A, "b": b}
    said = "forbid an accuracy of x"
    assert any(said in warning for warning in engine.plan(spec, inputs).warnings)
    _, found, certificate = solve(A, b, 1e-9)
    assert any(said in warning for warning in found.warnings)
    assert any("no proof of accuracy" in statement for statement in certificate.statements)


def test_sparse_points_are_as_dense_ones() -> None:
    draw = np.random.default_rng(3)
    A = draw.standard_normal((80, 12)) * (draw.random((80, 12)) < 0.3)
    b = draw.standard_normal(80)
    dense, thin = (solve(points, b, 0.2, method="pcg")[1].arrays["x"] for points in (A, as_csr(A)))
    np.testing.assert_allclose(dense, thin, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("method", ["cholesky", "pcg"])
def test_resumed_and_threaded_solves_have_the_same_bits(method: str) -> None:
    A, b = planted(700, 5)
    spec, inputs = spec_of(0.07, method=method, solver={"tolerance": 1e-12}), {"A": A, "b": b}
    whole = list(engine.steps(spec, inputs))
    threaded = list(engine.steps(spec, inputs, 2))
    middle = whole[min(3, len(whole) - 2)].state
    resumed = list(engine.steps(spec, inputs, 2, middle))
    for other in (threaded, resumed):
        assert other[-1].record.model_copy(update={"phases": {}}) == whole[-1].record.model_copy(
            update={"phases": {}}
        )
        for name, array in whole[-1].state.arrays.items():
            assert array.tobytes() == other[-1].state.arrays[name].tobytes()


def test_no_iteration_is_the_start() -> None:
    A, b = planted(30)
    (step,) = engine.steps(spec_of(solver={"max_iterations": 0}), {"A": A, "b": b})
    assert step.termination == "max_iterations"
    assert step.record.loss == pytest.approx(0.5 * b @ b)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"intercept": True}, "intercept"),
        ({"row_weights": [1.0]}, "row_weights"),
        ({"solver": {"hessian": "exact"}}, "problem.method"),
        ({"solver": {"sketch": {"kind": "srht"}}}, "problem.rank"),
        ({"regulariser": {"weights": 1.0}}, "ridge"),
        ({"problem": {"kind": "attention_kernel", "rank": 0}}, "greater than or equal to 1"),
        ({"problem": {"kind": "attention_kernel", "method": "cholesky", "rank": 5}}, "rank is of pcg"),
        ({"problem": {"kind": "attention_kernel", "width": 2}}, "width"),
    ],
)
def test_what_it_does_not_take_is_refused(change: dict[str, Any], said: str) -> None:
    body = {"problem": {"kind": "attention_kernel"}, "A": ID, "b": ID, **change}
    with pytest.raises(ValidationError, match=said):
        SolveSpec.model_validate(body)


def test_a_target_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="expected"):
        solve(np.ones((3, 1)), [1.0, 2.0], 0.1)
