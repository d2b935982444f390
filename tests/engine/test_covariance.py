"""Standard errors of coupled losses and of layers, by a dense formula in NumPy that takes complex numbers.

The Jacobian of the residual is complex-stepped, the Hessian is a sixth-order difference of its gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.optimize import least_squares
from statsmodels.stats.sandwich_covariance import S_crosssection

from newtond import engine
from newtond.contract.solve import SolveSpec

ID = "sha256:" + "0" * 64
RNG = np.random.default_rng(12)
SIZES = RNG.integers(2, 9, size=40)
GROUPS = np.repeat(np.arange(40.0), SIZES)
N, D = len(GROUPS), 3
A = RNG.normal(size=(N, D))
X = np.array([0.8, -0.5, 0.3])
ASK = {"outputs": ["standard_errors"]}


@dataclass(frozen=True)
class Kind:
    """A problem, its u, whether it is divided by its sum, and what predictors lie about."""

    problem: dict[str, Any]
    u: Callable[[Any], Any]
    divided: bool = True
    centre: float = 0.0
    spread: float = 1.0

    @property
    def design(self) -> Any:
        return self.spread * A + self.centre * np.array([1.0, 0.0, 0.0])


KINDS = {
    "softmax": Kind({"kind": "softmax"}, np.exp),
    "softmax_resnet": Kind({"kind": "softmax_resnet"}, lambda z: np.exp(z) + z, centre=1.0, spread=0.4),
    "rescaled exp": Kind({"kind": "rescaled", "function": "exp"}, np.exp, divided=False),
    "divided cosh": Kind({"kind": "rescaled", "function": "cosh", "normalised": True}, np.cosh, centre=1.0),
    "power": Kind({"kind": "power", "degree": 2}, lambda z: z**2, centre=2.0),
}


@dataclass(frozen=True)
class Oracle:
    """½ Σ v r(y)² + ½ yᵀ diag(penalty) y + ½ γ c(y)² with its covariances at y, c a term that is no data."""

    residual: Callable[[Any], Any]
    y: Any
    v: Any
    parts: Any
    bound: int = 0
    penalty: Any = 0.0
    length: Callable[[Any], Any] = lambda y: 0.0 * y[:1]

    def jacobian(self, y: Any, function: Any = None) -> Any:
        step = 1e-30j
        return np.stack(
            [(function or self.residual)(y + step * e).imag / 1e-30 for e in np.eye(len(y))], axis=1
        )

    def gradient(self, y: Any) -> Any:
        own = self.jacobian(y, self.length).T @ self.length(y)
        return self.jacobian(y).T @ (self.v * self.residual(y)) + self.penalty * y + own

    def hessian(self) -> Any:
        h, columns = 1e-3, []
        for e in np.eye(len(self.y)):
            near, far, further = (
                self.gradient(self.y + k * h * e) - self.gradient(self.y - k * h * e) for k in (1, 2, 3)
            )
            columns.append((45.0 * near - 9.0 * far + further) / (60.0 * h))
        return np.array(columns).T

    def errors(self) -> tuple[Any, Any]:
        J, r = self.jacobian(self.y), self.residual(self.y)
        data, own = J.T @ (self.v[:, None] * J), self.jacobian(self.y, self.length)
        bread = np.linalg.inv(data + own.T @ own + np.diag(np.broadcast_to(self.penalty, len(self.y))))
        freedom = np.count_nonzero(self.v) - self.bound - np.trace(bread @ data)
        variance = np.sum(self.v * r**2) / freedom
        true = np.linalg.inv(self.hessian())
        meat = S_crosssection(J * (self.v * r)[:, None], self.parts)
        return tuple(np.sqrt(np.diag(c)) for c in (variance * bread @ data @ bread, true @ meat @ true))


def grouped_residual(kind: Kind, A: Any, b: Any, labels: Any) -> Any:
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def residual(y: Any) -> Any:
        u = kind.u(A @ y)
        r = np.empty_like(u)
        for part in parts:
            total = u[part].sum()
            r[part] = u[part] / total - b[part] if kind.divided else u[part] - total * b[part]
        return r

    return residual


def shares(kind: Kind, A: Any, labels: Any, noise: float, summing: bool) -> Any:
    rng = np.random.default_rng(3)
    b = grouped_residual(Kind({}, kind.u), A, np.zeros(len(A)), labels)(X)
    e = noise * rng.normal(size=len(A))
    if summing:
        counts = np.unique(labels, return_inverse=True)[1]
        e -= (np.bincount(counts, e) / np.bincount(counts))[counts]
    return b + e


def test_names_of_the_results() -> None:
    """What comes out is what the catalogue says."""
    assert {"standard_errors", "sandwich_errors"} <= set(SolveSpec.model_validate(body()).problem.results)


def body(**options: Any) -> dict[str, Any]:
    return {"problem": {"kind": "softmax"}, "A": ID, "b": ID, **ASK, **options}


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("variant", ["plain", "row weights", "ridge", "shuffled"])
@pytest.mark.parametrize("name", KINDS)
def test_groups(solve: Any, name: str, variant: str, storage: Any) -> None:
    kind, rng = KINDS[name], np.random.default_rng(5)
    summing = variant != "row weights" or not kind.divided
    matrix = kind.design
    b = shares(kind, matrix, GROUPS, 0.01, summing)
    options: dict[str, Any] = {"groups": GROUPS}
    v = rng.uniform(0.5, 2.0, N) if variant == "row weights" else np.ones(N)
    if variant == "row weights":
        v[:3] = 0.0
        options["row_weights"] = v
    ridge = 0.05 if variant == "ridge" and name != "power" else 0.0
    order = rng.permutation(N) if variant == "shuffled" else np.arange(N)
    options = {key: values[order] for key, values in options.items()}
    found = solve(kind.problem, storage(matrix[order]), b[order], ridge=ridge, **ASK, **options)
    bound = 0
    if summing:
        bound = 40 - len(np.unique(GROUPS[v == 0.0]))

    def length(y: Any) -> Any:
        first = (matrix @ y)[: SIZES[0]]
        return np.sqrt(1.0 / SIZES[0]) * np.log(np.sum(first**2) / SIZES[0])[None]

    more = {"length": length} if name == "power" and variant in ("plain", "ridge", "shuffled") else {}
    if name == "power" and variant == "row weights":
        assert "not positive definite" in found.warnings  # a weight of 0 in the first group unsets the length
        return
    oracle = Oracle(
        grouped_residual(kind, matrix, b, GROUPS), found.x, v, GROUPS.astype(int), bound, ridge, **more
    )
    classical, sandwich = oracle.errors()
    np.testing.assert_allclose(found.solution.arrays["standard_errors"], classical, rtol=1e-7)
    np.testing.assert_allclose(found.solution.arrays["sandwich_errors"], sandwich, rtol=1e-6)


def test_one_group_is_nonlinear_least_squares(solve: Any) -> None:
    labels = np.zeros(N)
    b = shares(KINDS["softmax"], A, labels, 1e-4, False)
    residual = grouped_residual(KINDS["softmax"], A, b, labels)
    found = solve({"kind": "softmax"}, A, b, **ASK)
    other = least_squares(residual, X, jac="cs", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    J = np.asarray(other.jac)
    by_scipy = np.sqrt(np.diag(2.0 * other.cost / (N - D) * np.linalg.inv(J.T @ J)))
    linear = sm.OLS(J @ other.x - other.fun, J).fit()
    arrays = found.solution.arrays
    np.testing.assert_allclose(arrays["standard_errors"], by_scipy, rtol=1e-6)
    np.testing.assert_allclose(arrays["standard_errors"], linear.bse, rtol=1e-6)
    _, sandwich = Oracle(residual, found.x, np.ones(N), np.arange(N)).errors()
    np.testing.assert_allclose(arrays["sandwich_errors"], sandwich, rtol=1e-6)
    assert "one group take its rows as independent" in found.warnings


def test_cluster_errors_of_statsmodels_where_the_residual_is_small(solve: Any) -> None:
    """Its bread is JᵀJ; the Hessian differs from it by the residual."""
    b = shares(KINDS["softmax"], A, GROUPS, 1e-8, False)
    found = solve({"kind": "softmax"}, A, b, groups=GROUPS, **ASK)
    residual = grouped_residual(KINDS["softmax"], A, b, GROUPS)
    J = Oracle(residual, found.x, np.ones(N), GROUPS).jacobian(found.x)
    linear = sm.OLS(J @ found.x - residual(found.x), J)
    options = {"groups": GROUPS.astype(int), "use_correction": False}
    clustered = linear.fit(cov_type="cluster", cov_kwds=options)
    np.testing.assert_allclose(found.solution.arrays["sandwich_errors"], clustered.bse, rtol=1e-6)
    np.testing.assert_allclose(found.solution.arrays["standard_errors"], linear.fit().bse, rtol=1e-6)


def test_intercept_of_a_coupled_loss(solve: Any) -> None:
    kind = KINDS["softmax_resnet"]
    two = 0.4 * A[:, :2]
    whole = np.column_stack([two, np.ones(N)])
    b = shares(kind, np.column_stack([two, np.full(N, 2.0)]), GROUPS, 0.01, True)
    found = solve(kind.problem, two, b, intercept=True, groups=GROUPS, **ASK)
    residual = grouped_residual(kind, whole, b, GROUPS)
    errors = Oracle(residual, found.y, np.ones(N), GROUPS.astype(int), 40).errors()
    arrays = found.solution.arrays
    for k, name in enumerate(("standard_errors", "sandwich_errors")):
        np.testing.assert_allclose(
            np.append(arrays[name], arrays["intercept_errors"][k]), errors[k], rtol=1e-6
        )


def test_weights_of_the_regulariser(solve: Any) -> None:
    b, w = shares(KINDS["softmax"], A, GROUPS, 0.01, True), RNG.uniform(0.05, 0.3, N)
    found = solve({"kind": "softmax"}, A, b, groups=GROUPS, weights=w, **ASK)
    pull = A.T @ (w[:, None] ** 2 * A)
    root = np.linalg.cholesky(pull).T
    residual = grouped_residual(KINDS["softmax"], A, b, GROUPS)
    oracle = Oracle(residual, found.x, np.ones(N), GROUPS.astype(int), 40, length=lambda y: root @ y)
    classical, sandwich = oracle.errors()
    np.testing.assert_allclose(found.solution.arrays["standard_errors"], classical, rtol=1e-7)
    np.testing.assert_allclose(found.solution.arrays["sandwich_errors"], sandwich, rtol=1e-6)


def test_words_instead_of_numbers(solve: Any) -> None:
    b = shares(KINDS["softmax"], A, GROUPS, 0.01, True)

    def said(matrix: Any, target: Any, **options: Any) -> tuple[Any, str]:
        found = solve({"kind": "softmax"}, matrix, target, **ASK, **options)
        return set(found.solution.arrays), found.warnings

    constant = np.column_stack([A, GROUPS])  # the same in every row of a group: null
    assert said(constant, b, groups=GROUPS) == ({"x"}, said(constant, b, groups=GROUPS)[1])
    assert "1 directions of x change no prediction" in said(constant, b, groups=GROUPS)[1]
    few = GROUPS % 3
    arrays, words = said(A, shares(KINDS["softmax"], A, few, 0.01, True), groups=few)
    assert arrays == {"x", "standard_errors"}
    assert "3 groups that depend on x are no more than 3 coefficients" in words
    arrays, words = said(A, b, groups=GROUPS, warm_start=X + 0.2, solver={"max_iterations": 0})
    assert arrays == {"x"}
    assert "too far from a minimum" in words
    arrays, words = said(A[:3, :2], np.array([0.2, 0.3, 0.5]))
    assert arrays == {"x"}
    assert "no more rows than coefficients" in words


def test_coverage_of_intervals_of_grouped_shares(make_problem: Any) -> None:
    """95 % intervals hold the truth 95 % of the time; classical ones not where a group's rows share noise."""
    rng = np.random.default_rng(77)
    labels = np.repeat(np.arange(150.0), 5)
    matrix = rng.normal(size=(150, 5, 3))
    truth = np.exp(matrix @ X)
    truth /= truth.sum(axis=1, keepdims=True)
    means = np.einsum("gi,gij->gj", truth, matrix)
    slopes = truth[:, :, None] * (matrix - means[:, None, :])  # of the shares by x, as x varied by group
    covered: dict[str, list[Any]] = {"equal": [], "classical": [], "sandwich": []}
    for _ in range(250):
        equal = 0.02 * rng.normal(size=(150, 5))
        equal -= equal.mean(axis=1, keepdims=True)
        shared = 0.2 * np.einsum("gij,gj->gi", slopes, rng.normal(size=(150, 3)))
        for noise, names in ((equal, ("equal",)), (equal + shared, ("classical", "sandwich"))):
            b = (truth + noise).ravel()
            request = make_problem({"kind": "softmax"}, matrix.reshape(-1, 3), b, groups=labels, **ASK)
            *_, last = engine.steps(*request)
            found = engine.solution(*request, last.state).arrays
            for name in names:
                error = found["sandwich_errors" if name == "sandwich" else "standard_errors"]
                covered[name].append(np.abs(found["x"] - X) <= 1.959964 * error)
    share = {name: float(np.mean(held)) for name, held in covered.items()}
    assert 0.93 <= share["equal"] <= 0.97, share
    assert 0.92 <= share["sandwich"] <= 0.97, share
    assert share["classical"] < 0.85, share


