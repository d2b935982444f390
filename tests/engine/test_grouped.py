"""What every family of coupled rows obeys: derivatives, and one path for all ways of solving and of storing.

The residual of one group is written here once more in NumPy that takes complex numbers; the value is
complex-stepped to the gradient, the gradient (chain rule in plain NumPy, complex too) to the Hessian.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.engine.curvature import CoupledDesign
from newtond.engine.problems import family
from newtond.engine.regression import Regression
from newtond.engine.sketches import Key, sketch

STEP, TOLERANCE = 1e-30, 1e-10


class Kind(NamedTuple):
    """A problem, its u and u′, whether it is divided by its sum, and where its predictors may lie."""

    problem: dict[str, Any]
    u: Any
    slope: Any
    divided: bool
    centre: float = 0.0


KINDS = {
    "softmax": Kind({"kind": "softmax"}, np.exp, np.exp, True),
    "softmax_resnet": Kind(
        {"kind": "softmax_resnet"}, lambda z: np.exp(z) + z, lambda z: np.exp(z) + 1.0, True, 1.0
    ),
    "rescaled exp": Kind({"kind": "rescaled", "function": "exp"}, np.exp, np.exp, False),
    "rescaled cosh": Kind({"kind": "rescaled", "function": "cosh"}, np.cosh, np.sinh, False),
    "divided cosh": Kind(
        {"kind": "rescaled", "function": "cosh", "normalised": True}, np.cosh, np.sinh, True
    ),
    "divided sinh": Kind(
        {"kind": "rescaled", "function": "sinh", "normalised": True}, np.sinh, np.cosh, True, 1.0
    ),
}

RNG = np.random.default_rng(4)
N, D = 29, 4
SIZES = np.array([1, 2, 7, 4, 15])
GROUPS = np.repeat(np.arange(5.0), SIZES)
SHUFFLED = RNG.permutation(N)
A = RNG.normal(size=(N, D)) * (RNG.random((N, D)) < 0.8)
B = RNG.random(N) / 7 + 0.05 * RNG.normal(size=N)
V, W, OFFSET = RNG.random(N) + 0.1, RNG.random(N), RNG.normal(size=N)

VARIANTS: dict[str, dict[str, Any]] = {
    "one group": {},
    "groups": {"groups": GROUPS},
    "scattered groups": {"groups": GROUPS[SHUFFLED]},
    "row weights": {"groups": GROUPS, "row_weights": V},
    "w, offset, ridge": {"groups": GROUPS, "row_weights": V, "weights": W, "offset": OFFSET, "ridge": 0.3},
}


def residual(kind: Kind, z: Any, b: Any) -> Any:
    u = kind.u(z)
    return u / u.sum() - b if kind.divided else u - u.sum() * b


def residual_gradient(kind: Kind, z: Any, b: Any, c: Any) -> Any:
    """Return (∂r/∂z)ᵀ c."""
    u, slope = kind.u(z), kind.slope(z)
    if not kind.divided:
        return slope * (c - np.sum(b * c))
    f, total = u / u.sum(), u.sum()
    return slope / total * (c - np.sum(c * f))


def plain(kind: Kind, options: dict[str, Any], A: Any, b: Any) -> Any:
    """Return value and gradient of F at y, both of complex numbers."""
    labels = options.get("groups", np.zeros(len(b)))
    v = np.broadcast_to(options.get("row_weights", 1.0), len(b))
    w, offset = options.get("weights", 0.0), options.get("offset", 0.0)
    ridge = options.get("ridge", 0.0)
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def value(y: Any) -> Any:
        z = A @ y
        data = sum(np.sum(v[part] * residual(kind, z[part], b[part]) ** 2) for part in parts)
        return 0.5 * (data + np.sum(w**2 * (z - offset) ** 2) + ridge * np.sum(y * y))

    def gradient(y: Any) -> Any:
        z = A @ y
        slope = w**2 * (z - offset) + 0j
        for part in parts:
            c = v[part] * residual(kind, z[part], b[part])
            slope[part] += residual_gradient(kind, z[part], b[part], c)
        return A.T @ slope + ridge * y

    return value, gradient


def target(kind: Kind, options: dict[str, Any], b: Any) -> Any:
    """Return b, made to sum to 1 in each group where the kind asks for it."""
    if kind.divided:
        return b
    labels = options.get("groups", np.zeros(len(b)))
    return b + sum(
        (labels == k) * (1 - b[labels == k].sum()) / np.sum(labels == k) for k in np.unique(labels)
    )


def complex_step(function: Any, y: Any) -> Any:
    return np.stack([np.imag(function(y + 1j * STEP * unit)) / STEP for unit in np.eye(len(y))], axis=-1)


def rows_of(options: dict[str, Any]) -> Any:
    """Return the order in which A and b are given for these options."""
    return SHUFFLED if options.get("groups") is VARIANTS["scattered groups"]["groups"] else np.arange(N)


@pytest.fixture
def regression(make_problem: Any) -> Any:
    def regression(kind: Kind, A: Any, b: Any, **options: Any) -> Regression:
        spec, inputs = make_problem(kind.problem, A, b, **options)
        return Regression(spec, inputs, family(spec).link(spec), 1)  # type: ignore[attr-defined]

    return regression


def full(upper: Any) -> Any:
    return np.triu(upper) + np.triu(upper, 1).T


@pytest.mark.parametrize("size", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", KINDS)
def test_every_derivative(regression: Any, name: str, variant: str, storage: Any, size: float) -> None:
    kind, options = KINDS[name], VARIANTS[variant]
    order = rows_of(options)
    matrix, b = A[order], target(kind, options, B[order])
    if kind.centre:
        matrix = np.abs(matrix) + 0.2
    value, gradient = plain(kind, options, matrix, b)
    y = size * np.random.default_rng(3).normal(size=D) / np.sqrt(D)
    if kind.centre:
        y = np.abs(y) + 0.1
    objective = regression(kind, storage(matrix), b, **options).objective
    here = objective.expand(y)
    slope, hessian = complex_step(value, y), complex_step(gradient, y)
    scale, largest = np.abs(slope).max(), np.abs(hessian).max()
    assert here.value == pytest.approx(value(y), rel=TOLERANCE)
    np.testing.assert_allclose(gradient(y).real, slope, rtol=TOLERANCE, atol=TOLERANCE * scale)
    np.testing.assert_allclose(here.gradient, slope, rtol=TOLERANCE, atol=TOLERANCE * scale)
    ridge = np.diag(objective.penalty.ridge)
    gram = full(here.curvature.gram(objective.design, True)) + ridge
    np.testing.assert_allclose(gram, hessian, rtol=TOLERANCE, atol=TOLERANCE * largest)
    p = np.cos(np.arange(D))
    product = here.curvature.product(objective.design, p, True) + ridge @ p
    np.testing.assert_allclose(product, hessian @ p, rtol=TOLERANCE, atol=TOLERANCE * largest)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", KINDS)
def test_the_model_is_gauss_newton_and_its_roots_make_it(
    regression: Any, name: str, variant: str, storage: Any
) -> None:
    kind, options = KINDS[name], VARIANTS[variant]
    order = rows_of(options)
    matrix, b = np.abs(A[order]) + 0.2, target(kind, options, B[order])
    y = np.array([0.3, 0.2, 0.5, 0.1])
    labels = options.get("groups", np.zeros(N))
    v, w = np.broadcast_to(options.get("row_weights", 1.0), N), options.get("weights", np.zeros(N))
    expected = matrix.T @ (w[:, None] ** 2 * matrix)
    for label in np.unique(labels):
        part = np.flatnonzero(labels == label)
        J = complex_step(lambda x, part=part: residual(kind, matrix[part] @ x, b[part]), y)
        expected = expected + J.T @ (v[part, None] * J)
    subject = regression(kind, storage(matrix), b, **options)
    here, design = subject.objective.expand(y), subject.design
    largest = np.abs(expected).max()
    model = full(here.curvature.gram(design, False))
    np.testing.assert_allclose(model, expected, rtol=1e-9, atol=TOLERANCE * largest)
    p = np.sin(np.arange(D))
    np.testing.assert_allclose(
        here.curvature.product(design, p, False), expected @ p, rtol=1e-9, atol=TOLERANCE * largest
    )
    np.testing.assert_allclose(
        here.curvature.squares(design), np.diag(expected), rtol=1e-9, atol=TOLERANCE * largest
    )
    roots = [root[:, None] * matrix.take(np.arange(N)) for matrix, root in here.curvature.roots(design)]
    np.testing.assert_allclose(
        sum(root.T @ root for root in roots), expected, rtol=1e-9, atol=TOLERANCE * largest
    )


@pytest.mark.parametrize(
    "sketch_kind", ["sparse_sign", "count_sketch", "srht", "gaussian", "uniform", "leverage"]
)
@pytest.mark.parametrize("name", KINDS)
def test_a_coupled_design_is_sketched_as_if_it_were_formed(
    regression: Any, name: str, sketch_kind: str
) -> None:
    matrix = np.abs(A) + 0.2
    b = target(KINDS[name], {"groups": GROUPS}, B)
    subjects = [regression(KINDS[name], a, b, groups=GROUPS) for a in (matrix, sp.csr_array(matrix))]
    images = []
    for subject in subjects:
        here = subject.objective.expand(np.array([0.3, 0.2, 0.5, 0.1]))
        (coupled, root), *_ = here.curvature.roots(subject.design)
        assert isinstance(coupled, CoupledDesign)
        formed = type(subject.design)(coupled.take(np.arange(N)))
        drawn, key = sketch(sketch_kind), Key(1, 2)  # type: ignore[arg-type]
        images.append(drawn.apply(coupled, root, 24, key))
        np.testing.assert_allclose(images[-1], drawn.apply(formed, root, 24, key), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(*images, rtol=1e-9, atol=1e-12)


def planted(name: str, seed: int = 0, noise: float = 0.0) -> Any:
    """Return A (240, 3), b and the labels of 30 groups."""
    kind, rng = KINDS[name], np.random.default_rng(seed)
    labels = np.repeat(np.arange(30.0), 8)
    x = np.array([0.8, -0.5, 0.3])
    matrix = rng.normal(size=(240, 3))
    if kind.centre:
        matrix, x = np.abs(matrix) + 0.3, np.abs(x)
    u = kind.u(matrix @ x)
    b = u / np.repeat(np.add.reduceat(u, np.arange(0, 240, 8)), 8)
    b = b + noise * rng.random(240)
    return matrix, b / np.repeat(np.add.reduceat(b, np.arange(0, 240, 8)), 8), labels


@pytest.mark.parametrize("name", KINDS)
def test_every_way_of_solving_finds_the_same_point(solve: Any, name: str) -> None:
    matrix, b, labels = planted(name, noise=0.02)
    reference = solve(KINDS[name].problem, matrix, b, groups=labels, solver={"hessian": "exact"})
    assert reference.last.termination == "converged"
    for storage in (np.asarray, sp.csr_array):
        for sketch_kind in ("sparse_sign", "srht", "gaussian", "uniform", "leverage", "count_sketch"):
            solver = {"hessian": "sketch", "sketch": {"kind": sketch_kind}}
            found = solve(KINDS[name].problem, storage(matrix), b, groups=labels, solver=solver)
            assert found.last.termination == "converged"
            assert found.plan.hessian == "sketch"
            np.testing.assert_allclose(found.x, reference.x, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_matrix_free_finds_the_same_point(regression: Any, solve: Any, name: str) -> None:
    from newtond.engine.hessians.krylov import FreeHessian
    from newtond.engine.methods.newton import newton

    matrix, b, labels = planted(name, noise=0.02)
    reference = solve(KINDS[name].problem, matrix, b, groups=labels)
    subject = regression(KINDS[name], sp.csr_array(matrix), b, groups=labels)
    *_, last = newton(subject.objective, FreeHessian(), subject.rule, 0, subject.first_state())
    assert last.termination == "converged"
    found = subject.link.canonical(subject, last.state.arrays["x"])
    np.testing.assert_allclose(found, reference.x, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_scattered_rows_are_gathered_and_answers_given_as_asked(solve: Any, name: str) -> None:
    matrix, b, labels = planted(name, noise=0.02)
    order = np.random.default_rng(9).permutation(len(b))
    outputs = ["fitted", "residual"]
    tidy = solve(KINDS[name].problem, matrix, b, groups=labels, outputs=outputs)
    for storage in (np.asarray, sp.csr_array):
        loose = solve(
            KINDS[name].problem, storage(matrix[order]), b[order], groups=labels[order], outputs=outputs
        )
        np.testing.assert_allclose(loose.x, tidy.x, rtol=1e-9)
        for output in outputs:
            np.testing.assert_allclose(
                loose.solution.arrays[output], tidy.solution.arrays[output][order], rtol=1e-8, atol=1e-12
            )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("hessian", ["exact", "sketch"])
def test_bits_do_not_depend_on_threads_nor_on_a_stop(make_problem: Any, name: str, hessian: str) -> None:
    rng = np.random.default_rng(2)
    kind, n = KINDS[name], 30_000
    matrix = sp.random_array((n, 12), density=0.4, rng=rng) if not kind.centre else None
    if matrix is None:
        matrix = sp.csr_array(rng.random((n, 12)) * (rng.random((n, 12)) < 0.4) + 0.01)
    labels = np.sort(rng.integers(0, 700, n)).astype(float)
    u = kind.u(matrix @ np.linspace(0.1, 1.0, 12))
    b = u / np.bincount(labels.astype(int), u)[labels.astype(int)] * (1 + 0.1 * rng.random(n))
    b /= np.bincount(labels.astype(int), b)[labels.astype(int)]
    spec, inputs = make_problem(kind.problem, matrix, b, groups=labels, solver={"hessian": hessian})
    one, two = (list(engine.steps(spec, inputs, threads)) for threads in (1, 2))
    assert len(one) >= 3
    for s, t in zip(one, two, strict=True):
        assert s.state.arrays["x"].tobytes() == t.state.arrays["x"].tobytes()
        assert s.record.loss == t.record.loss
    resumed = list(engine.steps(spec, inputs, 2, one[0].state))
    assert [s.state.arrays["x"].tobytes() for s in resumed] == [
        s.state.arrays["x"].tobytes() for s in one[1:]
    ]


@pytest.mark.parametrize("name", KINDS)
def test_groups_add_up_to_separate_solves(regression: Any, name: str) -> None:
    kind, y = KINDS[name], np.array([0.2, 0.3, 0.1])
    matrix, b, labels = planted(name, noise=0.05)
    whole = regression(kind, matrix, b, groups=labels).objective.expand(y)
    parts = [
        regression(kind, matrix[labels == k], b[labels == k]).objective.expand(y) for k in np.unique(labels)
    ]
    assert whole.value == pytest.approx(sum(part.value for part in parts), rel=1e-12)
    np.testing.assert_allclose(whole.gradient, sum(part.gradient for part in parts), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_finite_is_rejected_not_followed(regression: Any, name: str) -> None:
    matrix, b, labels = planted(name)
    subject = regression(KINDS[name], matrix, b, groups=labels)
    for z in (np.full(240, np.nan), np.full(240, np.inf)):
        assert not np.isfinite(subject.loss.value(z))
