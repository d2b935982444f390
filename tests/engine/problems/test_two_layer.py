"""Two-layer regression: derivatives, planted recovery, kinks, same bits, refusals."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from pydantic import ValidationError

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import SolveSpec
from newtond.engine.certificate.two_layer import TwoLayerPoint
from newtond.engine.methods.two_layers import Activation, TwoLayers
from newtond.engine.state import State
from tests.engine.conftest import bits

ID = "sha256:" + "0" * 64
Arrays = dict[str, Any]
ORDERS = ("softmax_first", "softmax_last")
ACTIVATIONS = ("relu", "softplus", "identity")


def activation(name: str, t: Any, beta: float = 1.0) -> Any:
    """Return φ(t), of complex t too."""
    if name == "relu":
        return np.where(t.real > 0.0, t, 0.0)
    return t if name == "identity" else np.log(1.0 + np.exp(beta * t)) / beta


def softmax(z: Any) -> Any:
    u = np.exp(z - z.real.max())
    return u / u.sum()


def model(order: str, name: str, A1: Any, A2: Any, x: Any, beta: float = 1.0) -> Any:
    if order == "softmax_first":
        return activation(name, A2 @ softmax(A1 @ x), beta)
    return softmax(A2 @ activation(name, A1 @ x, beta))


def plant(order: str, name: str, seed: int, n: int = 40, m: int = 30, d: int = 5) -> tuple[Arrays, Any]:
    rng = np.random.default_rng(seed)
    A1, A2, x = rng.normal(size=(n, d)), rng.normal(size=(m, n)), rng.normal(size=d)
    if order == "softmax_last":
        A2 = A2 / np.sqrt(n)
    return {"A1": A1, "A2": A2, "b": model(order, name, A1, A2, x)}, x


def spec_of(arrays: Arrays, order: str, solver: dict[str, Any] | None = None, **options: Any) -> SolveSpec:
    top = {k: options.pop(k) for k in ("outputs", "regulariser", "column_names") if k in options}
    request = {"problem": {"kind": "two_layer", "order": order, **options}, "solver": solver or {}, **top}
    places = request.setdefault("regulariser", {})
    for name in arrays:
        (places if name in ("weights", "offset") else request)[name] = ID
    return SolveSpec.model_validate(request)


def run(arrays: Arrays, order: str, solver: dict[str, Any] | None = None, **options: Any) -> Any:
    spec = spec_of(arrays, order, solver, **options)
    steps = list(engine.steps(spec, arrays))
    found = engine.solution(spec, arrays, steps[-1].state)
    return steps, found, engine.certify(spec, arrays, found)


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b)


def numerical(function: Any, x: Any) -> Any:
    h, columns = 1e-3, []
    for e in np.eye(len(x)):
        near, far, further = (function(x + k * h * e) - function(x - k * h * e) for k in (1, 2, 3))
        columns.append((45.0 * near - 9.0 * far + further) / (60.0 * h))
    return np.array(columns).T


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("order", ORDERS)
def test_derivatives_of_solver_and_certificate(order: str, name: str, sparse: bool) -> None:
    rng = np.random.default_rng(3)
    arrays, x = plant(order, name, 0, 12, 9, 4)
    A1, A2, b = arrays["A1"], arrays["A2"], arrays["b"] + 0.1 * rng.normal(size=9)
    omega, offset = rng.uniform(0.0, 0.2, 12), rng.normal(size=12)
    first, second = (sp.csr_array(A1), sp.csr_array(A2)) if sparse else (A1, A2)
    phi = Activation(name, 2.0)  # type: ignore[arg-type]
    here = TwoLayers(first, second, b, phi, order == "softmax_first", omega, offset, 0.3).at(x)
    point = TwoLayerPoint(A1, A2, b, x, order == "softmax_first", name, 2.0, omega, offset, 0.3)  # type: ignore[arg-type]

    def loss(y: Any) -> Any:
        r, z = model(order, name, A1, A2, y, 2.0) - b, A1 @ y - offset
        return 0.5 * (np.sum(r**2) + np.sum(omega * z**2) + 0.3 * np.sum(y**2))

    def gradient(y: Any) -> Any:
        return np.array([loss(y + step).imag / 1e-30 for step in 1e-30j * np.eye(4)])

    assert here.value == pytest.approx(loss(x), rel=1e-13)
    assert point.value == pytest.approx(loss(x), rel=1e-13)
    close(here.gradient, gradient(x), 1e-12)
    close(point.gradient, gradient(x), 1e-12)
    H = numerical(gradient, x)
    close(here.hessian(True), H)
    close(point.hessian(), H)
    for exact in (True, False):
        close(np.array([here.product(e, exact) for e in np.eye(4)]), here.hessian(exact), 1e-12)
    assert np.linalg.eigvalsh(here.hessian(False))[0] > 0.0


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("order", ORDERS)
def test_planted_recovery(order: str, name: str) -> None:
    from_first, best = 0, 0
    for seed in range(20):
        arrays, x = plant(order, name, seed)
        steps, found, certificate = run(arrays, order, activation=name)
        assert steps[-1].termination == "converged"
        assert certificate.curvature == "strict_local_minimum"
        small = 1e-20 * float(arrays["b"] @ arrays["b"])
        from_first += bool(found.arrays["losses"][0] < small)
        if certificate.loss < small:
            best += 1
            close(found.arrays["x"], x, 1e-8)
    assert best >= 19
    assert from_first >= 18


def test_zero_under_relu_is_a_kink_and_never_converged() -> None:
    arrays, _ = plant("softmax_last", "relu", 1)
    arrays["warm_start"] = np.zeros(5)
    spec = spec_of(arrays, "softmax_last", {"max_iterations": 0}, starts=1)
    steps = list(engine.steps(spec, arrays))
    assert steps[-1].record.gradient_norm == 0.0
    assert steps[-1].termination == "stalled"
    assert "kink" in steps[-1].stopping_rule
    found = engine.solution(spec, arrays, steps[-1].state)
    assert any("kink" in warning for warning in found.warnings)
    certificate = engine.certify(spec, arrays, found)
    assert certificate.gradient_norm == 0.0
    assert certificate.curvature == "undetermined"
    assert any("kink" in statement for statement in certificate.statements)


def test_softplus_leads_away_from_the_kink() -> None:
    arrays, x = plant("softmax_last", "relu", 1)
    arrays["warm_start"] = np.zeros(5)
    steps, found, _ = run(arrays, "softmax_last", starts=1)
    assert steps[-1].termination == "converged"
    assert any("softplus" in (step.record.note or "") for step in steps)
    close(found.arrays["x"], x, 1e-8)


def test_a_warm_start_off_the_kinks_is_not_smoothed_away() -> None:
    arrays, x = plant("softmax_last", "relu", 1)
    steps, found, _ = run(arrays | {"warm_start": x * (1.0 + 1e-6)}, "softmax_last", starts=1)
    assert not any("softplus" in (step.record.note or "") for step in steps)
    assert steps[-1].termination == "converged"
    assert len(steps) <= 5
    close(found.arrays["x"], x, 1e-9)


def test_where_every_relu_is_off_nothing_has_converged() -> None:
    arrays, _ = plant("softmax_first", "relu", 2)
    arrays["A2"] = -np.abs(arrays["A2"])
    steps, found, certificate = run(arrays, "softmax_first", starts=2)
    assert steps[-1].termination == "stalled"
    assert any("every relu is off" in warning for warning in found.warnings)
    assert certificate.curvature == "undetermined"


@pytest.mark.parametrize("order", ORDERS)
def test_the_regulariser_and_ridge_are_in_the_loss(order: str) -> None:
    arrays, _ = plant(order, "softplus", 4)
    rng = np.random.default_rng(0)
    arrays |= {"weights": rng.uniform(0.0, 0.3, 40), "offset": rng.normal(size=40)}
    steps, found, certificate = run(
        arrays, order, activation="softplus", regulariser={"ridge": 0.2}, outputs=["fitted", "residual"]
    )
    x, z = found.arrays["x"], arrays["A1"] @ found.arrays["x"]
    fitted = model(order, "softplus", arrays["A1"], arrays["A2"], x)
    close(found.arrays["fitted"], fitted, 1e-13)
    penalty = np.sum((arrays["weights"] * (z - arrays["offset"])) ** 2) + 0.2 * x @ x
    assert certificate.loss == pytest.approx(0.5 * (np.sum((fitted - arrays["b"]) ** 2) + penalty), rel=1e-12)
    assert certificate.curvature == "strict_local_minimum"
    assert steps[-1].termination == "converged"


def test_every_start_reports_its_loss_and_the_words_say_local() -> None:
    arrays, _ = plant("softmax_first", "relu", 5)
    arrays["b"] = arrays["b"] + 0.3 * np.random.default_rng(1).normal(size=30)
    _, found, certificate = run(arrays, "softmax_first", starts=4)
    assert len(found.arrays["losses"]) == 4
    assert certificate.loss == pytest.approx(found.arrays["losses"].min(), rel=1e-9)
    assert any("4 of 4 starts ended" in warning and "local" in warning for warning in found.warnings)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (1, 3, 2), (6, 1, 2), (8, 5, 1), (3, 2, 9)])
def test_small_shapes_end_in_words(order: str, n: int, m: int, d: int) -> None:
    arrays, _ = plant(order, "relu", 6, n, m, d)
    steps, found, certificate = run(arrays, order)
    assert steps[-1].termination is not None
    assert np.isfinite(found.arrays["x"]).all()
    assert np.isfinite(certificate.loss)
    assert certificate.statements


REFUSED: dict[str, tuple[Arrays, str]] = {
    "layers that do not fit": ({"A2": np.ones((30, 7))}, "/A2"),
    "a target of another length": ({"b": np.ones(7)}, "/b"),
    "a vector for a matrix": ({"A1": np.ones(40)}, "/A1"),
    "an offset of another length": ({"offset": np.ones(7)}, "/regulariser/offset"),
    "negative weights": ({"weights": -np.ones(40)}, "/regulariser/weights"),
    "a start of another length": ({"warm_start": np.ones(4)}, "/warm_start"),
}


@pytest.mark.parametrize(("change", "pointer"), REFUSED.values(), ids=REFUSED)
def test_misfits_are_refused_with_a_pointer(change: Arrays, pointer: str) -> None:
    arrays = plant("softmax_first", "relu", 0)[0] | change
    spec = spec_of(arrays, "softmax_first")
    with pytest.raises(InvalidSpec) as refused:
        list(engine.steps(spec, arrays))
    assert refused.value.source is not None
    assert refused.value.source["pointer"] == pointer


@pytest.mark.parametrize(
    "request_",
    [{"activation": "relu", "beta": 2.0}, {"regulariser": {"weights": "convex"}}, {"order": "both"}],
)
def test_options_that_mean_nothing_are_refused(request_: dict[str, Any]) -> None:
    arrays, _ = plant("softmax_first", "relu", 0)
    with pytest.raises(ValidationError):
        spec_of(arrays, request_.pop("order", "softmax_first"), **request_)


@pytest.mark.parametrize("order", ORDERS)
def test_resumed_solves_and_any_threads_repeat_the_bits(order: str) -> None:
    arrays, _ = plant(order, "relu", 7)
    arrays["b"] = arrays["b"] + 0.02
    spec = spec_of(arrays, order, {"max_iterations": 15}, starts=3)
    whole = list(engine.steps(spec, arrays))
    assert bits(list(engine.steps(spec, arrays, 2))) == bits(whole)
    assert [step.record.iteration for step in whole] == list(range(len(whole)))
    for k in range(0, len(whole) - 1, 3):
        kept = whole[k].state
        copy = State(kept.iteration, {n: a.copy() for n, a in kept.arrays.items()}, dict(kept.scalars))
        assert bits(list(engine.steps(spec, arrays, 1, copy))) == bits(whole[k + 1 :])


def test_many_unknowns_go_matrix_free(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, x = plant("softmax_first", "relu", 8)
    monkeypatch.setattr("newtond.engine.methods.two_layers.DENSE_UNKNOWNS", 0)
    steps, found, _ = run(arrays, "softmax_first", starts=1)
    assert steps[-1].record.cg_iterations is not None
    close(found.arrays["x"], x, 1e-7)
