"""Powers of the Gram matrix: accuracy against planted solutions, every route, and what is said of κ."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import sparse

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import SolveSpec
from newtond.engine.state import Csr

ID = "sha256:" + "0" * 64
ROUTES = ("qr", "pcg")


def spec_of(power: int, form: str = "gram", **rest: Any) -> SolveSpec:
    problem = {"kind": "gram_power", "power": power, "form": form}
    problem |= {name: rest.pop(name) for name in ("method",) if name in rest}
    ridge = rest.pop("ridge", 0.0)
    body = {"problem": problem, "A": ID, "b": ID, "regulariser": {"ridge": ridge}, **rest}
    return SolveSpec.model_validate({"outputs": ["fitted", "residual"], **body})


def solve(A: Any, b: Any, power: int, form: str = "gram", **rest: Any) -> tuple[Any, Any, Any]:
    spec, inputs = spec_of(power, form, **rest), {"A": A, "b": np.asarray(b, float)}
    steps = list(engine.steps(spec, inputs))
    found = engine.solution(spec, inputs, steps[-1].state)
    return steps, found, engine.certify(spec, inputs, found)


def conditioned(kappa: float, n: int = 200, d: int = 10, seed: int = 0) -> Any:
    draw = np.random.default_rng(seed)
    left = np.linalg.qr(draw.standard_normal((n, d)))[0]
    right = np.linalg.qr(draw.standard_normal((d, d)))[0]
    return left * np.logspace(0.0, -np.log10(kappa), d) @ right.T


def image(A: Any, x: Any, power: int, form: str) -> Any:
    """T x in long double, rounded once."""
    wide, v = A.astype(np.longdouble), x.astype(np.longdouble)
    for _ in range(power):
        v = wide.T @ (wide @ v)
    return (wide @ v if form == "design" else v).astype(float)


def as_csr(A: Any) -> Csr:
    a = sparse.csr_array(A)
    a.sort_indices()
    return Csr(a.indptr.astype(np.int64), a.indices.astype(np.int32), a.data, a.shape)


@pytest.mark.parametrize("form", ["gram", "design"])
@pytest.mark.parametrize("power", [0, 1, 2])
def test_gradient_and_hessian_against_the_complex_step(form: str, power: int) -> None:
    draw = np.random.default_rng(power)
    A = 0.5 * draw.standard_normal((9, 4))
    T = np.linalg.matrix_power(A.T @ A, power)
    T = A @ T if form == "design" else T
    b, x, p = draw.standard_normal(len(T)), draw.standard_normal(4), draw.standard_normal(4)

    def gradient(x: Any) -> Any:
        return T.T @ (T @ x - b) + 0.1 * x

    slope = (
        np.imag(0.5 * np.sum((T @ (x + 1e-30j * p) - b) ** 2) + 0.05 * np.sum((x + 1e-30j * p) ** 2)) / 1e-30
    )
    assert slope == pytest.approx(gradient(x) @ p, rel=1e-10)
    bent = np.imag(gradient(x + 1e-30j * p)) / 1e-30
    np.testing.assert_allclose(bent, T.T @ T @ p + 0.1 * p, rtol=1e-10)
    steps, found, certificate = solve(A, b, power, form, ridge=0.1)
    best = np.linalg.solve(T.T @ T + 0.1 * np.eye(4), T.T @ b)
    np.testing.assert_allclose(found.arrays["x"], best, rtol=1e-11, atol=1e-13)
    assert steps[0].record.gradient_norm == pytest.approx(np.linalg.norm(T.T @ b), rel=1e-12)
    assert certificate.strong_convexity == 0.1
    np.testing.assert_allclose(found.arrays["fitted"], T @ best, atol=1e-12)
    np.testing.assert_allclose(found.arrays["residual"], T @ best - b, atol=1e-12)


@pytest.mark.parametrize("method", ROUTES)
@pytest.mark.parametrize(
    ("form", "power", "kappa", "error"),
    [
        ("gram", 1, 1e2, 2e-12),
        ("gram", 2, 1e2, 4e-9),
        ("gram", 3, 1e2, 4e-5),
        ("gram", 1, 1e4, 1e-7),
        ("design", 0, 1e4, 1e-11),
        ("design", 1, 1e2, 2e-11),
        ("design", 2, 1e2, 5e-8),
    ],
)
def test_a_planted_solution_comes_back_as_well_as_its_condition_lets_it(
    method: str, form: str, power: int, kappa: float, error: float
) -> None:
    A = conditioned(kappa)
    x = np.random.default_rng(1).standard_normal(10)
    steps, found, certificate = solve(A, image(A, x, power, form), power, form, method=method)
    assert steps[-1].termination == "converged"
    made = np.linalg.norm(found.arrays["x"] - x) / np.linalg.norm(x)
    assert made <= error
    assert made <= certificate.estimates["forward_error"]
    assert certificate.estimates["condition_number"] == pytest.approx(kappa, rel=1e-6)
    if form == "gram":
        assert certificate.backward_error <= 1e-12


@pytest.mark.parametrize("method", ROUTES)
def test_a_condition_number_past_1e13_is_said(method: str) -> None:
    A = conditioned(1e4)
    x = np.ones(10)
    _, found, certificate = solve(A, image(A, x, 2, "gram"), 2, method=method)
    assert any("past 1e13" in said for said in found.warnings)
    assert certificate.estimates["forward_error"] > 1e-2
    assert not solve(A, image(A, x, 1, "gram"), 1, method=method)[1].warnings


@pytest.mark.parametrize("form", ["gram", "design"])
@pytest.mark.parametrize("method", ROUTES)
def test_sparse_and_dense_agree_with_numpy(form: str, method: str) -> None:
    draw = np.random.default_rng(5)
    A = draw.standard_normal((400, 20)) * (draw.random((400, 20)) < 0.3)
    b = draw.standard_normal(400 if form == "design" else 20)
    T = A.T @ A if form == "gram" else A @ (A.T @ A)
    expected = np.linalg.lstsq(T, b, rcond=None)[0]
    for matrix in (A, as_csr(A)):
        steps, found, _ = solve(matrix, b, 1, form, method=method)
        assert steps[-1].termination == "converged"
        np.testing.assert_allclose(found.arrays["x"], expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("form", ["gram", "design"])
def test_a_deficient_rank_has_the_least_norm(form: str) -> None:
    draw = np.random.default_rng(2)
    A = draw.standard_normal((30, 3)) @ draw.standard_normal((3, 5))
    b = draw.standard_normal(30 if form == "design" else 5)
    T = A.T @ A if form == "gram" else A @ (A.T @ A)
    for method in ROUTES:
        _, found, certificate = solve(A, b, 1, form, method=method)
        np.testing.assert_allclose(
            found.arrays["x"], np.linalg.pinv(T, rcond=1e-12) @ b, rtol=1e-8, atol=1e-12
        )
        assert certificate.nullity == 2
        assert any("nullity 2" in said for said in found.warnings)
        assert certificate.curvature == "undetermined"


@pytest.mark.parametrize(
    "A",
    [[[2.0]], [[0.0]], [[1.0, 0.0], [2.0, 0.0]], [[1.0, 2.0], [1.0, 2.0], [0.0, 1.0]], [[1.0, 2.0, 3.0]]],
    ids=["1 × 1", "zero", "zero column", "equal rows", "wide"],
)
@pytest.mark.parametrize("form", ["gram", "design"])
@pytest.mark.parametrize("power", [0, 1, 2])
def test_small_and_degenerate_matrices(A: Any, form: str, power: int) -> None:
    A = np.array(A)
    T = np.linalg.matrix_power(A.T @ A, power)
    T = A @ T if form == "design" else T
    b = np.linspace(1.0, 2.0, len(T))
    for method in ROUTES:
        steps, found, _ = solve(A, b, power, form, method=method)
        assert steps[-1].termination == "converged"
        np.testing.assert_allclose(
            found.arrays["x"], np.linalg.pinv(T, rcond=1e-12) @ b, rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("size", [1e-40, 1e40])
def test_powers_beyond_float64_are_scaled(size: float) -> None:
    A = conditioned(10.0)
    x = np.random.default_rng(1).standard_normal(10)
    b = image(A, x, 3, "gram")
    _, found, _ = solve(size * A, b, 3)
    np.testing.assert_allclose(found.arrays["x"], x * size**-6.0, rtol=1e-7)


@pytest.mark.parametrize("method", ROUTES)
def test_resumed_and_threaded_solves_have_the_same_bits(method: str) -> None:
    A = conditioned(1e3, 3000, 30)
    b = np.random.default_rng(9).standard_normal(3000)
    spec, inputs = spec_of(2, "design", method=method), {"A": A, "b": b}
    whole = list(engine.steps(spec, inputs))
    assert len(whole) >= (2 if method == "qr" else 5)
    for k in range(len(whole) - 1):
        resumed = list(engine.steps(spec, inputs, 2, whole[k].state))
        assert [step.record.iteration for step in resumed] == list(range(k + 1, len(whole)))
        for name, array in whole[-1].state.arrays.items():
            assert array.tobytes() == resumed[-1].state.arrays[name].tobytes()
        assert resumed[-1].state.scalars == whole[-1].state.scalars


def test_no_iteration_is_the_start() -> None:
    A, b = conditioned(10.0), np.ones(10)
    for method in ROUTES:
        (step,) = engine.steps(spec_of(1, method=method, solver={"max_iterations": 0}), {"A": A, "b": b})
        assert step.termination == "max_iterations"
        assert step.record.loss == pytest.approx(5.0)


def test_the_plan_says_its_route() -> None:
    draw = np.random.default_rng(0)
    small = {"A": draw.standard_normal((50, 5)), "b": np.ones(5)}
    assert engine.plan(spec_of(1), small).hessian == "exact"
    drawn = engine.plan(spec_of(1, solver={"sketch": {"kind": "srht"}}), small)
    assert (drawn.hessian, drawn.sketch_rows) == ("sketch", 55)
    wide = sparse.random_array((200, 6000), density=0.01, rng=draw, format="csr")
    plan = engine.plan(spec_of(1), {"A": as_csr(wide), "b": np.ones(6000)})
    assert plan.hessian == "free"
    assert any("row space" in said for said in plan.warnings)


def test_matrix_free_with_many_columns() -> None:
    draw = np.random.default_rng(4)
    A = sparse.vstack(
        [sparse.eye_array(6000, format="csr"), 0.1 * sparse.random_array((500, 6000), density=0.01, rng=draw)]
    ).tocsr()
    x = draw.standard_normal(6000)
    b = A.T @ (A @ (A.T @ (A @ x)))
    steps, found, _ = solve(as_csr(A), b, 2)
    assert steps[-1].termination == "converged"
    np.testing.assert_allclose(found.arrays["x"], x, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem": {"kind": "gram_power"}}, "power"),
        ({"problem": {"kind": "gram_power", "power": -1}}, "greater than or equal to 0"),
        ({"intercept": True}, "intercept"),
        ({"regulariser": {"weights": 1.0}}, "weights"),
        ({"solver": {"hessian": "sketch"}}, "problem.method"),
    ],
)
def test_what_it_does_not_take_is_refused(change: dict[str, Any], said: str) -> None:
    body = {"problem": {"kind": "gram_power", "power": 1}, "A": ID, "b": ID, **change}
    with pytest.raises(ValidationError, match=said):
        SolveSpec.model_validate(body)


@pytest.mark.parametrize(
    ("rest", "pointer"),
    [
        ({"method": "pcg", "ridge": 1.0}, "/regulariser/ridge"),
        ({"method": "qr", "solver": {"sketch": {"kind": "srht"}}}, "/solver/sketch"),
    ],
)
def test_what_contradicts_its_route_is_refused(rest: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        engine.plan(spec_of(1, **rest), {"A": np.ones((3, 2)), "b": np.ones(2)})
    assert caught.value.source == {"pointer": pointer}


def test_a_target_of_the_other_form_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="expected"):
        engine.plan(spec_of(1, "design"), {"A": np.ones((3, 2)), "b": np.ones(2)})
