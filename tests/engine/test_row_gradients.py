"""A row block's share of the gradient has the same bits whoever computes it: an audit compares nothing else."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr, Share

ANY = "sha256:" + "0" * 64
ROWS, COLUMNS = 30_000, 30
PROBLEMS = [{"kind": "hyperbolic", "function": name} for name in ("exp", "cosh", "sinh")]


def same(first: list[Share], second: list[Share]) -> bool:
    return all(np.array_equal(p, q) and s == t for (p, s), (q, t) in zip(first, second, strict=True))


@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize(
    "problem",
    [*PROBLEMS, {"kind": "least_squares"}, {"kind": "softmax"}],
    ids=lambda p: str(list(p.values())),
)
def test_one_block_alone_all_at_once_on_threads_or_without_curvature(
    problem: dict[str, Any], density: float
) -> None:
    generator = np.random.default_rng(3)
    A = generator.normal(size=(ROWS, COLUMNS)) / 5 * (generator.random((ROWS, COLUMNS)) < density)
    sparse = csr_array(A)
    matrix = (
        A
        if density == 1.0
        else Csr(sparse.indptr.astype(np.int64), sparse.indices.astype(np.int32), sparse.data, sparse.shape)
    )
    spec = SolveSpec.model_validate({"problem": problem, "A": ANY, "b": ANY})
    inputs = {"A": matrix, "b": np.exp(A @ generator.normal(size=COLUMNS))}
    one, two = (engine.row_gradients(spec, inputs, threads) for threads in (1, 2))
    x = 0.3 * generator.normal(size=COLUMNS)
    whole = list(one.objective.expand(x).shares)
    assert one.count > 4
    assert same(list(one.at(x)), whole)
    assert same(list(two.at(x)), whole)
    assert same(list(one.objective.slope(x).shares), whole)
    assert all(same(one.at(x, [k]), whole[k : k + 1]) for k in range(one.count))
    assert [one.rows(k)[0] for k in range(one.count)] == sorted(one.rows(k)[0] for k in range(one.count))
    assert sum(one.rows(k)[1] for k in range(one.count)) == ROWS
