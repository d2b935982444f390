"""Many right-hand sides at once: each column as if it were solved alone."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import SolveSpec

ID = "sha256:" + "0" * 64


def many(make_problem: Any, A: Any, B: Any, **options: Any) -> Any:
    spec, inputs = make_problem("identity", A, B[:, 0], **options)
    rest = {name: array for name, array in inputs.items() if name != "b"}
    return spec.model_copy(update={"b": None, "B": ID}), {**rest, "B": B}


def ill_conditioned(n: int, d: int) -> Any:
    rng = np.random.default_rng(50)
    U, _ = np.linalg.qr(rng.normal(size=(n, d)))
    V, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return U @ np.diag(np.geomspace(1.0, 1e-8, d)) @ V.T


WAYS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "qr": (200, 10, {}),
    "sketched_qr": (20_000, 40, {}),
    "dual": (60, 3_000, {"ridge": 1e-3}),
    "exact": (300, 6, {"solver": {"hessian": "exact"}, "ridge": 1e-3}),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_column_as_if_alone(make_problem: Any, way: str) -> None:
    n, d, options = WAYS[way]
    A = ill_conditioned(n, d) if n > d else np.random.default_rng(51).normal(size=(n, d))
    B = np.random.default_rng(52).normal(size=(n, 3)) + A @ np.ones((d, 3))
    spec, inputs = many(make_problem, A, B, intercept=True, outputs=["fitted"], **options)
    assert engine.plan(spec, inputs).hessian == way
    whole = list(engine.steps(spec, inputs))
    assert [step.record.iteration for step in whole] == list(range(len(whole)))
    assert whole[-1].termination == "converged"
    found = engine.solution(spec, inputs, whole[-1].state)
    assert found.arrays["X"].shape == (d, 3)
    for j in range(3):
        one, single = make_problem("identity", A, B[:, j], intercept=True, **options)
        *_, last = engine.steps(one, single)
        alone = engine.solution(one, single, last.state).arrays["x"]
        np.testing.assert_allclose(
            found.arrays["X"][:, j], alone, rtol=0.0, atol=1e-6 * np.linalg.norm(alone)
        )
        z = A @ found.arrays["X"][:, j] + found.arrays["intercepts"][j]
        np.testing.assert_allclose(found.arrays["fitted"][:, j], z, atol=1e-6 * np.abs(z).max())
    for earlier in whole[:-1]:
        *_, resumed = engine.steps(spec, inputs, 2, earlier.state)
        assert resumed.state.arrays["X"].tobytes() == whole[-1].state.arrays["X"].tobytes()


def test_the_certificate_is_of_all_columns(make_problem: Any) -> None:
    rng = np.random.default_rng(53)
    A, B = rng.normal(size=(100, 4)), rng.normal(size=(100, 3))
    spec, inputs = many(make_problem, A, B)
    *_, last = engine.steps(spec, inputs)
    certificate = engine.certify(spec, inputs, engine.solution(spec, inputs, last.state))
    residual = np.linalg.lstsq(A, B, rcond=None)[1]
    assert certificate.loss == pytest.approx(0.5 * residual.sum())
    assert certificate.curvature == "global_minimum"
    assert certificate.distance_bound < 1e-12


def test_a_column_that_stops_early_is_named(make_problem: Any) -> None:
    rng = np.random.default_rng(54)
    spec, inputs = many(
        make_problem, rng.normal(size=(100, 4)), rng.normal(size=(100, 2)), solver={"max_iterations": 0}
    )
    *_, last = engine.steps(spec, inputs)
    assert last.termination == "max_iterations"
    assert last.stopping_rule.startswith("column 0")


def test_what_it_refuses(make_problem: Any) -> None:
    A, B = np.ones((5, 2)), np.ones((5, 3))
    for options, pointer in (
        ({"outputs": ["standard_errors"]}, "/outputs"),
        ({"warm_start": np.ones(2)}, "/warm_start"),
    ):
        with pytest.raises(InvalidSpec) as refused:
            engine.plan(*many(make_problem, A, B, **options))
        assert refused.value.source == {"pointer": pointer}
    for arrays in ({}, {"b": ID, "B": ID}):
        with pytest.raises(ValidationError, match="one of b and B"):
            SolveSpec.model_validate({"problem": {"kind": "least_squares"}, "A": ID, **arrays})
