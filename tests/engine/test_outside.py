"""Outside of what a family is made for: noise, dependent columns, one row, no information. The answer is in words.

Every family meets every case. Nothing may be raised but an error of newtond's own, with a sentence; NumPy may not
warn; what is returned is finite, says how it ended, and claims no more than is so.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest

from newtond import engine
from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import SolveSpec

ID = "sha256:" + "0" * 64
ROWS, COLUMNS, HEIGHT = 24, 3, 10
Arrays = dict[str, Any]


class Family(NamedTuple):
    """A problem, what it predicts of z, and whether its targets are shares, its predictors positive."""

    problem: dict[str, Any]
    predict: Any = None
    shares: bool = False
    positive: bool = False


FAMILIES = {
    "exp": Family({"kind": "hyperbolic", "function": "exp"}, np.exp),
    "cosh": Family({"kind": "hyperbolic", "function": "cosh"}, np.cosh),
    "sinh": Family({"kind": "hyperbolic", "function": "sinh"}, np.sinh),
    "least squares": Family({"kind": "least_squares"}, np.array),
    "softmax": Family({"kind": "softmax"}, np.exp, shares=True),
    "softmax resnet": Family({"kind": "softmax_resnet"}, lambda z: np.exp(z) + z, shares=True, positive=True),
    "rescaled exp": Family({"kind": "rescaled", "function": "exp"}, np.exp, shares=True),
    "rescaled cosh": Family({"kind": "rescaled", "function": "cosh"}, np.cosh, shares=True),
    "divided cosh": Family(
        {"kind": "rescaled", "function": "cosh", "normalised": True}, np.cosh, shares=True
    ),
    "divided sinh": Family(
        {"kind": "rescaled", "function": "sinh", "normalised": True}, np.sinh, shares=True, positive=True
    ),
    "even power": Family({"kind": "power", "degree": 2}, np.square, shares=True),
    "odd power": Family({"kind": "power", "degree": 3}, lambda z: z**3, shares=True, positive=True),
    "undivided power": Family({"kind": "power", "degree": 2, "normalised": False}, np.square),
    "softmax first": Family({"kind": "two_layer", "order": "softmax_first", "starts": 2}),
    "softmax last": Family({"kind": "two_layer", "order": "softmax_last", "starts": 2}),
    "attention": Family({"kind": "attention", "starts": 2}),
    "attention map": Family({"kind": "attention", "target": "map", "starts": 2}),
    "kernel": Family({"kind": "attention_kernel"}, np.array),
    "Gram power": Family({"kind": "gram_power", "power": 1}),
    "power of the design": Family({"kind": "gram_power", "power": 1, "form": "design"}, np.array),
    "Gram exponential": Family({"kind": "gram_exponential"}),
}
CASES = ("noise", "collinear", "separable", "one row", "one column", "zero column", "all zero", "all equal")


def design(family: Family, case: str, rng: np.random.Generator) -> Any:
    A = rng.normal(size=(ROWS, COLUMNS))
    A = np.abs(A) + 0.2 if family.positive else A
    if case == "zero column":
        A[:, 1] = 0.0
    shapes = {
        "collinear": A[:, [0, 1, 0]],
        "one row": A[:1],
        "one column": A[:, :1],
        "all zero": np.zeros_like(A),
    }
    return shapes.get(case, A)


def spoiled(case: str, b: Any, family: Family, at: int, rng: np.random.Generator) -> Any:
    """Return the target that the case asks for instead of the planted b."""
    if case == "noise":
        noise = rng.normal(size=b.shape)
        return noise / noise.sum() if family.problem["kind"] == "rescaled" else noise
    if case == "all equal":
        return np.full(b.shape, 1.0 / len(b) if family.shares else 2.0)
    if case == "separable":
        return np.eye(len(b))[at] if b.ndim == 1 else np.eye(*b.shape)
    return b


def softmax(z: Any) -> Any:
    u = np.exp(z - z.max(axis=-1, keepdims=True))
    return u / u.sum(axis=-1, keepdims=True)


def planted(family: Family, A: Any, rng: np.random.Generator) -> Arrays:
    """Return arrays that some solution fits."""
    kind, x = family.problem["kind"], np.full(A.shape[1], 0.5)
    if kind == "attention":
        B = softmax(A @ A.T) if "target" in family.problem else A @ rng.normal(size=(A.shape[1], 2))
        return {"A1": A, "B": B}
    if kind == "two_layer":
        A2, first = rng.normal(size=(HEIGHT, len(A))), family.problem["order"] == "softmax_first"
        b = np.maximum(A2 @ softmax(A @ x), 0.0) if first else softmax(A2 @ np.maximum(A @ x, 0.0))
        return {"A1": A, "A2": A2, "b": b}
    if family.predict is None:
        return {"A": A, "b": rng.normal(size=A.shape[1])}
    b = family.predict(A @ x)
    total = b.sum() if family.shares and b.any() else 1.0
    return {"A": A, "b": b / total}


def arrays_of(family: Family, case: str) -> Arrays:
    rng = np.random.default_rng(0)
    A = design(family, case, rng)
    arrays = planted(family, A, rng)
    target = "B" if "B" in arrays else "b"
    arrays[target] = spoiled(case, arrays[target], family, int(np.argmax(A[:, 0])) % len(arrays[target]), rng)
    return arrays


class Answer(NamedTuple):
    termination: str
    words: str
    solution: Any
    certificate: Any


def answer(name: str, case: str) -> Answer:
    family = FAMILIES[name]
    arrays = arrays_of(family, case)
    spec = SolveSpec.model_validate({"problem": family.problem, **dict.fromkeys(arrays, ID)})
    plan = engine.plan(spec, arrays)
    *_, last = engine.steps(spec, arrays)
    found = engine.solution(spec, arrays, last.state)
    certificate = engine.certify(spec, arrays, found)
    assert last.termination
    words = "; ".join([*plan.warnings, last.stopping_rule, *found.warnings, *certificate.statements])
    return Answer(last.termination, words, found, certificate)


REFUSED = {("even power", "all zero"), ("odd power", "all zero"), ("divided sinh", "all zero")}
"""Every share is 0/0 there, whatever x is."""


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_is_in_words(name: str, case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if (name, case) in REFUSED:
            with pytest.raises(InvalidSpec, match="start"):
                answer(name, case)
            return
        given = answer(name, case)
    assert given.termination in ("converged", "stalled", "max_iterations")
    assert given.certificate.statements
    assert given.certificate.loss is not None or "no loss is given" in given.words
    assert all(np.isfinite(array).all() for array in given.solution.arrays.values())


DESIGNED = [
    name
    for name, family in FAMILIES.items()
    if family.problem["kind"] not in ("attention_kernel", "gram_exponential")
]
"""Families in which dependent columns leave x undetermined."""

WORDS = {"two_layer": "singular to rounding", "attention": "is determined up to"}


@pytest.mark.parametrize("case", ["collinear", "zero column"])
@pytest.mark.parametrize("name", DESIGNED)
def test_dependent_columns_are_said(name: str, case: str) -> None:
    given = answer(name, case)
    assert WORDS.get(FAMILIES[name].problem["kind"], "nullity 1") in given.words
    assert given.certificate.curvature in ("undetermined", "strict_local_minimum", "global_minimum")


@pytest.mark.parametrize("case", ["collinear", "zero column"])
@pytest.mark.parametrize("name", ["kernel", "Gram exponential"])
def test_where_dependent_columns_do_no_harm_the_solution_is_exact(name: str, case: str) -> None:
    given, arrays = answer(name, case), arrays_of(FAMILIES[name], case)
    assert given.termination == "converged"
    gram = arrays["A"].T @ arrays["A"]
    values, vectors = np.linalg.eigh(gram)
    if name == "Gram exponential":
        expected = vectors @ (np.exp(-values) * (vectors.T @ arrays["b"]))
        np.testing.assert_allclose(given.solution.arrays["x"], expected, atol=1e-12)
    else:
        assert "no ridge" in given.words


@pytest.mark.parametrize("name", FAMILIES)
def test_no_claim_is_made_where_nothing_is_seen(name: str) -> None:
    """A of zeros: F is constant in x (or x does not matter), so nothing is a strict minimum or a saddle."""
    if (name, "all zero") in REFUSED:
        return
    given = answer(name, "all zero")
    allowed = {"global_minimum", "undetermined"}
    assert given.certificate.curvature in allowed


@pytest.mark.parametrize("name", FAMILIES)
def test_one_row_is_fitted_and_never_called_a_saddle(name: str) -> None:
    given = answer(name, "one row")
    assert given.certificate.curvature != "saddle"
    if FAMILIES[name].predict is not None or FAMILIES[name].problem["kind"] in ("attention", "two_layer"):
        assert given.certificate.loss < 1e-24


@pytest.mark.parametrize("name", ["softmax", "softmax resnet", "divided cosh", "divided sinh"])
def test_a_share_of_one_is_not_called_a_minimum(name: str) -> None:
    given = answer(name, "separable")
    assert given.certificate.loss < 1e-12
    assert given.certificate.curvature == "undetermined"
    assert "may be anything larger; a ridge makes them finite" in given.words


@pytest.mark.parametrize("name", ["softmax resnet", "divided cosh", "divided sinh"])
def test_shares_that_are_shared_are_not_said_to_run_away(name: str) -> None:
    assert "a ridge makes them finite" not in answer(name, "noise").words
    assert "a ridge makes them finite" not in answer(name, "one row").words


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order", ["softmax_first", "softmax_last"])
def test_a_least_loss_at_a_kink_is_called_one(order: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {
        "A1": rng.normal(size=(ROWS, 3)),
        "A2": rng.normal(size=(HEIGHT, ROWS)),
        "b": rng.normal(size=HEIGHT),
    }
    problem = {"kind": "two_layer", "order": order, "starts": 2}
    spec = SolveSpec.model_validate({"problem": problem, **dict.fromkeys(arrays, ID)})
    *_, last = engine.steps(spec, arrays)
    found = engine.solution(spec, arrays, last.state)
    certificate = engine.certify(spec, arrays, found)
    z = arrays["A1"] @ found.arrays["x"]
    argument = arrays["A2"] @ softmax(z) if order == "softmax_first" else z
    at_kink = np.abs(argument).min() < 1e-9
    assert ("kink" in "".join(found.warnings)) == at_kink
    assert ("kink" in "".join(certificate.statements)) == at_kink
    if at_kink:
        assert last.termination == "stalled"
        assert certificate.curvature == "undetermined"