def softmax(z: Any) -> Any:
    u = np.exp(z - z.real.max(axis=-1, keepdims=True))
    return u / u.sum(axis=-1, keepdims=True)


def finished(request: dict[str, Any], arrays: dict[str, Any]) -> Any:
    spec = SolveSpec.model_validate({**request, **dict.fromkeys(arrays, ID), **ASK})
    *_, last = engine.steps(spec, arrays)
    assert last.termination == "converged"
    return engine.solution(spec, arrays, last.state)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("order", ["softmax_first", "softmax_last"])
def test_two_layers(order: str, ridge: float) -> None:
    rng = np.random.default_rng(8)
    A1, A2 = rng.normal(size=(40, 4)), rng.normal(size=(60, 40)) / (1.0 if order == "softmax_first" else 6.0)

    def h(x: Any) -> Any:
        if order == "softmax_first":
            return np.log(1.0 + np.exp(A2 @ softmax(A1 @ x)))
        return softmax(A2 @ np.log(1.0 + np.exp(A1 @ x)))

    noise = rng.normal(size=60) * (0.02 if order == "softmax_first" else 0.001)
    b = h(rng.normal(size=4)) + noise - noise.mean()
    problem = {"kind": "two_layer", "order": order, "activation": "softplus"}
    request = {"problem": problem, "regulariser": {"ridge": ridge}}
    found = finished(request, {"A1": A1, "A2": A2, "b": b})
    bound = int(order == "softmax_last")
    oracle = Oracle(lambda x: h(x) - b, found.arrays["x"], np.ones(60), np.arange(60), bound, ridge)
    classical, sandwich = oracle.errors()
    np.testing.assert_allclose(found.arrays["standard_errors"], classical, rtol=1e-7)
    np.testing.assert_allclose(found.arrays["sandwich_errors"], sandwich, rtol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.01])
