"""Power regression: derivatives, recovery, the length of x, odd degrees, and what small degrees cannot tell apart."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.engine.problems import power
from newtond.engine.regression import Regression

STEP, TOLERANCE = 1e-30, 1e-10
RNG = np.random.default_rng(12)
N, D = 23, 3
A = RNG.normal(size=(N, D))
GROUPS = np.repeat(np.arange(4.0), [5, 1, 10, 7])
B = RNG.random(N) / 6
V, W, OFFSET = RNG.random(N) + 0.1, RNG.random(N), RNG.normal(size=N)
VARIANTS: dict[str, dict[str, Any]] = {
    "one group": {},
    "groups": {"groups": GROUPS, "row_weights": V},
    "w and offset": {"groups": GROUPS, "row_weights": V, "weights": W, "offset": OFFSET},
}


def kind(degree: int, normalised: bool = True) -> dict[str, Any]:
    return {"kind": "power", "degree": degree, "normalised": normalised}


def regression(make_problem: Any, problem: Any, matrix: Any, b: Any, **options: Any) -> Regression:
    spec, inputs = make_problem(problem, matrix, b, **options)
    return Regression(spec, inputs, power.link(spec), 1)


def plain(degree: int, options: dict[str, Any], matrix: Any, b: Any) -> tuple[Any, Any]:
    """Return F and ∇F of the normalised form, both of complex numbers."""
    labels = options.get("groups", np.zeros(len(b)))
    v = np.broadcast_to(options.get("row_weights", 1.0), len(b))
    w, offset = options.get("weights", 0.0), options.get("offset", 0.0)
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    gamma, rows = v[parts[0]].mean() / len(parts[0]), len(parts[0])

    def value(y: Any) -> Any:
        z = matrix @ y
        total = 0.5 * np.sum(w**2 * (z - offset) ** 2)
        for part in parts:
            u = z[part] ** degree
            total = total + 0.5 * np.sum(v[part] * (u / u.sum() - b[part]) ** 2)
        return total + 0.5 * gamma * np.log(np.sum(z[parts[0]] ** degree) / rows) ** 2

    def gradient(y: Any) -> Any:
        z = matrix @ y
        slope = w**2 * (z - offset) + 0j
        for k, part in enumerate(parts):
            u, rise = z[part] ** degree, degree * z[part] ** (degree - 1)
            f, c = u / u.sum(), v[part] * (u / u.sum() - b[part])
            slope[part] += rise / u.sum() * (c - np.sum(c * f))
            if k == 0:
                slope[part] += gamma * np.log(u.sum() / rows) * rise / u.sum()
        return matrix.T @ slope

    return value, gradient


def complex_step(function: Any, y: Any) -> Any:
    steps = [y + 1j * STEP * unit for unit in np.eye(len(y))]
    return np.stack([np.imag(function(step)) / STEP for step in steps], axis=-1)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("degree", [2, 3, 4, 7])
def test_every_derivative(make_problem: Any, degree: int, variant: str, storage: Any) -> None:
    options = VARIANTS[variant]
    matrix = np.abs(A) + 0.1 if degree % 2 else A
    y = np.array([0.7, 0.4, 1.1])
    value, gradient = plain(degree, options, matrix, B)
    objective = regression(make_problem, kind(degree), storage(matrix), B, **options).objective
    here = objective.expand(y)
    slope, hessian = complex_step(value, y), complex_step(gradient, y)
    assert here.value == pytest.approx(value(y), rel=TOLERANCE)
    np.testing.assert_allclose(gradient(y).real, slope, rtol=1e-9, atol=TOLERANCE * np.abs(slope).max())
    np.testing.assert_allclose(here.gradient, slope, rtol=TOLERANCE, atol=TOLERANCE * np.abs(slope).max())
    upper = here.curvature.gram(objective.design, True)
    largest = np.abs(hessian).max()
    np.testing.assert_allclose(
        np.triu(upper) + np.triu(upper, 1).T, hessian, rtol=TOLERANCE, atol=TOLERANCE * largest
    )
    p = np.cos(np.arange(D))
    product = here.curvature.product(objective.design, p, True)
    np.testing.assert_allclose(product, hessian @ p, rtol=TOLERANCE, atol=TOLERANCE * largest)
    along = objective.along(here, p, objective.design.matvec(p), 0.0)
    assert along == pytest.approx(here.value, rel=1e-12)
    model = here.curvature.gram(objective.design, False)
    assert np.linalg.eigvalsh(np.triu(model) + np.triu(model, 1).T)[0] > 0.0


@pytest.mark.parametrize("degree", [2, 3, 4, 7])
def test_every_derivative_of_the_undivided_form(make_problem: Any, degree: int) -> None:
    b, y = 3 * OFFSET, np.array([0.7, -0.4, 1.1])
    subject = regression(make_problem, kind(degree, False), A, b, row_weights=V, ridge=0.3)

    def value(x: Any) -> Any:
        return 0.5 * np.sum(V * ((A @ x) ** degree - b) ** 2) + 0.15 * np.sum(x * x)

    def gradient(x: Any) -> Any:
        z = A @ x
        return A.T @ (V * (z**degree - b) * degree * z ** (degree - 1)) + 0.3 * x

    here, hessian = subject.objective.expand(y), complex_step(gradient, y)
    assert here.value == pytest.approx(value(y), rel=TOLERANCE)
    slope = complex_step(value, y)
    np.testing.assert_allclose(here.gradient, slope, rtol=TOLERANCE, atol=TOLERANCE * np.abs(slope).max())
    upper = here.curvature.gram(subject.design, True) + 0.3 * np.eye(D)
    np.testing.assert_allclose(
        np.triu(upper), np.triu(hessian), rtol=1e-10, atol=1e-10 * np.abs(hessian).max()
    )


@pytest.mark.parametrize("degree", [2, 3, 4, 8])
def test_the_curvature_bounds_enclose_the_curvature(degree: int) -> None:
    rng = np.random.default_rng(8)
    b = np.concatenate([10 * rng.normal(size=300), [0.0, 1.0, 4.0, -3.0]])
    for width in (0.0, 1e-8, 0.3, 4.0):
        low = 1.5 * rng.normal(size=len(b))
        inside = [
            degree * (2 * degree - 1) * z ** (2 * degree - 2) - degree * (degree - 1) * b * z ** (degree - 2)
            for z in (low + t * width for t in np.linspace(0.0, 1.0, 201))
        ]
        floor, ceiling = (bound(degree, b, low, low + width) for bound in (power.floor, power.ceiling))
        assert np.all(floor <= np.min(inside, axis=0))
        assert np.all(ceiling >= np.max(inside, axis=0))


def shares(z: Any, degree: int, size: int) -> Any:
    u = z**degree
    return u / np.repeat(np.add.reduceat(u, np.arange(0, len(u), size)), size)


@pytest.mark.parametrize("hessian", ["exact", "sketch"])
@pytest.mark.parametrize("degree", [2, 3, 4, 8, 32])
def test_a_planted_x_is_recovered_up_to_its_length(solve: Any, degree: int, hessian: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        matrix, x = np.abs(rng.normal(size=(80, 3))) + 0.3, np.abs(rng.normal(size=3)) + 0.1
        found = solve(kind(degree), matrix, shares(matrix @ x, degree, 80), solver={"hessian": hessian})
        assert found.last.termination == "converged"
        assert found.last.record.loss < 1e-20
        np.testing.assert_allclose(found.x / np.linalg.norm(found.x), x / np.linalg.norm(x), rtol=1e-6)
        assert np.mean((matrix @ found.x) ** degree) == pytest.approx(1.0, rel=1e-9)
        assert found.certificate.curvature == "strict_local_minimum"


def test_predictors_of_either_sign_under_an_even_degree(solve: Any) -> None:
    recovered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        matrix, x = rng.normal(size=(200, 3)), rng.normal(size=3)
        found = solve(kind(2), matrix, shares(matrix @ x, 2, 20), groups=np.repeat(np.arange(10.0), 20))
        ends = np.isfinite(found.last.record.loss) and found.last.record.loss < 1e-14
        recovered += ends and np.allclose(np.abs(found.x @ x), np.linalg.norm(found.x) * np.linalg.norm(x))
        assert "−x fits exactly as well" in found.warnings
    assert recovered >= 18


@pytest.mark.parametrize("hessian", ["exact", "sketch"])
def test_every_way_of_solving_noisy_groups_finds_the_same_point(solve: Any, hessian: str) -> None:
    rng = np.random.default_rng(5)
    matrix, labels = np.abs(rng.normal(size=(240, 4))) + 0.2, np.repeat(np.arange(30.0), 8)
    b = shares(matrix @ [1.0, 0.5, 0.2, 0.8], 4, 8) * (1 + 0.2 * rng.random(240))
    b /= np.repeat(np.add.reduceat(b, np.arange(0, 240, 8)), 8)
    reference = solve(kind(4), matrix, b, groups=labels, solver={"hessian": "exact"})
    order = rng.permutation(240)
    for storage in (np.asarray, sp.csr_array):
        found = solve(
            kind(4), storage(matrix[order]), b[order], groups=labels[order], solver={"hessian": hessian}
        )
        assert found.last.termination == "converged"
        np.testing.assert_allclose(found.x, reference.x, rtol=1e-7)


@pytest.mark.parametrize("normalised", [True, False])
def test_bits_do_not_depend_on_threads_nor_on_a_stop(make_problem: Any, normalised: bool) -> None:
    rng = np.random.default_rng(2)
    matrix = sp.csr_array(rng.random((20_000, 8)) * (rng.random((20_000, 8)) < 0.5) + 0.01)
    b = shares(matrix @ np.linspace(0.1, 1.0, 8), 4, 20) * (1 + 0.3 * rng.random(20_000))
    groups = {"groups": np.repeat(np.arange(1000.0), 20)} if normalised else {}
    spec, inputs = make_problem(kind(4, normalised), matrix, b, solver={"hessian": "sketch"}, **groups)
    one, two = (list(engine.steps(spec, inputs, threads)) for threads in (1, 2))
    resumed = list(engine.steps(spec, inputs, 2, one[0].state))
    bits = [[step.state.arrays["x"].tobytes() for step in steps] for steps in (one, two, resumed)]
    assert len(one) >= 3
    assert bits[0] == bits[1]
    assert bits[0][1:] == bits[2]


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_undivided_powers_are_recovered_and_certified(solve: Any, degree: int) -> None:
    rng = np.random.default_rng(degree)
    matrix, x = rng.normal(size=(200, 3)), np.array([0.8, -0.5, 0.6])
    found = solve(kind(degree, False), matrix, (matrix @ x) ** degree)
    np.testing.assert_allclose(found.x, x, rtol=1e-8)
    assert found.certificate.distance_bound < 1e-9


def test_an_odd_degree_wants_predictors_that_are_not_negative(solve: Any, make_problem: Any) -> None:
    subject = regression(make_problem, kind(3), np.eye(2), np.array([0.5, 0.5]))
    assert np.isfinite(subject.loss.value(np.array([1.0, 0.0])))
    assert not np.isfinite(subject.loss.value(np.array([1.0, -1e-9])))
    assert not np.isfinite(subject.loss.value(np.zeros(2)))
    with pytest.raises(InvalidSpec, match="odd degree"):
        solve(kind(3), np.array([[1.0], [-1.0]]), np.array([0.5, 0.5]))


REFUSED: dict[str, tuple[bool, dict[str, Any], str]] = {
    "ridge": (True, {"ridge": 0.1}, "shrink x to 0"),
    "weights": (True, {"weights": 0.1}, "shrink x to 0"),
    "convex": (True, {"weights": "convex"}, "no finite w"),
    "paper": (True, {"solver": {"hessian": "paper"}}, "couples the rows"),
    "target": (True, {"offset": "target"}, "give a vector"),
    "groups": (False, {"groups": np.zeros(4)}, "without division"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_meaning_is_refused_with_the_reason(solve: Any, case: str) -> None:
    normalised, options, words = REFUSED[case]
    with pytest.raises(InvalidSpec, match=words):
        solve(kind(4, normalised), np.eye(4), np.ones(4) / 4, **options)


def test_convex_weights_make_an_even_power_return_nought_and_say_so(solve: Any) -> None:
    rng = np.random.default_rng(0)
    found = solve(kind(2, False), rng.normal(size=(50, 2)), 3 * rng.random(50), weights="convex", margin=1e-3)
    assert np.abs(found.x).max() < 1e-10
    assert "at x = 0, whatever b is" in found.warnings


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("normalised", [True, False])
def test_odd_inputs_are_answers(solve: Any, normalised: bool, storage: Any) -> None:
    solve(kind(4, normalised), storage(np.ones((1, 2))), np.ones(1))
    level = np.column_stack([np.linspace(1, 2, 9), np.zeros(9)])
    gap = solve(kind(4, normalised), storage(level), np.linspace(0.01, 0.2, 9))
    assert gap.x[1] == 0.0
    assert "nullity 1" in gap.warnings
    solve(kind(4, normalised), storage(level[:, :1]), np.full(9, 1 / 9))
    if normalised:
        alone = solve(kind(4), storage(level[:, :1]), np.ones(9) / 3, groups=np.arange(9.0) // 4)
        assert "irreducible" in alone.warnings


def test_huge_and_tiny_predictors_do_not_overflow(make_problem: Any) -> None:
    subject = regression(make_problem, kind(64), np.abs(A) + 0.1, B)
    for size in (1e-200, 1.0, 1e200):
        assert np.isfinite(subject.objective.expand(np.full(D, size)).value)


@pytest.mark.parametrize(("degree", "weight"), [(4, 0.07), (8, 0.29), (16, 0.91), (32, 1.0)])
def test_only_a_large_degree_tells_the_two_data_sets_apart(
    make_problem: Any, degree: int, weight: float
) -> None:
    spread = np.ones((64, 1))
    peaked = spread.copy()
    peaked[0] = 1.5
    fits = [
        regression(make_problem, kind(degree), rows, np.full(64, 1 / 64)).loss.fit(rows[:, 0])[0][0]
        for rows in (spread, peaked)
    ]
    assert fits[0] == pytest.approx(1 / 64)
    assert fits[1] == pytest.approx(weight, abs=0.005)
