"""Ridge regression of few rows and many columns, through its dual."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine


def wide(rows: int = 120, columns: int = 6_000) -> tuple[Any, Any]:
    """Return A with singular values log-spaced over 1e5, and b."""
    rng = np.random.default_rng(20)
    U, _ = np.linalg.qr(rng.normal(size=(rows, rows)))
    V, _ = np.linalg.qr(rng.normal(size=(columns, rows)))
    return U @ np.diag(np.geomspace(1.0, 1e-5, rows)) @ V.T, rng.normal(size=rows)


def exact(A: Any, b: Any, ridge: float, v: Any = 1.0) -> Any:
    """Return the ridge solution from the singular value decomposition."""
    root = np.sqrt(v * np.ones(len(b)))
    U, s, Vt = np.linalg.svd(root[:, None] * A, full_matrices=False)
    return Vt.T @ (s / (s * s + ridge) * (U.T @ (root * b)))


@pytest.mark.parametrize("ridge", [1e-2, 1e-6, 1e-10])
def test_the_sketch_makes_the_rate_free_of_the_ridge(solve: Any, ridge: float) -> None:
    A, b = wide()
    solved = solve("identity", A, b, ridge=ridge)
    assert solved.plan.hessian == "dual"
    assert solved.last.termination == "converged"
    assert all(step.record.cg_iterations <= 40 for step in solved.steps)
    x = exact(A, b, ridge)
    assert np.linalg.norm(solved.x - x) < 1e-9 * np.linalg.norm(x)


def test_sparse_with_weights_and_intercept(solve: Any) -> None:
    rng = np.random.default_rng(21)
    A = sp.random_array((100, 5_000), density=0.02, rng=rng, format="csr")
    b, v = 3.0 + rng.normal(size=100), rng.uniform(0.5, 2.0, 100)
    solved = solve("identity", A, b, ridge=0.1, row_weights=v, intercept=True, outputs=["residual"])
    assert solved.plan.hessian == "dual"
    stacked = np.column_stack([A.toarray(), np.ones(100)]) * np.sqrt(v)[:, None]
    gradient = stacked.T @ (stacked @ solved.y - np.sqrt(v) * b)
    gradient[:-1] += 0.1 * solved.x
    assert np.linalg.norm(gradient) < 1e-11 * np.linalg.norm(stacked.T @ (np.sqrt(v) * b))
    np.testing.assert_allclose(solved.solution.arrays["residual"], A @ solved.x + solved.y[-1] - b)


def test_resumes_to_the_same_bits_on_any_number_of_threads(make_problem: Any) -> None:
    spec, inputs = make_problem("identity", *wide(), ridge=1e-8, intercept=True)
    whole = list(engine.steps(spec, inputs))
    for earlier in whole[:-1]:
        resumed = list(engine.steps(spec, inputs, 2, earlier.state))
        assert resumed[-1].state.arrays["x"].tobytes() == whole[-1].state.arrays["x"].tobytes()
