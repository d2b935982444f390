"""What a certificate claims is true, and what is not proven is not claimed."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond.contract.result import Certificate
from newtond.engine.certificate import certify_linear, certify_predictor
from newtond.engine.certificate.proof import Form, pivoting
from newtond.engine.certificate.rows import Rows
from newtond.engine.state import Csr

N, D = 120, 4


def planted(plain_loss: Any, function: str, noise: float = 0.05, seed: int = 0, **terms: Any) -> Any:
    """Return A, a planted x, and the loss of noisy observations of it."""
    rng = np.random.default_rng(seed)
    A, x = rng.normal(size=(N, D)) / 2, rng.normal(size=D)
    f = {"exp": np.exp, "cosh": np.cosh, "sinh": np.sinh, "identity": np.asarray}[function]
    return A, x, plain_loss(function, f(A @ x) + noise * rng.normal(size=N), **terms)


def minimise(A: Any, x: Any, loss: Any, ridge: float = 0.0, steps: int = 40) -> Any:
    """Newton's iteration with plain linear algebra, minimum norm in the null space."""
    for _ in range(steps):
        z = A @ x
        H = A.T @ (loss.weights(z)[:, None] * A) + ridge * np.eye(len(x))
        x = x - np.linalg.lstsq(H, A.T @ loss.gradient(z) + ridge * x, rcond=1e-12)[0]
    return x


def without_seconds(certificate: Certificate) -> Certificate:
    return certificate.model_copy(update={"seconds": 0.0})


@pytest.mark.parametrize("function", ["exp", "cosh", "sinh"])
@pytest.mark.parametrize("away", [0.0, 1e-12, 1e-9, 1e-6])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_the_proven_distance_covers_the_minimiser(
    plain_loss: Any, function: str, away: float, ridge: float
) -> None:
    A, x, loss = planted(plain_loss, function)
    best = minimise(A, x, loss, ridge)
    point = best + away * np.array([0.5, -0.5, 0.5, 0.5])
    certificate = certify_predictor(A, point, None, loss, ridge)
    assert certificate.curvature == "strict_local_minimum"
    assert certificate.scope == "local"
    assert certificate.nullity == 0
    assert certificate.distance_bound is not None
    assert certificate.distance_bound + 1e-15 >= np.linalg.norm(point - best)
    assert certificate.distance_bound <= 40 * away + 1e-11


def test_the_modulus_is_below_every_curvature_nearby(plain_loss: Any) -> None:
    A, x, loss = planted(plain_loss, "exp")
    point = minimise(A, x, loss) + 1e-4
    certificate = certify_predictor(A, point, None, loss, 0.0)
    mu, bound = certificate.strong_convexity, certificate.distance_bound
    assert mu is not None
    assert bound is not None
    rng = np.random.default_rng(3)
    for _ in range(200):
        step = rng.normal(size=D)
        near = point + 2 * bound * rng.random() * step / np.linalg.norm(step)
        assert np.linalg.eigvalsh(A.T @ (loss.weights(A @ near)[:, None] * A))[0] >= mu


def test_sparse_and_dense_say_the_same(plain_loss: Any, as_csr: Any) -> None:
    rng = np.random.default_rng(2)
    A = rng.normal(size=(300, 12)) * (rng.random((300, 12)) < 0.3)
    x = rng.normal(size=12) / 3
    loss = plain_loss("exp", np.exp(A @ x + 0.4))
    for point in (x, x + 1e-7):
        dense, sparse = (certify_predictor(a, point, 0.4, loss, 0.1) for a in (A, as_csr(A)))
        assert (dense.curvature, dense.scope, dense.nullity) == (
            sparse.curvature,
            sparse.scope,
            sparse.nullity,
        )
        for name in ("loss", "distance_bound", "strong_convexity"):
            assert getattr(sparse, name) == pytest.approx(getattr(dense, name), rel=1e-2, abs=1e-11)


def test_the_same_point_gives_the_same_certificate(plain_loss: Any) -> None:
    A, x, loss = planted(plain_loss, "sinh")
    first, second = (without_seconds(certify_predictor(A, x, 0.1, loss, 0.2)) for _ in range(2))
    assert first == second


