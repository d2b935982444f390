"""Attention of many queries: a sample of them first, which takes most of the work and changes no end."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine.problems.attention import Attention
from newtond.engine.state import State
from tests.engine.conftest import bits

ID = "sha256:" + "0" * 64
STARTS = "newtond.engine.methods.attention_starts"
MANY, ASKED = 2048, 512
Arrays = dict[str, Any]


def probabilities(A1: Any, A2: Any, X: Any) -> Any:
    """Return P by the plainest formula."""
    scores = A1 @ X @ A2.T
    u = np.exp(scores - scores.max(axis=1, keepdims=True))
    return u / u.sum(axis=1, keepdims=True)


def plant(n: int, seed: int, *, noise: float = 0.0, is_map: bool = False) -> tuple[Arrays, Any, Any]:
    """Return a layer in 3 dimensions whose keys are its values too, or its map, and its X and Y."""
    rng = np.random.default_rng(seed)
    A1, A2, _ = rng.normal(size=(3, n, 3))
    X, Y = rng.normal(size=(3, 3)) / 3, rng.normal(size=(3, 3))
    P = probabilities(A1, A2, X)
    B = P if is_map else P @ A2 @ Y
    return {"A1": A1, "A2": A2, "B": B + noise * np.std(B) * rng.normal(size=B.shape)}, X, Y


def loss(arrays: Arrays, X: Any, Y: Any) -> float:
    R = probabilities(arrays["A1"], arrays["A2"], X) @ arrays["A2"] @ Y - arrays["B"]
    return float(0.5 * np.sum(R**2))


def spec_of(arrays: Arrays, *, starts: int = 1, is_map: bool = False) -> SolveSpec:
    problem = {"kind": "attention", "starts": starts, "target": "map" if is_map else "output"}
    request = {"problem": problem, "solver": {"max_iterations": 60}}
    return SolveSpec.model_validate(request | dict.fromkeys(arrays, ID))


def on_all(steps: list[engine.Step], sample: int) -> list[engine.Step]:
    """Return the steps that took all rows."""
    return [step for step in steps if f"on {sample} rows" not in (step.record.note or "")]


def resumed(spec: SolveSpec, arrays: Arrays, kept: State, threads: int) -> list[Any]:
    copy = State(kept.iteration, {n: a.copy() for n, a in kept.arrays.items()}, dict(kept.scalars))
    return bits(list(engine.steps(spec, arrays, threads, copy)))


@pytest.mark.parametrize(("n", "sampled"), [(MANY - 1, MANY - 1), (MANY, ASKED), (5 * MANY, ASKED)])
def test_a_sample_is_taken_from_2048_queries_on(n: int, sampled: int) -> None:
    arrays, _, _ = plant(8, 0)
    arrays |= {"A1": np.random.default_rng(0).normal(size=(n, 3)), "B": np.ones((n, 3))}
    attention = Attention(spec_of(arrays), arrays, 1)
    assert (attention.starts.sampled, attention.starts.large, attention.white.dense) == (
        sampled,
        sampled < n,
        True,
    )


def test_a_sample_grows_with_the_unknowns_of_a_column() -> None:
    rng = np.random.default_rng(0)
    arrays = {"A1": rng.normal(size=(4096, 40)), "A2": rng.normal(size=(50, 40)), "B": np.ones((4096, 8))}
    attention = Attention(spec_of(arrays), arrays, 1)
    assert (attention.white.unknowns, attention.starts.sampled) == (40 * 40 + 40 * 8, 960)
    assert attention.starts.large
    assert attention.white.dense


@pytest.mark.parametrize(("noise", "accuracy"), [(0.0, 1e-10), (0.01, 0.02)], ids=["exact", "noisy"])
def test_a_planted_layer_of_many_queries_is_recovered_by_way_of_a_sample(
    noise: float, accuracy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, X, Y = plant(MANY, 1, noise=noise)
    spec, planted = spec_of(arrays), loss(arrays, X, Y)
    rounding = 1e-20 * np.sum(arrays["B"] ** 2)
    steps = list(engine.steps(spec, arrays))
    found = engine.solution(spec, arrays, steps[-1].state)
    certificate = engine.certify(spec, arrays, found)
    assert steps[-1].termination == "converged"
    assert certificate.curvature == "strict_local_minimum"
    assert certificate.relative_gradient_norm < 1e-7
    assert 0.99 * planted <= certificate.loss <= planted + rounding
    assert np.linalg.norm(found.arrays["X"] - X) <= accuracy * np.linalg.norm(X)

    whole = on_all(steps, ASKED)
    last_sampled = steps[len(steps) - len(whole) - 1].record
    assert last_sampled.loss * MANY / ASKED <= 1.1 * planted + rounding
    monkeypatch.setattr(f"{STARTS}.SAMPLE", MANY)
    without = list(engine.steps(spec, arrays))
    assert on_all(without, ASKED) == without
    assert 4 * len(whole) <= len(without)


def test_a_solve_has_the_same_bits_across_its_sample_however_interrupted_and_threaded() -> None:
    arrays, _, _ = plant(MANY, 1, noise=0.01)
    spec = spec_of(arrays)
    steps = list(engine.steps(spec, arrays, 1))
    one = bits(steps)
    assert bits(list(engine.steps(spec, arrays, 2))) == one
    handover = len(steps) - len(on_all(steps, ASKED))
    assert 2 < handover < len(steps) - 1
    for k, threads in ((1, 2), (handover - 2, 1), (handover - 1, 2), (handover, 1)):
        assert resumed(spec, arrays, steps[k].state, threads) == one[k + 1 :]


@pytest.fixture
def fifty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a sample of 50 queries enough."""
    monkeypatch.setattr(f"{STARTS}.SAMPLE", 50)


@pytest.mark.usefixtures("fifty")
@pytest.mark.parametrize("is_map", [False, True], ids=["output", "map"])
def test_every_start_takes_its_sample_first(is_map: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, _, _ = plant(200, 0, noise=0.1, is_map=is_map)
    spec = spec_of(arrays, starts=3, is_map=is_map)
    assert Attention(spec, arrays, 1).starts.sampled == 50
    assert "each on 50 rows" in engine.plan(spec, arrays).start
    steps = list(engine.steps(spec, arrays))
    assert "on 50 rows" in steps[0].record.note
    for before, after in pairwise(steps):
        first = before.state.scalars["stage"] < (1 if is_map else 2)
        assert first == ("on 50 rows" in (after.record.note or ""))
    assert {step.state.scalars["start"] for step in steps} == {0, 1, 2}
    assert steps[-1].termination == "converged"
    certificate = engine.certify(spec, arrays, engine.solution(spec, arrays, steps[-1].state))
    assert certificate.relative_gradient_norm < 1e-7
    for k in range(0, len(steps) - 1, 4):
        assert resumed(spec, arrays, steps[k].state, 2) == bits(steps[k + 1 :])