@pytest.mark.parametrize("target", ["output", "map"])
def test_attention(target: str, ridge: float, causal: bool) -> None:
    rng = np.random.default_rng(9)
    n, d, c, m = 60, 3, 2, 2
    arrays = {"A1": rng.normal(size=(n, d)), "A2": rng.normal(size=(n, c)), "A3": rng.normal(size=(n, 2))}
    hidden = np.where(np.tri(n) > 0 if causal else np.ones((n, n), bool), 0.0, -np.inf)

    def P(X: Any) -> Any:
        return softmax(arrays["A1"] @ X.reshape(d, c) @ arrays["A2"].T + hidden)

    X, Y = rng.normal(size=d * c), rng.normal(size=(2, m))
    noise = rng.normal(size=(n, n if target == "map" else m))
    if target == "map":
        noise = np.where(hidden == 0.0, 0.003 * noise, 0.0)
        noise -= (
            (hidden == 0.0) * noise.sum(axis=1, keepdims=True) / (hidden == 0.0).sum(axis=1, keepdims=True)
        )
        B = P(X) + noise
        del arrays["A3"]
    else:
        B = P(X) @ arrays["A3"] @ Y + 0.05 * noise

    def residual(y: Any) -> Any:
        if target == "map":
            return (P(y) - B)[hidden == 0.0]
        return (P(y[: d * c]) @ arrays["A3"] @ y[d * c :].reshape(2, m) - B).ravel()

    problem = {"kind": "attention", "target": target, "causal": causal, "starts": 1, "ridge_x": ridge}
    if target == "output":
        problem["ridge_y"] = ridge
    start = X.reshape(d, c) if target == "output" else np.zeros((d, c))
    found = finished({"problem": problem}, {**arrays, "B": B, "X0": start}).arrays
    names = ("X",) if target == "map" else ("X", "Y")
    y = np.concatenate([found[name].ravel() for name in names])
    rows = np.broadcast_to(np.arange(n)[:, None], B.shape)
    parts = rows[hidden == 0.0] if target == "map" else rows.ravel()
    oracle = Oracle(residual, y, np.ones(len(parts)), parts, n if target == "map" else 0, ridge)
    for form, errors in zip(("standard_errors", "sandwich_errors"), oracle.errors(), strict=True):
        ours = np.concatenate([found[f"{form}_{name}"].ravel() for name in names])
        assert found[f"{form}_X"].shape == (d, c)
        np.testing.assert_allclose(ours, errors, rtol=1e-6)


def test_layers_of_which_something_is_not_identified() -> None:
    rng = np.random.default_rng(10)
    A1 = rng.normal(size=(40, 3))
    A2 = np.column_stack([rng.normal(size=40), np.ones(40)])
    B = softmax(A1 @ rng.normal(size=(3, 2)) @ A2.T) + 0.001 * rng.normal(size=(40, 40))
    problem = {"kind": "attention", "target": "map", "starts": 1}
    attention = finished({"problem": problem}, {"A1": A1, "A2": A2, "B": B})
    assert set(attention.arrays) == {"X", "losses"}
    assert any("X is not identified" in said for said in attention.warnings)
    layers = {
        "A1": np.column_stack([A1, np.ones(40)]),
        "A2": rng.normal(size=(30, 40)),
        "b": rng.normal(size=30),
    }
    problem = {"kind": "two_layer", "order": "softmax_first", "activation": "identity", "starts": 1}
    two = finished({"problem": problem}, layers)
    assert set(two.arrays) == {"x", "losses"}
    assert any("not positive definite" in said for said in two.warnings)
