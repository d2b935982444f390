"""What the mathematics demands of exp, cosh and sinh regression, through the engine's public functions.

Each test is a statement that was measured or derived before the engine was written; each can fail.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.engine.design import DesignMatrix
from newtond.engine.problems import hyperbolic, least_squares
from newtond.engine.regression import Regression
from newtond.engine.sketches import Key, sketch
from newtond.engine.sketches.leverage import sample, scores

FUNCTIONS = {"exp": np.exp, "cosh": np.cosh, "sinh": np.sinh}
INVERSES = {"exp": np.log, "cosh": np.arccosh, "sinh": np.arcsinh}


def with_condition(n: int, d: int, condition: float, coherent: bool = False, seed: int = 1) -> Any:
    """Return a matrix (n, d) of this condition number; coherent: d rows hold one direction each, nearly."""
    rng = np.random.default_rng(seed)
    U = rng.normal(size=(n, d))
    if coherent:
        U *= 1e-3
        U[rng.choice(n, d, replace=False)] = np.eye(d)
    U = np.linalg.qr(U)[0]
    V = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return (U * np.geomspace(1.0, 1.0 / condition, d)) @ V.T


def threshold(function: str, b: Any) -> Any:
    """Return τ(b): the least w² that makes a row convex."""
    b = np.asarray(b, float)
    if function == "exp":
        return np.maximum(b, 0.0) ** 2 / 8
    if function == "sinh":
        return b**2 / 8 - 1
    return np.where(b <= 4, b - 1, 1 + b**2 / 8)


TARGETS = np.array([-3.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.999, 4.0, 4.001, 7.0, 30.0, 100.0])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_least_curvature_of_a_row_is_minus_tau(make_problem: Any, plain_loss: Any, function: str) -> None:
    z = np.concatenate([np.linspace(-40.0, 12.0, 400_001), [0.0]])
    curvature = np.array([plain_loss(function, b).weights(z).min() for b in TARGETS])
    np.testing.assert_allclose(curvature, -threshold(function, TARGETS), rtol=1e-6, atol=1e-6)
    spec, inputs = make_problem(function, np.ones((len(TARGETS), 1)), TARGETS)
    floor = Regression(spec, inputs, hyperbolic.link(spec), 1).global_floor
    np.testing.assert_allclose(floor, -threshold(function, TARGETS), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_convex_weights_are_the_threshold_and_the_margin(
    make_problem: Any, function: str, margin: float
) -> None:
    v = np.linspace(0.5, 2.0, len(TARGETS))
    options = {"weights": "convex", "margin": margin, "row_weights": v}
    spec, inputs = make_problem(function, np.ones((len(TARGETS), 1)), TARGETS, **options)
    regression = Regression(spec, inputs, hyperbolic.link(spec), 1)
    expected = np.maximum(v * threshold(function, TARGETS), 0.0) + margin
    np.testing.assert_allclose(regression.omega, expected, rtol=1e-12, atol=1e-13)
    assert np.all(regression.global_floor >= margin)
    assert engine.plan(spec, inputs).convex is True


@pytest.mark.parametrize("target", [0.5, 1.5, 3.0, 20.0])
def test_convex_cosh_has_its_minimum_at_nought_and_says_so(solve: Any, target: float) -> None:
    A = np.random.default_rng(2).normal(size=(60, 4))
    solved = solve("cosh", A, target + np.abs(A[:, 0]), weights="convex", margin=0.1)
    assert np.linalg.norm(solved.x) < 1e-10
    assert solved.certificate.curvature == "global_minimum"
    assert "pull every prediction towards cosh(0) = 1" in solved.warnings


def test_cosh_at_nought_is_left_and_never_called_a_success(solve: Any) -> None:
    rng = np.random.default_rng(4)
    A, x = rng.normal(size=(100, 4)) / 2, np.array([1.0, -0.5, 0.3, 0.8])
    b = np.cosh(A @ x)
    solved = solve("cosh", A, b, warm_start=np.zeros(4))
    assert len(solved.steps) > 1
    assert solved.last.termination == "converged"
    assert np.linalg.norm(solved.x) > 0.1
    assert solved.certificate.curvature == "strict_local_minimum"
    stopped = solve("cosh", A, b, warm_start=np.zeros(4), solver={"max_iterations": 0})
    assert stopped.last.termination == "max_iterations"
    assert stopped.certificate.curvature == "saddle"


@pytest.mark.parametrize("seed", range(5))
def test_cosh_recovers_a_planted_point_up_to_sign(solve: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, x = rng.normal(size=(200, 6)) / 2, rng.normal(size=6)
    solved = solve("cosh", A, np.cosh(A @ x))
    assert min(np.linalg.norm(solved.x - x), np.linalg.norm(solved.x + x)) < 1e-8
    assert solved.x[np.flatnonzero(solved.x)[0]] > 0
    assert "−x fits exactly as well" in solved.warnings


@pytest.mark.parametrize("condition", [1e1, 1e4, 1e8])
@pytest.mark.parametrize("coherent", [False, True])
def test_sketched_cg_iterations_do_not_grow_with_the_condition_number(
    solve: Any, condition: float, coherent: bool
) -> None:
    A = with_condition(3000, 30, condition, coherent) * np.sqrt(3000)
    rng = np.random.default_rng(6)
    z = A @ np.linalg.lstsq(A, 0.5 * rng.normal(size=3000))[0]
    b = np.exp(z) + 0.01 * rng.normal(size=3000)
    solved = solve("exp", A, b, solver={"hessian": "sketch"})
    assert solved.plan.hessian == "sketch"
    assert solved.last.termination == "converged"
    assert solved.plan.sketch_rows == 120
    assert max(step.record.cg_iterations for step in solved.steps) <= 20
    assert len(solved.steps) <= 12


@pytest.mark.parametrize("coherent", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["sparse_sign", "gaussian"])
def test_a_sketch_of_four_rows_a_column_preconditions(kind: Any, seed: int, coherent: bool) -> None:
    Q = with_condition(5000, 40, 1.0, coherent)
    image = sketch(kind).apply(DesignMatrix(Q), np.ones(5000), 160, Key(seed, 0))
    values = np.linalg.svd(image)[1]
    assert (values[0] / values[-1]) ** 2 <= 12


def test_count_sketch_is_refused_below_d_squared_rows(solve: Any) -> None:
    A = with_condition(3000, 20, 10.0)
    b = np.exp(A @ np.ones(20))
    options = {"hessian": "sketch", "sketch": {"kind": "count_sketch"}}
    solved = solve("exp", A, b, solver=options)
    assert solved.plan.sketch_rows >= 400
    assert all(step.record.sketch is None or step.record.sketch.rows >= 400 for step in solved.steps)
    with pytest.raises(InvalidSpec, match="count_sketch"):
        solve("exp", A, b, solver={**options, "sketch": {"kind": "count_sketch", "rows": 100}})


@pytest.mark.parametrize("rows", [150, 400, 1200])
@pytest.mark.parametrize("kind", ["identity", "exp"])
def test_the_papers_iteration_converges_at_the_rate_of_its_samples(
    make_problem: Any, kind: str, rows: int
) -> None:
    rng = np.random.default_rng(9)
    A, x = rng.normal(size=(4000, 10)) / 4, rng.normal(size=10) / 2
    f = FUNCTIONS.get(kind, np.asarray)
    convex = {} if kind == "identity" else {"weights": "convex", "margin": 0.5, "offset": "target"}
    solver = {"hessian": "paper", "sketch": {"kind": "leverage", "rows": rows}, "seed": 5}
    b = f(A @ x) * (1 + 0.05 * rng.normal(size=4000))
    spec, inputs = make_problem(kind, A, b, solver=solver, **convex)
    steps = list(engine.steps(spec, inputs))
    assert steps[-1].termination == "converged"
    link = (least_squares if kind == "identity" else hyperbolic).link(spec)
    objective = Regression(spec, inputs, link, 1).objective
    points = [step.state.arrays["x"] for step in steps]
    start = list(
        engine.steps(
            spec.model_copy(update={"solver": spec.solver.model_copy(update={"max_iterations": 0})}), inputs
        )
    )
    points = [start[0].state.arrays["x"], *points[:-1]]
    best = minimise(objective, points[-1])
    D = objective.expand(best).curvature.weights
    R = np.linalg.qr(np.sqrt(D)[:, None] * A, mode="r")
    errors = [float(np.linalg.norm(R @ (point - best))) for point in points]
    ratios = 0
    for k in range(len(points) - 1):
        if not 1e-9 * errors[0] < errors[k] < (np.inf if kind == "identity" else 1e-2):
            continue
        root = np.sqrt(objective.expand(points[k]).curvature.weights)
        kept, probabilities = sample(scores(objective.design, root, Key(5, k)), rows, Key(5, k))
        image = A[kept] * (root[kept] / np.sqrt(probabilities))[:, None]
        values = np.linalg.svd(image @ np.linalg.inv(R))[1] ** 2
        distortion = max(values[0] - 1, 1 - values[-1])
        assert errors[k + 1] <= 1.05 * distortion / (1 - distortion) * errors[k] if distortion < 1 else True
        ratios += distortion < 1
    assert ratios >= 3


def minimise(objective: Any, x: Any) -> Any:
    for _ in range(10):
        here = objective.expand(x)
        gram = np.triu(objective.design.gram(here.curvature.weights))
        x = x - np.linalg.solve(gram + np.triu(gram, 1).T, here.gradient)
    return x


def test_the_papers_iteration_is_refused_where_a_row_may_be_concave(solve: Any) -> None:
    with pytest.raises(InvalidSpec, match="D > 0"):
        solve("exp", np.ones((3, 1)), np.ones(3), solver={"hessian": "paper"})


@pytest.mark.parametrize("function", ["exp", "sinh"])
def test_the_offset_keeps_convexity_and_almost_the_optimum(solve: Any, function: str) -> None:
    rng = np.random.default_rng(10)
    A, x = rng.normal(size=(400, 8)) / 2, rng.normal(size=8)
    z = A @ x
    b = FUNCTIONS[function](z) + 0.3 * rng.normal(size=400)
    b = np.maximum(b, 0.05) if function == "exp" else b
    options = {"weights": "convex", "margin": 1e-3, "offset": "target"}
    answers = []
    for seed in range(8):
        start = np.random.default_rng(seed).normal(size=8) * 2
        solved = solve(function, A, b, warm_start=start, **options)
        assert solved.last.termination == "converged"
        assert solved.certificate.curvature == "global_minimum"
        assert solved.certificate.scope == "global"
        answers.append(solved.x)
    assert max(np.linalg.norm(answer - answers[0]) for answer in answers) < 1e-8
    centred = solve(function, A, b, weights="convex", margin=1e-3)
    loss = {name: data_loss(function, A, b, y) for name, y in [("offset", answers[0]), ("zero", centred.x)]}
    optimum = data_loss(function, A, b, solve(function, A, b).x)
    assert optimum <= loss["offset"] < loss["zero"]
    assert loss["offset"] <= 1.02 * optimum


def data_loss(function: str, A: Any, b: Any, x: Any) -> float:
    return 0.5 * float(np.sum((FUNCTIONS[function](A @ x) - b) ** 2))


@pytest.mark.parametrize("start", [np.zeros(3), np.full(3, 30.0), np.array([200.0, -200.0, 100.0])])
@pytest.mark.parametrize("function", ["exp", "sinh"])
def test_a_huge_target_and_a_wild_start_converge(solve: Any, function: str, start: Any) -> None:
    rng = np.random.default_rng(12)
    A = np.hstack([rng.normal(size=(80, 2)) / 3, np.ones((80, 1))])
    x = np.array([0.5, -0.3, np.log(1e6)])
    b = FUNCTIONS[function](A @ x) * (1 + 0.01 * rng.normal(size=80))
    solved = solve(function, A, b, warm_start=start, solver={"max_iterations": 1000})
    assert solved.last.termination == "converged"
    assert np.linalg.norm(solved.x - x) < 0.05
    assert all(np.isfinite(step.record.loss) for step in solved.steps)
    assert solved.certificate.curvature == "strict_local_minimum"


def test_one_huge_target_from_nought_converges(solve: Any) -> None:
    solved = solve("exp", np.ones((1, 1)), np.array([1e6]), warm_start=np.zeros(1))
    assert solved.x[0] == pytest.approx(np.log(1e6), rel=1e-12)


def test_the_loss_never_grows(solve: Any) -> None:
    rng = np.random.default_rng(13)
    A = rng.normal(size=(150, 5))
    solved = solve(
        "exp", A, np.exp(A @ rng.normal(size=5)) + rng.normal(size=150), warm_start=np.full(5, 3.0)
    )
    losses = [step.record.loss for step in solved.steps]
    assert all(after <= before for before, after in pairwise(losses))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_weights_that_shrink_are_said_to(solve: Any, function: str) -> None:
    A = np.random.default_rng(14).normal(size=(50, 3))
    b = np.full(50, 100.0)
    solved = solve(function, A, b, weights="convex")
    fitted = FUNCTIONS[function](A @ solved.x)
    assert np.max(np.abs(fitted)) < 30.0
    assert f"towards {function}(0)" in solved.warnings
    assert "poor" in solved.warnings


@pytest.mark.parametrize(
    ("weight", "fitted"), [(np.sqrt(100.0**2 / 8), 1.09), (np.sqrt(0.5 * 100.0**2), 1.02)]
)
def test_how_far_convex_weights_shrink_one_row(solve: Any, weight: float, fitted: float) -> None:
    solved = solve("exp", np.ones((1, 1)), np.array([100.0]), weights=float(weight))
    assert np.exp(solved.x[0]) == pytest.approx(fitted, abs=0.01)


def test_targets_that_exp_cannot_reach(solve: Any) -> None:
    rng = np.random.default_rng(15)
    A, x = rng.normal(size=(200, 3)) / 2, np.array([0.5, -1.0, 0.3])
    b = np.exp(A @ x)
    b[:20] = -rng.random(20)
    solved = solve("exp", A, b, intercept=True)
    assert solved.last.termination == "converged"
    assert solved.certificate.curvature == "strict_local_minimum"
    assert "20 rows have b ≤ 0" in solved.warnings
    with pytest.raises(InvalidSpec, match="20 rows"):
        solve("exp", A, b, weights=1.0, offset="target")


@pytest.mark.parametrize("b", [np.full(30, -1.0), np.zeros(30)])
def test_a_minimum_at_infinity_is_not_certified(solve: Any, b: Any) -> None:
    solved = solve("exp", np.ones((30, 1)), b)
    assert np.isfinite(solved.x).all()
    assert solved.certificate.curvature == "undetermined"
    assert solved.certificate.distance_bound is None


def test_a_column_seen_only_by_unreachable_rows(solve: Any) -> None:
    A = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    solved = solve("exp", A, np.array([2.0, 3.0, -1.0]))
    assert solved.x[0] == pytest.approx(np.log(2.5), rel=1e-6)
    assert np.isfinite(solved.x).all()
    assert solved.x[1] < -3
    assert solved.certificate.curvature != "global_minimum"


def test_a_wide_dynamic_range_is_said(solve: Any) -> None:
    rng = np.random.default_rng(16)
    A = np.hstack([rng.normal(size=(2000, 2)), np.ones((2000, 1))])
    b = np.exp(A @ np.array([3.0, 2.0, 1.0]))
    solved = solve("exp", A, b)
    assert solved.last.termination == "converged"
    assert "largest targets decide the fit" in solved.warnings
    assert np.linalg.norm(solved.x - [3.0, 2.0, 1.0]) < 1e-7


@pytest.mark.parametrize("function", ["exp", "cosh"])
def test_no_intercept_is_said(solve: Any, function: str) -> None:
    A = np.random.default_rng(17).normal(size=(40, 2))
    b = np.full(40, 2.0)
    assert "no intercept" in solve(function, A, b).warnings
    assert "no intercept" not in solve(function, A, b, intercept=True).warnings
    assert "no intercept" not in solve(function, np.hstack([A, np.ones((40, 1))]), b).warnings


SHAPES: dict[str, tuple[Any, int]] = {
    "1 × 1": (np.array([[0.7]]), 0),
    "one row": (np.array([[0.5, -0.2, 0.1]]), 2),
    "one column": (np.linspace(0.1, 1.0, 9)[:, None], 0),
    "a zero column": (np.hstack([np.random.default_rng(1).normal(size=(20, 2)), np.zeros((20, 1))]), 1),
    "only zeros": (np.zeros((4, 2)), 2),
    "the same column twice": (np.random.default_rng(2).normal(size=(20, 2))[:, [0, 1, 0]], 1),
    "the same row twice": (np.random.default_rng(3).normal(size=(2, 2))[[0, 1, 0, 1]], 0),
    "fewer rows than columns": (np.random.default_rng(4).normal(size=(3, 7)), 4),
    "a zero row": (np.vstack([np.random.default_rng(5).normal(size=(9, 2)), np.zeros((1, 2))]), 0),
}


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", [*FUNCTIONS, "identity"])
def test_degenerate_shapes_are_solved_with_least_norm(
    solve: Any, function: str, shape: str, storage: Any
) -> None:
    A, nullity = SHAPES[shape]
    rng = np.random.default_rng(21)
    x = rng.normal(size=A.shape[1]) + 0.5
    b = FUNCTIONS.get(function, np.asarray)(A @ x)
    solved = solve(function, storage(A), b)
    assert solved.last.termination == "converged"
    assert solved.certificate.nullity == nullity
    fitted = FUNCTIONS.get(function, np.asarray)(A @ solved.x)
    np.testing.assert_allclose(fitted, b, rtol=1e-7, atol=1e-7)
    null = np.linalg.svd(A)[2][A.shape[1] - nullity :]
    assert np.linalg.norm(null @ solved.x) <= 1e-8 * max(np.linalg.norm(solved.x), 1e-300)
    assert ("nullity" in solved.warnings) == (nullity > 0)


@pytest.mark.parametrize("function", [*FUNCTIONS, "identity"])
def test_targets_all_equal(solve: Any, function: str) -> None:
    A = np.random.default_rng(22).normal(size=(50, 3))
    solved = solve(function, A, np.full(50, 3.0), intercept=True)
    assert solved.last.termination == "converged"
    assert np.linalg.norm(solved.x) < 1e-7
    expected = 3.0 if function == "identity" else INVERSES[function](3.0)
    assert abs(solved.solution.intercept) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("function", [*FUNCTIONS, "identity"])
def test_rows_of_no_weight_do_not_count(solve: Any, function: str) -> None:
    rng = np.random.default_rng(23)
    A, x = rng.normal(size=(60, 3)) / 2, np.array([0.6, 0.4, -0.8])
    b = FUNCTIONS.get(function, np.asarray)(A @ x)
    v = np.ones(60)
    b[:10], v[:10] = 1e9, 0.0
    solved = solve(function, A, b, row_weights=v)
    assert min(np.linalg.norm(solved.x - x), np.linalg.norm(solved.x + x)) < 1e-7


def test_a_one_hot_table_is_solved_with_its_null_space_said(solve: Any) -> None:
    rng = np.random.default_rng(24)
    codes = [rng.integers(0, k, 3000) for k in (4, 7, 25)]
    A = sp.hstack([sp.csr_array((np.ones(3000), (np.arange(3000), c)), (3000, c.max() + 1)) for c in codes])
    b = np.exp(A @ rng.normal(size=A.shape[1]) / 2) * (1 + 0.1 * rng.normal(size=3000))
    solved = solve("exp", A, b, intercept=True)
    assert solved.last.termination == "converged"
    assert solved.certificate.nullity == 3
    assert solved.certificate.curvature == "strict_local_minimum"
    assert "nullity 3" in solved.warnings
    assert (solved.certificate.distance_bound or 1.0) < 1e-6


@pytest.mark.parametrize("shift", [1e-7, 1e-4])
def test_columns_of_nearly_equal_entries_lose_nothing(solve: Any, shift: float) -> None:
    rng = np.random.default_rng(25)
    column = rng.normal(size=(300, 1))
    A = np.hstack([column, column + shift * rng.normal(size=(300, 1))])
    b = np.exp(A @ np.array([0.3, 0.4]))
    solved = solve("exp", A, b)
    assert solved.last.termination == "converged"
    np.testing.assert_allclose(np.exp(A @ solved.x), b, rtol=1e-8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("hessian", ["auto", "sketch"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_convex_problems_reach_the_global_minimum_in_few_steps(
    solve: Any, function: str, hessian: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(40, 1 + seed)) * rng.choice([0.1, 1.0])
    b = rng.normal(size=40) * rng.choice([1.0, 10.0])
    solved = solve(function, A, b, weights="convex", margin=0.01, solver={"hessian": hessian})
    assert solved.last.termination == "converged"
    assert solved.certificate.curvature == "global_minimum"
    assert len(solved.steps) <= 20


@pytest.mark.parametrize("hessian", ["auto", "sketch"])
@pytest.mark.parametrize("function", [*FUNCTIONS, "identity"])
def test_a_matrix_of_zeros_has_every_point_as_an_answer(solve: Any, function: str, hessian: str) -> None:
    solved = solve(function, np.zeros((30, 11)), np.full(30, 2.0), solver={"hessian": hessian})
    assert solved.last.termination == "converged"
    assert not solved.x.any()
    assert solved.certificate.nullity == 11