def test_a_saddle_is_proven(plain_loss: Any) -> None:
    A, x, loss = planted(plain_loss, "cosh")
    certificate = certify_predictor(A, 0 * x, None, plain_loss("cosh", loss.b + 1.0), 0.0)
    assert certificate.gradient_norm == 0.0
    assert certificate.curvature == "saddle"
    assert certificate.distance_bound is None
    assert certificate.relative_gradient_norm is None
    assert any("not a minimum" in s for s in certificate.statements)


def test_an_almost_flat_point_is_neither_saddle_nor_minimum(plain_loss: Any) -> None:
    A = np.ones((3, 1))
    certificate = certify_predictor(A, np.array([-40.0]), None, plain_loss("exp", np.full(3, -1.0)), 0.0)
    assert certificate.curvature == "undetermined"
    assert certificate.distance_bound is None


@pytest.mark.parametrize(("excess", "scope"), [(0.01, "global"), (-0.01, "local")])
def test_the_convexity_threshold_decides_the_scope(plain_loss: Any, excess: float, scope: str) -> None:
    A, x, loss = planted(plain_loss, "exp")
    convex = plain_loss("exp", loss.b, w=np.sqrt(np.maximum(loss.b, 0.3) ** 2 / 8 + excess))
    best = minimise(A, x, convex, steps=100)
    certificate = certify_predictor(A, best, None, convex, 0.0)
    assert certificate.scope == scope
    assert certificate.curvature == ("global_minimum" if scope == "global" else "strict_local_minimum")
    if scope == "global":
        smallest = np.linalg.svd(A)[1][-1]
        assert 0.1 * excess * smallest**2 < (certificate.strong_convexity or 0.0)


def test_a_point_that_is_far_is_not_called_a_minimum(plain_loss: Any) -> None:
    A, x, loss = planted(plain_loss, "identity")
    certificate = certify_predictor(A, x + 10.0, None, loss, 0.0)
    assert certificate.curvature == "undetermined"
    assert certificate.distance_bound is not None
    assert certificate.distance_bound >= np.linalg.norm(x + 10.0 - np.linalg.lstsq(A, loss.b)[0])


DEPENDENT = {
    "zero column": lambda A: np.hstack([A, np.zeros((N, 1))]),
    "the same column twice": lambda A: np.hstack([A, A[:, :1]]),
    "a column and its negative, and a zero": lambda A: np.hstack([A, -A[:, 1:2], np.zeros((N, 1))]),
}


@pytest.mark.parametrize("case", DEPENDENT)
def test_exactly_dependent_columns_are_counted_and_change_nothing(plain_loss: Any, case: str) -> None:
    A, x, loss = planted(plain_loss, "exp")
    wide = DEPENDENT[case](A)
    best = minimise(wide, np.append(x, np.zeros(wide.shape[1] - D)), loss)
    certificate = certify_predictor(wide, best, None, loss, 0.0)
    assert certificate.nullity == wide.shape[1] - D
    assert certificate.curvature == "strict_local_minimum"
    assert certificate.distance_bound is not None
    assert certificate.distance_bound < 1e-11


def test_a_one_hot_table_with_intercept_has_a_proven_null_space(plain_loss: Any, as_csr: Any) -> None:
    rng = np.random.default_rng(5)
    codes = [rng.integers(0, k, 2000) for k in (5, 9, 40)]
    A = sp.hstack([sp.csr_array((np.ones(2000), (np.arange(2000), c)), (2000, c.max() + 1)) for c in codes])
    x = rng.normal(size=A.shape[1]) / 3
    loss = plain_loss("exp", np.exp(A @ x + 1.0))
    certificate = certify_predictor(as_csr(A), x, 1.0, loss, 0.0)
    assert certificate.nullity == 3
    assert certificate.curvature == "strict_local_minimum"
    assert (certificate.distance_bound or 1.0) < 1e-11


