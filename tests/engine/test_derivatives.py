"""Value, gradient, curvature, Gram and Hessian products of the engine against the complex step.

The value is complex-stepped to the gradient, the plain gradient to the Hessian: no subtraction, so both are
right to rounding, and neither shares a line with the engine.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond.engine.problems import hyperbolic, least_squares
from newtond.engine.regression import Regression

N, D, STEP, TOLERANCE = 23, 4, 1e-30, 1e-10
RNG = np.random.default_rng(20)
A = RNG.normal(size=(N, D)) * (RNG.random((N, D)) < 0.7)
B = 3.0 * RNG.normal(size=N)
V, W, OFFSET = RNG.random(N) + 0.1, RNG.random(N), RNG.normal(size=N)

SCALE = np.array([0.0, 0.5, 5.0])
"""Predictors at nought, small and large."""

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "row weights": {"row_weights": V},
    "w": {"weights": W},
    "one w and a vector offset": {"weights": 0.7, "offset": OFFSET},
    "ridge and intercept": {"ridge": 0.3, "intercept": True},
    "all": {"row_weights": V, "weights": W, "offset": OFFSET, "ridge": 0.3, "intercept": True},
}


def complex_step(function: Callable[[Any], Any], y: Any) -> Any:
    """Return the derivatives of ``function`` by each entry of y, stacked on the last axis."""
    steps = [y + 1j * STEP * unit for unit in np.eye(len(y))]
    return np.stack([np.imag(function(step)) / STEP for step in steps], axis=-1)


@pytest.mark.parametrize("scale", SCALE)
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("function", ["exp", "cosh", "sinh", "identity"])
def test_every_derivative(
    make_problem: Any, plain_loss: Any, function: str, variant: str, storage: Any, scale: float
) -> None:
    options = VARIANTS[variant]
    spec, inputs = make_problem(function, storage(A), B, **options)
    link = (least_squares if function == "identity" else hyperbolic).link(spec)
    objective = Regression(spec, inputs, link, 1).objective
    intercept, ridge = options.get("intercept", False), options.get("ridge", 0.0)
    wide = np.hstack([A, np.ones((N, 1))]) if intercept else A
    penalty = np.full(wide.shape[1], ridge)
    penalty[D:] = 0.0
    loss = plain_loss(
        function, B, options.get("row_weights", 1.0), options.get("weights", 0.0), options.get("offset", 0.0)
    )

    def value(y: Any) -> Any:
        return loss.value(wide @ y) + 0.5 * np.sum(penalty * y * y)

    def gradient(y: Any) -> Any:
        return wide.T @ loss.gradient(wide @ y) + penalty * y

    y = scale * np.random.default_rng(3).normal(size=wide.shape[1]) / np.sqrt(D)
    here = objective.expand(y)
    hessian = complex_step(gradient, y)
    largest = np.abs(hessian).max()
    assert here.value == pytest.approx(value(y), rel=TOLERANCE)
    slope = complex_step(value, y)
    np.testing.assert_allclose(here.gradient, slope, rtol=TOLERANCE, atol=TOLERANCE * np.abs(slope).max())
    np.testing.assert_allclose(here.predictor, wide @ y, rtol=1e-13, atol=1e-13)

    gram = np.triu(objective.design.gram(here.curvature.weights))
    gram = gram + np.triu(gram, 1).T + np.diag(penalty)
    np.testing.assert_allclose(gram, hessian, rtol=TOLERANCE, atol=TOLERANCE * largest)

    p = np.cos(np.arange(len(y)))
    product = objective.design.normal(p, here.curvature.weights) + penalty * p
    np.testing.assert_allclose(product, hessian @ p, rtol=TOLERANCE, atol=TOLERANCE * largest)

    model = complex_step(lambda z: np.sqrt(loss.v) * FUNCTION[function](z) + 0 * z, here.predictor)
    expected = np.diag(model) ** 2 + np.broadcast_to(np.square(loss.w), N)
    np.testing.assert_allclose(here.curvature.model, expected, rtol=TOLERANCE, atol=TOLERANCE)


FUNCTION: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "cosh": np.cosh,
    "sinh": np.sinh,
    "identity": lambda z: z,
}


@pytest.mark.parametrize("function", ["exp", "cosh", "sinh", "identity"])
def test_expansion_and_value_along_agree_with_the_sweep(make_problem: Any, function: str) -> None:
    spec, inputs = make_problem(function, A, B, row_weights=V, weights=W, offset=OFFSET)
    link = (least_squares if function == "identity" else hyperbolic).link(spec)
    regression = Regression(spec, inputs, link, 1)
    x, p = np.array([0.3, -0.2, 0.5, 0.1]), np.array([-0.1, 0.4, 0.2, 0.3])
    there = regression.objective.expand(x + 0.5 * p)
    expansion = regression.loss.expand(there.predictor)
    along = regression.loss.along(A @ x, A @ p, 0.5)
    assert expansion.value == pytest.approx(there.value, rel=1e-14)
    assert along == pytest.approx(there.value, rel=1e-13)
    np.testing.assert_allclose(expansion.weights, there.curvature.weights, rtol=1e-14)
    np.testing.assert_allclose(expansion.model, there.curvature.model, rtol=1e-14)
    np.testing.assert_allclose(A.T @ expansion.gradient, there.gradient, rtol=1e-12)


@pytest.mark.parametrize("function", ["exp", "cosh", "sinh", "identity"])
def test_the_curvature_bounds_enclose_the_curvature(
    make_problem: Any, plain_loss: Any, function: str
) -> None:
    rng = np.random.default_rng(8)
    b = np.concatenate([10 * rng.normal(size=300), [0.0, 1.0, 4.0, -3.0]])
    v, w = rng.random(len(b)), rng.random(len(b))
    spec, inputs = make_problem(function, np.ones((len(b), 1)), b, row_weights=v, weights=w)
    link = (least_squares if function == "identity" else hyperbolic).link(spec)
    loss, plain = Regression(spec, inputs, link, 1).loss, plain_loss(function, b, v, w)
    for width in (0.0, 1e-8, 0.3, 4.0):
        low = 2 * rng.normal(size=len(b))
        floor, ceiling = (bound(low, low + width) for bound in (loss.curvature_floor, loss.curvature_ceiling))
        inside = [plain.weights(low + t * width) for t in np.linspace(0.0, 1.0, 41)]
        assert np.all(floor <= np.min(inside, axis=0))
        assert np.all(ceiling >= np.max(inside, axis=0))
        scale = v * (1 + b**2) * np.cosh(np.abs(low) + width) ** 2
        assert np.all(np.min(inside, axis=0) - floor <= 0.02 * width**2 * scale + 1e-13 * scale)
