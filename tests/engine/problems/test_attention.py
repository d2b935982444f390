"""One-layer attention: derivatives, planted recovery, null directions, masks, same bits, refusals."""

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import SolveSpec
from newtond.engine.certificate.attention import AttentionPoint
from newtond.engine.methods.matrix_softmax import Maps
from newtond.engine.methods.variable_projection import Layer
from newtond.engine.problems.attention import Attention
from newtond.engine.rowblocks.scores import Scores
from newtond.engine.state import Inputs, State
from tests.engine.conftest import bits

ID = "sha256:" + "0" * 64
Arrays = dict[str, Any]


def spec_of(arrays: Arrays, solver: dict[str, Any] | None = None, **options: Any) -> SolveSpec:
    outputs = options.pop("outputs", [])
    request = {"problem": {"kind": "attention", **options}, "outputs": outputs, "solver": solver or {}}
    return SolveSpec.model_validate(request | dict.fromkeys(arrays, ID))


def run(arrays: Arrays, solver: dict[str, Any] | None = None, **options: Any) -> Any:
    spec = spec_of(arrays, solver, **options)
    steps = list(engine.steps(spec, arrays))
    found = engine.solution(spec, arrays, steps[-1].state)
    return steps[-1], found, engine.certify(spec, arrays, found)


def probabilities(A1: Any, A2: Any, X: Any, causal: bool = False) -> Any:
    """Return P by the plainest formula; takes complex X too."""
    scores = A1 @ X @ A2.T
    u = np.exp(scores - scores.real.max(axis=1, keepdims=True))
    if causal:
        u = np.tril(u)
    return u / u.sum(axis=1, keepdims=True)


def plant(n: int, d: int, seed: int, *, causal: bool = False) -> tuple[Arrays, Any, Any]:
    rng = np.random.default_rng(seed)
    A1, A2, A3 = (rng.normal(size=(n, d)) for _ in range(3))
    X, Y = rng.normal(size=(d, d)) / np.sqrt(d), rng.normal(size=(d, d))
    return {"A1": A1, "A2": A2, "A3": A3, "B": probabilities(A1, A2, X, causal) @ A3 @ Y}, X, Y


def layer(seed: int, *, causal: bool = False, ridge_y: float = 0.0) -> Layer:
    rng = np.random.default_rng(seed)
    Q, K, V, B = (rng.normal(size=(30, k)) for k in (3, 4, 2, 3))
    return Layer(
        Q,
        Scores(K, np.arange(30), causal=causal, threads=1),
        V,
        B,
        rng.uniform(0.0, 0.3, (3, 4)),
        ridge_y,
        dense=True,
    )


def maps(seed: int, *, causal: bool = False) -> Maps:
    rng = np.random.default_rng(seed)
    Q, K = rng.normal(size=(30, 3)), rng.normal(size=(30, 4))
    B = rng.dirichlet(np.ones(30), 30)
    return Maps(
        Q, Scores(K, np.arange(30), causal=causal, threads=1), B, rng.uniform(0.0, 0.3, (3, 4)), dense=True
    )


def numerical(function: Any, x: Any) -> Any:
    """Differentiate by central differences of fourth order."""
    h = 1e-3
    columns = []
    for e in np.eye(len(x)):
        far = function(x + 2 * h * e) - function(x - 2 * h * e)
        near = function(x + h * e) - function(x - h * e)
        further = function(x + 3 * h * e) - function(x - 3 * h * e)
        columns.append((45.0 * near - 9.0 * far + further) / (60.0 * h))
    return np.array(columns).T


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b)