def test_columns_dependent_only_to_rounding_prove_nothing(plain_loss: Any) -> None:
    A, x, loss = planted(plain_loss, "exp")
    wide = np.hstack([A, (A @ [0.1, 0.7, 0.3, 0.9])[:, None]])
    certificate = certify_predictor(wide, minimise(wide, np.append(x, 0.0), loss), None, loss, 0.0)
    assert certificate.nullity == 1
    assert certificate.distance_bound is None
    assert certificate.curvature == "undetermined"
    assert certificate.estimates["distance_with_dependent_coefficients_held"] is not None


def test_fewer_rows_than_columns(plain_loss: Any) -> None:
    rng = np.random.default_rng(7)
    A, x = rng.normal(size=(6, 15)), rng.normal(size=15) / 4
    certificate = certify_predictor(A, x, None, plain_loss("exp", np.exp(A @ x)), 0.0)
    assert certificate.nullity == 9
    assert certificate.curvature == "strict_local_minimum"


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_what_is_not_finite_is_null_and_said(plain_loss: Any, bad: float) -> None:
    A, x, loss = planted(plain_loss, "exp")
    certificate = certify_predictor(A, np.full_like(x, bad), None, loss, 0.0)
    assert certificate.gradient_norm is None
    assert certificate.curvature == "undetermined"
    assert "not finite" in certificate.statements[0]


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_above_the_size_limit_only_the_ridge_proves(plain_loss: Any, as_csr: Any, ridge: float) -> None:
    n, d = 9000, 6000
    rng = np.random.default_rng(11)
    A = sp.csr_array((np.ones(n), (np.arange(n), rng.integers(0, d, n))), (n, d))
    b = rng.normal(size=n)
    v = A.T @ np.ones(n)
    x = (A.T @ b) / np.where(v + ridge > 0, v + ridge, 1.0)
    certificate = certify_predictor(as_csr(A), x, None, plain_loss("identity", b), ridge)
    assert certificate.nullity is None
    assert certificate.estimates["smallest_eigenvalue_at_most"] is not None
    assert certificate.strong_convexity == (ridge or None)
    assert certificate.curvature == ("global_minimum" if ridge else "undetermined")


def test_badly_scaled_columns_are_no_obstacle(plain_loss: Any) -> None:
    A, x, loss = planted(plain_loss, "exp")
    scale = np.array([1e-6, 1.0, 1e3, 1e6])
    best = minimise(A, x, loss) / scale
    certificate = certify_predictor(A * scale, best, None, loss, 0.0)
    assert certificate.nullity == 0
    assert certificate.distance_bound is not None
    assert certificate.distance_bound < 1e-5


@pytest.mark.parametrize("order", [1, 2, 7, 40])
def test_positive_definiteness_is_claimed_only_where_it_holds(order: int) -> None:
    rng = np.random.default_rng(order)
    for exponent in (0, 4, 8, 12, 16):
        Q = np.linalg.qr(rng.normal(size=(order, order)))[0]
        values = np.geomspace(1.0, 10.0**-exponent, order)
        H = (Q * values) @ Q.T
        form = Form((H + H.T) / 2, np.diag(H).copy(), 1e-15)
        assert not form.exceeds(values[-1] * 1.01 + 1e-14, np.ones(order))
        if exponent <= 8:
            assert form.exceeds(0.9 * values[-1], np.ones(order))


def test_pivoting_finds_the_rank_and_the_smallest_eigenvalue() -> None:
    A = np.random.default_rng(1).normal(size=(50, 6))
    A[:, 5] = A[:, 0] - A[:, 3]
    H = A.T @ A
    pivots = pivoting(Form(H, np.diag(H).copy(), 0.0), 1e-13)
    assert len(pivots.dropped) == 1
    assert np.linalg.norm(A @ pivots.null_candidates()) < 1e-12
    kept = H[np.ix_(pivots.kept, pivots.kept)]
    assert pivots.smallest_eigenvalue(np.ones(6)) == pytest.approx(np.linalg.eigvalsh(kept)[0], rel=1e-3)


def factors(rng: Any, n: int, levels: tuple[int, ...]) -> Any:
    blocks = [sp.csr_array((np.ones(n), (np.arange(n), rng.integers(0, k, n))), (n, k)) for k in levels]
    A = sp.csr_array(sp.hstack(blocks))
    A.sort_indices()
    return A


