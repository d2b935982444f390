"""The same spec gives the same bits: on any threads, from memory or a memory map, interrupted or not."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.engine.state import Csr, State
from tests.engine.conftest import bits

CASES: dict[str, dict[str, Any]] = {
    "exact": {"solver": {"hessian": "exact"}},
    "sketch": {"solver": {"hessian": "sketch"}},
    "paper": {"solver": {"hessian": "paper"}, "regulariser": {"weights": "convex", "margin": 0.5}},
    "kept": {},
    "damped": {"warm": True, "solver": {"hessian": "exact"}},
}


def table(storage: str) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(11)
    A = sp.random_array((30_000, 40), density=0.15, rng=rng, format="csr")
    b = np.exp(A @ rng.normal(size=40)) * (1.0 + 0.1 * rng.normal(size=30_000))
    return (A if storage == "sparse" else A.toarray()), b


def trace(make_problem: Any, storage: str, case: str, threads: int = 1, state: State | None = None) -> list:
    options = dict(CASES[case])
    A, b = table(storage)
    if options.pop("warm", False):
        options["warm_start"] = np.full(40, 2.0)
    spec, inputs = make_problem("exp", A, b, **options)
    return list(engine.steps(spec, inputs, threads, state))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("storage", ["sparse", "dense"])
def test_threads_change_no_bit(make_problem: Any, storage: str, case: str) -> None:
    one = bits(trace(make_problem, storage, case))
    assert len(one) > 2
    for threads in (2, 3, 5):
        assert bits(trace(make_problem, storage, case, threads)) == one


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_solve_repeats_the_undisturbed_one(make_problem: Any, case: str) -> None:
    whole = trace(make_problem, "sparse", case)
    for k in range(len(whole) - 1):
        kept = whole[k].state
        copy = State(kept.iteration, {n: a.copy() for n, a in kept.arrays.items()}, dict(kept.scalars))
        assert bits(trace(make_problem, "sparse", case, state=copy)) == bits(whole[k + 1 :])


def test_a_memory_map_gives_the_bits_of_memory(make_problem: Any, tmp_path: Path) -> None:
    A, b = table("sparse")
    spec, inputs = make_problem("exp", A, b, solver={"hessian": "sketch"})
    mapped = {}
    for name in ("indptr", "indices", "data"):
        np.save(tmp_path / f"{name}.npy", getattr(inputs["A"], name))
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    np.save(tmp_path / "b.npy", b)
    on_disk = {
        "A": Csr(mapped["indptr"], mapped["indices"], mapped["data"], A.shape),
        "b": np.load(tmp_path / "b.npy", mmap_mode="r"),
    }
    assert bits(list(engine.steps(spec, on_disk))) == bits(list(engine.steps(spec, inputs)))


def test_another_seed_draws_other_sketches_and_finds_the_same_point(make_problem: Any) -> None:
    A, b = table("sparse")
    ends = []
    for seed in (0, 1):
        spec, inputs = make_problem("exp", A, b, solver={"hessian": "sketch", "seed": seed})
        ends.append(list(engine.steps(spec, inputs)))
    assert bits(ends[0]) != bits(ends[1])
    x, y = (steps[-1].state.arrays["x"] for steps in ends)
    np.testing.assert_allclose(x, y, rtol=1e-8)


def test_every_blas_of_a_solve_runs_on_one_thread() -> None:
    """A second thread of BLAS changes bits, and spins for milliseconds where a sweep over A should run."""
    told = """
from newtond import engine
from newtond.contract.solve import SolveSpec
import numpy as np, scipy.linalg.lapack
from threadpoolctl import threadpool_info
problem = {"kind": "hyperbolic", "function": "exp"}
spec = SolveSpec.model_validate({"problem": problem, "A": "sha256:" + "0" * 64, "b": "sha256:" + "0" * 64})
list(engine.steps(spec, {"A": np.eye(3), "b": np.ones(3)}))
print(*[pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"])
"""
    pinned = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    free = {name: value for name, value in os.environ.items() if name not in pinned}
    done = subprocess.run([sys.executable, "-c", told], env=free, capture_output=True, text=True, check=True)
    pools = done.stdout.split()
    assert len(pools) > 0
    assert set(pools) == {"1"}