CASES = {
    "plain": lambda: layer(0),
    "causal": lambda: layer(1, causal=True),
    "ridge on Y": lambda: layer(2, ridge_y=0.7),
    "map": lambda: maps(3),
    "causal map": lambda: maps(4, causal=True),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_projected_gradient_and_hessian(make: Any) -> None:
    terrain = make()
    x = 0.4 * np.random.default_rng(9).normal(size=12)
    here = terrain.at(x)
    close(here.gradient, numerical(lambda y: np.array(terrain.at(y).value), x), 1e-10)
    close(here._hessian, numerical(lambda y: terrain.at(y).gradient, x), 1e-10)


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@pytest.mark.parametrize("exact", [False, True], ids=["model", "hessian"])
def test_products_are_those_of_the_matrices(make: Any, exact: bool) -> None:
    here = make().at(0.4 * np.random.default_rng(10).normal(size=12))
    matrix = here._hessian if exact else here._model
    close(np.array([here.product(e, exact) for e in np.eye(12)]), matrix, 1e-12)
    assert exact or np.linalg.eigvalsh(matrix)[0] > -1e-12


@pytest.mark.parametrize("unit", [1.0, 1e-25, 1e25])
def test_single_precision_products_are_right_to_its_digits_in_any_unit(unit: float) -> None:
    terrain = layer(5, causal=True)
    x, d = (0.4 * np.random.default_rng(seed).normal(size=12) for seed in (10, 11))
    values, target = unit * terrain.values, unit * terrain.target
    scaled = replace(terrain, values=values, target=target, ridge=0.0 * terrain.ridge)
    here = scaled.at(x)
    single = here.model(unit * d, here.averages.single())
    close(single, here.product(unit * d, False), 1e-5)
    assert (single != here.product(unit * d, False)).any()


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_some_rows_and_the_others_make_up_the_whole(make: Any) -> None:
    terrain, x = make(), 0.4 * np.random.default_rng(12).normal(size=12)
    first = np.array([0, 3, 4, 11, 29])
    rest = np.setdiff1d(np.arange(30), first)
    whole, *parts = (here.at(x) for here in (terrain, terrain.of_rows(first), terrain.of_rows(rest)))
    if isinstance(terrain, Maps):
        assert sum(part.value for part in parts) == pytest.approx(whole.value, rel=1e-12)
    means = (lambda here: here.Z) if isinstance(terrain, Layer) else (lambda here: here.fitted())
    for rows, part in zip((first, rest), parts, strict=True):
        close(means(part), means(whole)[rows], 1e-13)


@pytest.mark.parametrize("values", [True, False], ids=["output", "map"])
def test_the_certificate_differentiates_the_joint_loss(values: bool) -> None:
    arrays, X, Y = plant(12, 3, 5)
    B = arrays["B"] + 0.3 if values else np.full((12, 12), 1 / 12)
    A3 = arrays["A3"] if values else None
    point = AttentionPoint(arrays["A1"], arrays["A2"], A3, B, X, Y if values else None, 0.2, 0.1, False)

    def loss(y: Any) -> Any:
        P = probabilities(arrays["A1"], arrays["A2"], y[:9].reshape(3, 3))
        if not values:
            return 0.5 * np.sum((P - B) ** 2) + 0.1 * np.sum(y**2)
        R = P @ arrays["A3"] @ y[9:].reshape(3, 3) - B
        return 0.5 * np.sum(R**2) + 0.1 * np.sum(y[:9] ** 2) + 0.05 * np.sum(y[9:] ** 2)

    y = np.concatenate([X.ravel(), Y.ravel()]) if values else X.ravel()
    steps = 1e-30j * np.eye(len(y))
    exact = np.array([loss(y + step).imag / 1e-30 for step in steps])
    close(point.value_and_gradient[1], exact, 1e-12)

    def gradient(y: Any) -> Any:
        return np.array([loss(y + step).imag / 1e-30 for step in steps])

    close(point.hessian(), numerical(gradient, y), 1e-10)
    close(np.array([point.product(e) for e in np.eye(len(y))]), point.hessian(), 1e-13)


@pytest.mark.parametrize("options", [{}, {"target": "map"}], ids=["output", "map"])
def test_a_hessian_too_large_to_form_has_its_smallest_eigenvalue_estimated(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, _, _ = plant(60, 3, 6)
    if options:
        del arrays["A3"]
        arrays["B"] = np.random.default_rng(2).dirichlet(np.ones(60), 60)
    spec = spec_of(arrays, {"max_iterations": 4}, starts=1, **options)
    last = list(engine.steps(spec, arrays))[-1]
    found = engine.solution(spec, arrays, last.state)
    X, Y = found.arrays["X"], found.arrays.get("Y")
    A3 = None if Y is None else arrays["A3"]
    point = AttentionPoint(arrays["A1"], arrays["A2"], A3, arrays["B"], X, Y, 0.0, 0.0, False)
    monkeypatch.setattr("newtond.engine.certificate.attention.MOST_UNKNOWNS", 0)
    certificate = engine.certify(spec, arrays, found)
    lowest = np.linalg.eigvalsh(point.hessian())
    assert (certificate.curvature, certificate.scope) == ("undetermined", "none")
    ritz = certificate.estimates["smallest_eigenvalue_at_most"]
    rounding = 1e-12 * lowest[-1]
    assert lowest[0] - rounding <= ritz <= lowest[0] + 1e-6 * lowest[-1]


def test_planted_recovery_from_the_best_of_seven_starts() -> None:
    recovered = 0
    for seed in range(10):
        arrays, X, Y = plant((40, 80, 120, 200)[seed % 4], 3 + seed % 2, seed)
        last, found, certificate = run(arrays, starts=7)
        assert last.termination == "converged"
        assert certificate.curvature == "strict_local_minimum"
        assert certificate.scope == "local"
        if certificate.loss < 1e-20 * np.sum(arrays["B"] ** 2):
            recovered += 1
            close(found.arrays["X"], X, 1e-8)
            close(found.arrays["Y"], Y, 1e-8)
    assert recovered >= 4


def test_a_planted_map_is_recovered_from_every_start() -> None:
    arrays, X, _ = plant(60, 3, 1)
    del arrays["A3"]
    arrays["B"] = probabilities(arrays["A1"], arrays["A2"], X)
    _, found, certificate = run(arrays, target="map", outputs=["fitted", "residual"])
    close(found.arrays["X"], X, 1e-10)
    assert set(found.arrays) == {"X", "losses", "fitted", "residual"}
    assert certificate.curvature == "strict_local_minimum"
    assert np.abs(found.arrays["residual"]).max() < 1e-12


def test_directions_that_no_score_sees_are_null_and_X_is_of_least_norm() -> None:
    arrays, _, _ = plant(50, 3, 6)
    arrays["A2"] = np.hstack([arrays["A2"], np.ones((50, 1))])  # A2 t = 1 for t = e₄
    _, found, certificate = run(arrays, starts=3)
    X = found.arrays["X"]
    assert X.shape == (3, 4)
    assert np.abs(X[:, 3]).max() <= 1e-12
    moved = X + np.outer([1.0, -2.0, 3.0], [0, 0, 0, 1.0])
    close(
        probabilities(arrays["A1"], arrays["A2"], moved), probabilities(arrays["A1"], arrays["A2"], X), 1e-13
    )
    assert certificate.nullity == 3
    assert certificate.curvature == "strict_local_minimum"
    assert any("least norm" in warning for warning in found.warnings)


def test_causal_recovers_a_planted_layer_from_near_by() -> None:
    arrays, X, Y = plant(60, 3, 8, causal=True)
    _, found, certificate = run(arrays | {"X0": X + 0.01}, causal=True)
    assert certificate.loss < 1e-24
    close(found.arrays["Y"], Y, 1e-9)


def test_a_start_of_the_callers_own_is_kept_free_of_the_first_ridge() -> None:
    arrays, X, _ = plant(60, 3, 8)
    spec = spec_of(arrays | {"X0": X + 1e-4}, starts=1)
    steps = list(engine.steps(spec, arrays | {"X0": X + 1e-4}))
    assert len(steps) <= 6
    assert not any("ridge" in (step.record.note or "") for step in steps)


def test_causal_rows_see_nothing_later() -> None:
    arrays, X, _ = plant(60, 3, 8)
    keys = {"A1": arrays["A1"], "A2": arrays["A2"], "B": np.tril(np.full((60, 60), 0.02)), "X0": X}
    changed = keys | {"A2": np.vstack([arrays["A2"][:-1], 5.0 + arrays["A2"][-1:]])}
    maps_ = []
    for each in (keys, changed):
        options = {"target": "map", "causal": True, "starts": 1, "outputs": ["fitted"]}
        maps_.append(run(each, {"max_iterations": 0}, **options)[1].arrays["fitted"])
    assert not np.triu(maps_[0], 1).any()
    close(maps_[0], probabilities(arrays["A1"], arrays["A2"], X, causal=True), 1e-12)
    close(maps_[1][:-1], maps_[0][:-1], 1e-12)


def test_self_attention_takes_its_array_once() -> None:
    rng = np.random.default_rng(12)
    A, X, Y = rng.normal(size=(80, 3)), rng.normal(size=(3, 3)) / 2, rng.normal(size=(3, 2))
    B = probabilities(A, A, X) @ A @ Y
    once = run({"A1": A, "B": B}, starts=3)[1].arrays
    thrice = run({"A1": A, "A2": A, "A3": A, "B": B}, starts=3)[1].arrays
    assert once["X"].tobytes() == thrice["X"].tobytes()
    assert once["Y"].tobytes() == thrice["Y"].tobytes()


def test_ridges_are_in_the_loss_and_shrink() -> None:
    arrays, _, _ = plant(40, 3, 3)
    _, free, _ = run(arrays, starts=2)
    last, found, certificate = run(arrays, starts=2, ridge_x=0.5, ridge_y=0.5)
    X, Y = found.arrays["X"], found.arrays["Y"]
    P = probabilities(arrays["A1"], arrays["A2"], X)
    loss = 0.5 * np.sum((P @ arrays["A3"] @ Y - arrays["B"]) ** 2) + 0.25 * (np.sum(X**2) + np.sum(Y**2))
    assert last.termination == "converged"
    assert certificate.loss == pytest.approx(loss, rel=1e-12)
    assert certificate.relative_gradient_norm < 1e-7
    assert np.linalg.norm(Y) < np.linalg.norm(free.arrays["Y"])


def test_every_start_reports_its_loss_and_the_words_say_local() -> None:
    arrays, _, _ = plant(80, 4, 1)
    _, found, certificate = run(arrays, starts=4)
    losses = found.arrays["losses"]
    assert len(losses) == 4
    assert np.ptp(losses) > 0.0
    assert certificate.loss == pytest.approx(losses.min(), rel=1e-9)
    assert any("4 of 4 starts ended" in warning and "local" in warning for warning in found.warnings)


@pytest.mark.parametrize(("n", "d"), [(1, 3), (20, 1), (1, 1), (2, 5)])
def test_small_shapes_end_in_words(n: int, d: int) -> None:
    rng = np.random.default_rng(13)
    arrays = {name: rng.normal(size=(n, d)) for name in ("A1", "A2", "A3", "B")}
    last, found, certificate = run(arrays)
    assert last.termination in ("converged", "stalled", "max_iterations")
    assert np.isfinite(found.arrays["X"]).all()
    assert np.isfinite(certificate.loss)
    assert certificate.statements


def test_zero_columns_and_sparse_inputs(as_csr: Any) -> None:
    arrays, _, _ = plant(40, 3, 14)
    arrays["A1"][:, 1] = 0.0
    dense = run(arrays, starts=2)[1].arrays
    sparse = run({name: as_csr(array) for name, array in arrays.items()}, starts=2)[1].arrays
    assert dense["X"].tobytes() == sparse["X"].tobytes()
    assert not dense["X"][1].any()


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "values of another length": ({"A3": np.ones((7, 3))}, {}, "/A3"),
    "target of another length": ({"B": np.ones((7, 3))}, {}, "/B"),
    "a map that is not square": ({"A3": None}, {"target": "map"}, "/B"),
    "a mask over other keys": ({"A2": np.ones((7, 3)), "A3": np.ones((7, 3))}, {"causal": True}, "/A2"),
    "a start of another shape": ({"X0": np.ones((2, 3))}, {}, "/X0"),
    "a vector": ({"A1": np.ones(40)}, {}, "/A1"),
}


@pytest.mark.parametrize(("change", "options", "pointer"), REFUSED.values(), ids=REFUSED)
def test_misfits_are_refused_with_a_pointer(change: Arrays, options: dict[str, Any], pointer: str) -> None:
    arrays = plant(40, 3, 0)[0] | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(InvalidSpec) as refused:
        engine.plan(spec_of(arrays, **options), arrays)
    assert refused.value.source is not None
    assert refused.value.source["pointer"] == pointer


def large() -> tuple[SolveSpec, Inputs]:
    arrays, _, _ = plant(900, 4, 15)
    arrays["B"] = arrays["B"] + 0.1
    return spec_of(arrays, {"max_iterations": 6}, starts=3), arrays


def test_threads_change_no_bit() -> None:
    spec, arrays = large()
    one = bits(list(engine.steps(spec, arrays)))
    for threads in (2, 3):
        assert bits(list(engine.steps(spec, arrays, threads))) == one


def test_memory_never_grows_with_the_size_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, _, _ = plant(3000, 4, 17)
    monkeypatch.setattr("newtond.engine.attention.DENSE_UNKNOWNS", 0)
    monkeypatch.setattr("newtond.engine.certificate.attention.MOST_UNKNOWNS", 0)
    tracemalloc.start()
    try:
        run(arrays, {"max_iterations": 3}, starts=1, outputs=["fitted"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 3000**2 / 2, f"{peak / 1e6:.0f} MB"


def test_matrix_free_steps_reach_the_same_point(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, X, _ = plant(60, 3, 6)
    arrays["B"] = arrays["B"] + 0.01 * np.random.default_rng(0).normal(size=arrays["B"].shape)
    dense = run(arrays | {"X0": X}, starts=1)
    monkeypatch.setattr("newtond.engine.attention.DENSE_UNKNOWNS", 0)
    free = run(arrays | {"X0": X}, starts=1)
    assert free[0].record.cg_iterations is not None
    assert free[0].termination == "converged"
    close(free[1].arrays["X"], dense[1].arrays["X"], 1e-7)


def sampled_first(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[SolveSpec, Inputs]:
    """Return a problem of 200 queries that is small enough to form, but descends on 50 of them first."""
    monkeypatch.setattr("newtond.engine.methods.attention_starts.SAMPLE", 50)
    arrays, X, _ = plant(200, 3, 0)
    if options:
        del arrays["A3"]
        arrays["B"] = probabilities(arrays["A1"], arrays["A2"], X)
    return spec_of(arrays, {"max_iterations": 30}, starts=3, **options), arrays


def test_of_many_unknowns_and_rows_all_starts_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, arrays = sampled_first(monkeypatch)
    assert engine.plan(spec, arrays).start.startswith(
        "3 starts: 0, 0.1 I, then random by the seed; each on 50"
    )
    assert not Attention(spec, arrays, 1).starts.start(0).any()
    monkeypatch.setattr("newtond.engine.attention.DENSE_UNKNOWNS", 0)
    assert (
        engine.plan(spec, arrays).start == "3 starts: random by the seed; each on 50 rows by the seed first"
    )
    assert Attention(spec, arrays, 1).starts.start(0).std() > 0.0
    mine = arrays | {"X0": np.eye(3)}
    named = engine.plan(spec_of(mine, starts=3), mine).start
    assert named == "3 starts: X0, then random by the seed; each on 50 rows by the seed first"


def test_each_start_and_seed_draws_rows_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, arrays = sampled_first(monkeypatch)
    other = spec.model_copy(update={"solver": spec.solver.model_copy(update={"seed": 1})})
    drawn = [Attention(each, arrays, 1).starts.sample(start) for each in (spec, other) for start in (0, 1)]
    assert len({rows.tobytes() for rows in drawn if rows is not None}) == 4
    again = Attention(spec, arrays, 1).starts.sample(0)
    assert again is not None
    assert again.tobytes() == drawn[0].tobytes()  # type: ignore[union-attr]


@pytest.mark.parametrize("options", [{}, {"target": "map"}], ids=["output", "map"])
def test_a_resumed_solve_repeats_the_undisturbed_one(options: dict[str, Any]) -> None:
    arrays, _, _ = plant(40, 3, 16)
    if options:
        del arrays["A3"]
        arrays["B"] = np.full((40, 40), 0.025) + 0.01 * np.eye(40)
    spec = spec_of(arrays, {"max_iterations": 12}, starts=3, **options)
    whole = list(engine.steps(spec, arrays))
    assert [step.record.iteration for step in whole] == list(range(len(whole)))
    for k in range(0, len(whole) - 1, 3):
        kept = whole[k].state
        copy = State(kept.iteration, {n: a.copy() for n, a in kept.arrays.items()}, dict(kept.scalars))
        assert bits(list(engine.steps(spec, arrays, 1, copy))) == bits(whole[k + 1 :])