def test_levels_of_a_factor_are_eliminated_and_prove_what_the_whole_matrix_does() -> None:
    A = factors(np.random.default_rng(5), 6_000, (600, 9, 5))
    rows = Rows(Csr(A.indptr.astype(np.int64), A.indices, A.data, A.shape), True)
    weights = np.random.default_rng(6).random(6_000) + 0.1
    H = rows.thrifty_gram(weights)
    assert sp.issparse(H)
    dense = rows.gram(weights)
    assert np.allclose(H.toarray(), dense, rtol=1e-13, atol=0.0)
    ridge = sp.diags_array(np.full(615, 1e-3))
    forms = [Form(M, M.diagonal().copy(), 1e-13) for M in (sp.csr_array(H + ridge), dense + ridge.toarray())]
    assert len(forms[0].apart) == 600
    ones, least = np.ones(615), np.linalg.eigvalsh(forms[1].H)[0]
    for share, proven in ((0.9, True), (1.1, False)):
        assert [form.exceeds(share * least, ones) for form in forms] == [proven, proven]
    pivots = [pivoting(Form(M, M.diagonal().copy(), 0.0), 1e-12) for M in (H, dense)]
    assert [len(each.dropped) for each in pivots] == [2 + 1, 2 + 1]
    assert np.abs(A @ pivots[0].null_candidates()[:-1] + pivots[0].null_candidates()[-1]).max() < 1e-10
    assert pivoting(forms[0], 0.0).smallest_eigenvalue(ones) == pytest.approx(least, rel=1e-3)


def test_no_negative_diagonal_is_called_definite() -> None:
    A = factors(np.random.default_rng(7), 4_000, (600, 4))
    H = sp.csr_array(A.T @ A - 2.0 * sp.diags_array((np.arange(604) == 3) * (A.T @ A).diagonal()))
    assert not Form(H, np.abs(H.diagonal()), 1e-13).exceeds(0.0, np.ones(604))


def test_linear_backward_error(plain_loss: Any) -> None:
    rng = np.random.default_rng(4)
    A = rng.normal(size=(80, 5)) * np.geomspace(1, 1e3, 5)
    loss = plain_loss("identity", rng.normal(size=80), v=rng.random(80) + 0.5, w=0.3, offset=1.0)
    M = np.vstack([np.sqrt(loss.v)[:, None] * A, 0.3 * A, np.sqrt(0.2) * np.eye(5)])
    b = np.concatenate([np.sqrt(loss.v) * loss.b, np.full(80, 0.3), np.zeros(5)])
    x = np.linalg.lstsq(M, b)[0]
    certificate = certify_linear(A, x, None, loss, 0.2)
    assert certificate.curvature == "global_minimum"
    assert (certificate.backward_error or 1.0) < 1e-12
    away = certify_linear(A, x * (1 + 1e-6), None, loss, 0.2)
    assert 1e-9 < (away.backward_error or 0.0) < 1e-5
    assert (away.distance_bound or 0.0) >= 1e-6 * np.linalg.norm(x)
    r = M @ (x * (1 + 1e-6)) - b
    E = -np.outer(r, M.T @ r) / (r @ r)
    repaired = np.linalg.lstsq(M + E, b)[0]
    assert np.linalg.norm(repaired - x * (1 + 1e-6)) < 1e-9 * np.linalg.norm(x)


def test_a_wild_point_has_a_certificate_without_overflow(plain_loss: Any) -> None:
    A, _, loss = planted(plain_loss, "exp")
    wild = np.array([90.0, -90.0, 90.0, 90.0])
    certificate = certify_predictor(A, wild, None, loss, 0.0)
    assert 1e154 < (certificate.gradient_norm or 0.0) < np.inf
    assert certificate.curvature == "undetermined"


def test_a_matrix_of_zeros_makes_every_point_a_minimum(plain_loss: Any) -> None:
    certificate = certify_predictor(
        np.zeros((5, 3)), np.ones(3), None, plain_loss("exp", np.full(5, 2.0)), 0.0
    )
    assert certificate.curvature == "global_minimum"
    assert certificate.distance_bound == 0.0
    assert certificate.nullity == 3
