"""What is solved in a drill: small regressions of several kinds, and how each ends when nothing happens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond.contract.chain import linked, sha256
from newtond.store.arrays import digest
from newtond.store.tenant import Tenant

Array = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Work:
    """One regression: its name, the spec without arrays, the arrays."""

    name: str
    spec: Mapping[str, Any]
    arrays: Mapping[str, Array]


def _paper(function: str) -> Callable[[Rng], Work]:
    def make(rng: Rng) -> Work:
        A = rng.normal(size=(40_000, 12)) / 12**0.5
        b = getattr(np, function)(A @ rng.normal(size=12)) + 0.1 * rng.normal(size=40_000)
        sketch = {"kind": "leverage", "rows": 80}
        spec = {
            "problem": {"kind": "hyperbolic", "function": function},
            "regulariser": {"weights": "convex", "margin": 0.1},
            "solver": {"hessian": "paper", "sketch": sketch, "tolerance": 1e-12},
        }
        return Work(f"hyperbolic {function}", spec, {"A": A, "b": b})

    return make


def _least_squares(rng: Rng) -> Work:
    A = rng.normal(size=(60_000, 30))
    b = A @ rng.normal(size=30) + rng.normal(size=60_000)
    return Work(
        "least_squares", {"problem": {"kind": "least_squares"}, "outputs": ["fitted"]}, {"A": A, "b": b}
    )


def _softmax(rng: Rng) -> Work:
    A, groups = rng.normal(size=(30_000, 8)), np.repeat(np.arange(6_000.0), 5)
    scores = np.exp(A @ rng.normal(size=8)).reshape(-1, 5)
    b = (scores / scores.sum(axis=1, keepdims=True)).ravel() + 0.02 * rng.normal(size=30_000)
    return Work("softmax", {"problem": {"kind": "softmax"}}, {"A": A, "b": b, "groups": groups})


def _two_layer(rng: Rng) -> Work:
    A1, A2 = rng.normal(size=(200, 12)), rng.uniform(size=(2_000, 200))
    inner = np.exp(A1 @ rng.normal(size=12))
    b = np.maximum(A2 @ (inner / inner.sum()), 0) + 1e-3 * rng.normal(size=2_000)
    problem = {"kind": "two_layer", "order": "softmax_first", "activation": "relu"}
    return Work("two_layer", {"problem": problem}, {"A1": A1, "A2": A2, "b": b})


def _attention(rng: Rng) -> Work:
    A1 = rng.normal(size=(80, 3))
    scores = np.exp(A1 @ rng.normal(size=(3, 3)) @ A1.T)
    B = scores / scores.sum(axis=1, keepdims=True) @ A1 @ rng.normal(size=(3, 3))
    return Work("attention", {"problem": {"kind": "attention", "starts": 3}}, {"A1": A1, "B": B})


def _kernel(rng: Rng) -> Work:
    A = rng.uniform(size=(1_500, 2))
    b = np.sin(4 * A[:, 0]) + A[:, 1] + 0.1 * rng.normal(size=1_500)
    spec = {"problem": {"kind": "attention_kernel"}, "regulariser": {"ridge": 0.01}}
    return Work("attention_kernel", spec, {"A": A, "b": b})


MAKERS = (_paper("exp"), _paper("cosh"), _least_squares, _softmax, _two_layer, _attention, _kernel)


def works(seed: int) -> list[Work]:
    """Return one regression a maker, from this seed."""
    return [make(np.random.default_rng([seed, number])) for number, make in enumerate(MAKERS)]


@dataclass(frozen=True)
class Outcome:
    """What must not depend on what happened to the processes."""

    status: str
    termination: str | None
    seal: str | None
    arrays: Mapping[str, str]
    trace: tuple[str, ...]
    error: str | None = field(default=None, compare=False)


def outcome(tenant: Tenant, job_id: str) -> Outcome:
    """Return how a finished job ended; its arrays are read and digested, its trace is read whole."""
    finished = tenant.jobs.finished(job_id)
    assert finished is not None
    arrays = {} if finished.result is None else finished.result.arrays
    return Outcome(
        finished.status,
        finished.termination,
        None if finished.seal is None else finished.seal.digest,
        {name: _digested(tenant, array.id) for name, array in arrays.items()},
        tuple(sha256(linked(line)) for line in tenant.jobs.lines(job_id)),
        None if finished.error is None else finished.error.detail,
    )


def _digested(tenant: Tenant, array_id: str) -> str:
    array = tenant.arrays.open(array_id)
    return digest(array.format, array.shape, array.parts)
