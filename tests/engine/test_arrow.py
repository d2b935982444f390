"""Designs of factors: mutually exclusive columns are found and eliminated, and nothing else changes."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.engine.curvature import DiagonalCurvature
from newtond.engine.design import DesignMatrix
from newtond.engine.hessians.arrow import ArrowForm
from newtond.engine.hessians.dense import Dense
from newtond.engine.methods.minimum_norm import null_space
from newtond.engine.objective import Objective, Penalty
from newtond.engine.state import Csr


def table(n: int, levels: tuple[int, ...], seed: int = 0) -> sp.csr_array:
    """Return the one-hot design of factors with these many levels, each level seen."""
    rng = np.random.default_rng(seed)
    parts = []
    for size in levels:
        codes = np.concatenate([np.arange(size), rng.integers(0, size, n - size)])
        rng.shuffle(codes)
        parts.append(sp.csr_array((np.ones(n), (np.arange(n), codes)), (n, size)))
    A = sp.csr_array(sp.hstack(parts))
    A.sort_indices()
    return A


def csr(A: sp.csr_array) -> Csr:
    return Csr(A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data, A.shape)


def objective(design: DesignMatrix, ridge: float) -> Objective:
    return Objective(design, None, Penalty(np.full(design.width, ridge), np.zeros(design.width)))  # type: ignore[arg-type]


@pytest.mark.parametrize("intercept", [False, True])
def test_the_largest_factor_is_found(intercept: bool) -> None:
    A = table(6000, (12, 300, 7))
    arrow = DesignMatrix(csr(A), intercept=intercept).arrow
    assert arrow is not None
    np.testing.assert_array_equal(arrow.head, 12 + np.arange(300))
    assert len(arrow.tail) == 19 + intercept
    assert ((A[:, arrow.head] != 0).sum(axis=1) <= 1).all()


def test_an_ordinary_design_has_none() -> None:
    A = sp.random_array((4000, 300), density=0.05, rng=np.random.default_rng(1), format="csr")
    assert DesignMatrix(csr(A)).arrow is None
    assert DesignMatrix(np.ones((4000, 300))).arrow is None


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_it_is_the_dense_hessian(threads: int, damping: float) -> None:
    rng = np.random.default_rng(2)
    A = table(5000, (300, 9, 5))
    A.data = rng.normal(size=len(A.data))
    design = DesignMatrix(csr(A), intercept=True, threads=threads)
    weights = rng.uniform(0.1, 2.0, 5000)
    curvature, F = DiagonalCurvature(weights, weights), objective(design, 0.1)
    assert design.arrow is not None
    way = ArrowForm(design.arrow)
    found = way.factorise(way.form(F, curvature, True), damping)
    dense = Dense().factorise(Dense().form(F, curvature, True), damping)
    assert found is not None
    assert dense is not None
    g = rng.normal(size=design.width)
    np.testing.assert_allclose(found.solve(g), dense.solve(g), rtol=1e-9, atol=1e-12)
    assert found.square(g) == pytest.approx(dense.square(g), rel=1e-10)


def test_an_indefinite_matrix_has_no_factor() -> None:
    A = table(5000, (300, 9))
    design = DesignMatrix(csr(A))
    assert design.arrow is not None
    weights = np.where(A[:, [3]].toarray().ravel() > 0, -1.0, 1.0)
    way = ArrowForm(design.arrow)
    assert (
        way.factorise(way.form(objective(design, 0.0), DiagonalCurvature(weights, weights), True), 0.0)
        is None
    )


def test_the_null_space_is_that_of_the_table() -> None:
    A = table(6000, (300, 9, 5))
    used = np.ones(6000)
    used[A[:, [7]].toarray().ravel() > 0] = 0.0
    found = null_space(DesignMatrix(csr(A), intercept=True), used)
    whole = np.hstack([A.toarray(), np.ones((6000, 1))]) * used[:, None]
    s = np.linalg.svd(whole, compute_uv=False)
    assert found.known
    assert found.nullity == int((s <= 1e-10 * s[0]).sum()) == 4
    assert np.linalg.norm(whole @ found.basis) <= 1e-10 * np.linalg.norm(whole)


def test_a_table_is_solved_as_with_a_dense_hessian(make_problem: Any) -> None:
    rng = np.random.default_rng(4)
    A = table(9000, (400, 12, 5), seed=4)
    b = np.exp(2.0 + A @ (0.3 * rng.normal(size=417))) * (1.0 + 0.1 * rng.normal(size=9000))
    found = {}
    for hessian in ("auto", "exact"):
        spec, inputs = make_problem("exp", A, b, intercept=True, solver={"hessian": hessian})
        *_, last = engine.steps(spec, inputs, 2)
        assert last.termination == "converged"
        found[hessian] = engine.solution(spec, inputs, last.state, 2)
    assert engine.plan(*make_problem("exp", A, b, intercept=True)).hessian == "arrow"
    np.testing.assert_allclose(found["auto"].arrays["x"], found["exact"].arrays["x"], atol=1e-7)
    assert "nullity 3" in found["auto"].warnings[0]


def test_the_same_bits_on_any_threads_and_after_an_interruption(make_problem: Any) -> None:
    A = table(9000, (400, 12, 5), seed=4)
    b = np.exp(A @ np.linspace(-0.5, 0.5, 417)) + 0.3 * np.random.default_rng(1).normal(size=9000)
    spec, inputs = make_problem("exp", A, b, intercept=True)
    whole = list(engine.steps(spec, inputs, 1))
    for earlier in [None, *whole[:-1]]:
        state = None if earlier is None else earlier.state
        again = list(engine.steps(spec, inputs, 3, state))
        assert again[-1].state.arrays["x"].tobytes() == whole[-1].state.arrays["x"].tobytes()
