"""Standard errors against statsmodels, and where there are none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

STRD = json.loads((Path(__file__).parent / "data" / "nist_strd.json").read_text())


def rows(n: int = 300) -> tuple[Any, Any]:
    rng = np.random.default_rng(40)
    A = rng.normal(size=(n, 3)) * [1.0, 10.0, 0.1]
    return A, np.exp(0.5 + A @ [0.2, -0.03, 1.0]) * (1.0 + 0.3 * rng.normal(size=n))


def everything(solved: Any) -> tuple[Any, Any]:
    """Return the classical and the sandwich errors, the intercept's last."""
    arrays = solved.solution.arrays
    return tuple(
        np.append(arrays[name], arrays["intercept_errors"][k])
        for k, name in enumerate(("standard_errors", "sandwich_errors"))
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_linear(solve: Any, weighted: bool) -> None:
    A, b = rows()
    v = np.random.default_rng(41).uniform(0.5, 2.0, len(b)) if weighted else np.ones(len(b))
    model = sm.WLS(b, np.column_stack([A, np.ones(len(b))]), weights=v)
    options = {"row_weights": v} if weighted else {}
    solved = solve("identity", A, b, intercept=True, outputs=["standard_errors", "fitted"], **options)
    classical, sandwich = everything(solved)
    np.testing.assert_allclose(classical, model.fit().bse, rtol=1e-9)
    np.testing.assert_allclose(sandwich, model.fit(cov_type="HC0").bse, rtol=1e-9)
    assert "fitted" in solved.solution.arrays


def test_exponential(solve: Any) -> None:
    A, b = rows()
    family = sm.families.Gaussian(sm.families.links.Log())
    model = sm.GLM(b, np.column_stack([A, np.ones(len(b))]), family=family)
    solved = solve("exp", A, b, intercept=True, outputs=["standard_errors"])
    classical, sandwich = everything(solved)
    np.testing.assert_allclose(classical, model.fit(tol=1e-14).bse, rtol=1e-6)
    np.testing.assert_allclose(sandwich, model.fit(tol=1e-14, cov_type="HC0").bse, rtol=1e-6)


def test_a_ridge_shrinks_the_errors_as_the_estimate(solve: Any) -> None:
    A, b = rows()
    found = solve("identity", A, b, ridge=50.0, outputs=["standard_errors"])
    inverse = np.linalg.inv(A.T @ A + 50.0 * np.eye(3))
    left = A @ found.x - b
    variance = left @ left / (len(b) - np.trace(inverse @ A.T @ A))
    covariance = variance * inverse @ A.T @ A @ inverse
    np.testing.assert_allclose(
        found.solution.arrays["standard_errors"], np.sqrt(np.diag(covariance)), rtol=1e-9
    )


@pytest.mark.parametrize(
    "name", ["NoInt1", "NoInt2", "Norris", "Pontius", "Wampler3", "Wampler4", "Wampler5"]
)
def test_certified_by_nist(solve: Any, name: str) -> None:
    data = STRD[name]
    low, high = data["powers"]
    A = np.column_stack([np.array(data["x"], float) ** k for k in range(low, high + 1)])
    found = solve("identity", A, np.array(data["y"], float), outputs=["standard_errors"])
    np.testing.assert_allclose(found.solution.arrays["standard_errors"], data["standard_errors"], rtol=1e-7)


def test_none_where_a_coefficient_is_not_identified(solve: Any) -> None:
    A, b = rows()
    doubled = solve("identity", np.column_stack([A, A[:, 0]]), b, outputs=["standard_errors"])
    assert set(doubled.solution.arrays) == {"x"}
    assert "no standard errors: 1 directions of x change no prediction" in doubled.warnings
    square = solve("identity", A[:3], b[:3], outputs=["standard_errors"])
    assert "no standard errors: there are no more rows than coefficients" in square.warnings
