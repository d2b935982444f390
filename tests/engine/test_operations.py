"""What each way costs on fixed small instances, in operations on the whole matrix and memory, never in seconds."""

import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.counting import Operations, counted
from benchmarks.instances.sparse_rows import grouped, scattered, target
from newtond import engine


class Most(NamedTuple):
    """The most that a way may cost: full passes, Grams (and rows of them), factorisations, sketches, vectors."""

    passes: int
    grams: int
    gram_rows: float
    factorisations: int
    sketches: int
    vectors: float


class Case(NamedTuple):
    hessian: str
    problem: Callable[[], tuple[Any, Any]]
    most: Most
    kind: str | dict[str, Any] = "exp"
    options: dict[str, Any] = {}


def sparse(n: int = 40_000, d: int = 100) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    A = scattered(rng, (n, d), 8)
    return A, target(rng, A)


def dense() -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    A = rng.normal(size=(30_000, 40))
    return A, target(rng, A)


def one_hot() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    n = 40_000
    levels = [rng.integers(0, size, n) for size in (600, 12, 20)]
    blocks = [sp.csr_array((np.ones(n), (np.arange(n), level))) for level in levels]
    A = sp.csr_array(sp.hstack(blocks))
    A.sort_indices()
    return A, target(rng, A)


def linear(condition: float) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        rng = np.random.default_rng(4)
        A = grouped(rng, (40_000, 100), 10, condition)
        return A, A @ rng.normal(size=100) + 0.01 * rng.normal(size=40_000)

    return make


def shares(n: int = 40_000, d: int = 60, rows: int = 20) -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    A = scattered(rng, (n, d), 8)
    u = target(rng, A).reshape(-1, rows)
    return A, (u / u.sum(axis=1, keepdims=True)).ravel()


IN_GROUPS = {"groups": np.repeat(np.arange(2_000.0), 20), "regulariser": {"ridge": 1e-6}}

CASES = {
    "partial": Case("partial", sparse, Most(9, 1, 0.06, 2, 0, 9)),
    "partial, dense": Case("partial", dense, Most(8, 0, 0.0, 2, 0, 9)),
    "arrow": Case("arrow", one_hot, Most(10, 2, 2.0, 2, 0, 9), options={"regulariser": {"ridge": 1.0}}),
    "exact": Case("exact", sparse, Most(11, 5, 5.0, 5, 0, 9), options={"solver": {"hessian": "exact"}}),
    "sketch": Case("sketch", sparse, Most(58, 1, 1.0, 1, 5, 10), options={"solver": {"hessian": "sketch"}}),
    "softmax in groups": Case(
        "exact", shares, Most(30, 8, 8.0, 9, 0, 40), kind={"kind": "softmax"}, options=IN_GROUPS
    ),
    "least squares": Case("exact", linear(1e-2), Most(6, 2, 2.0, 3, 1, 20), kind="identity"),
    "least squares, ill-conditioned": Case(
        "sketched_qr", linear(1e-8), Most(35, 0, 0.0, 0, 1, 20), kind="identity"
    ),
}


def measured(make_problem: Any, case: Case) -> tuple[Any, Operations, float]:
    """Return the last step, what it cost, and the peak of memory in vectors of n doubles."""
    A, b = case.problem()
    spec, inputs = make_problem(case.kind, A, b, **case.options)
    assert engine.plan(spec, inputs).hessian == case.hessian
    *_, last = engine.steps(spec, inputs, 2)
    tracemalloc.start()
    try:
        with counted(A.shape) as operations:
            *_, last = engine.steps(spec, inputs, 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return last, operations, peak / (8 * A.shape[0])


@pytest.mark.parametrize("name", CASES)
def test_a_way_costs_no_more_than_it_did(make_problem: Any, name: str) -> None:
    case = CASES[name]
    last, done, vectors = measured(make_problem, case)
    cost = Most(
        done.passes, done.grams, done.gram_rows, done.factorisations, done.calls["sparse_sign"], vectors
    )
    assert last.termination == "converged"
    assert all(spent <= most for spent, most in zip(cost, case.most, strict=True)), cost


def test_the_guard_sees_a_pass_that_is_added(make_problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from newtond.engine.objective import Objective

    _, before, _ = measured(make_problem, CASES["partial"])
    slope = Objective.slope

    def twice(objective: Objective, x: Any) -> Any:
        slope(objective, x)
        return slope(objective, x)

    monkeypatch.setattr(Objective, "slope", twice)
    _, after, _ = measured(make_problem, CASES["partial"])
    assert after.passes == before.passes + before.calls["slope"]
