"""What a worker reads of a spec's arrays: mapped, and counted once."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr
from newtond.store.arrays import ArrayStore
from worker.inputs import load


@pytest.fixture
def stored(tmp_path: Path) -> tuple[ArrayStore, SolveSpec]:
    arrays = ArrayStore(tmp_path / "arrays")
    A = sp.csr_array(sp.random_array((30_000, 40), density=0.1, rng=np.random.default_rng(0), format="csr"))
    info, _ = arrays.put_csr(A.shape, A.indptr, A.indices, A.data)
    target, _ = arrays.put_dense(np.exp(A @ np.full(40, 0.1)))
    problem = {"kind": "hyperbolic", "function": "exp"}
    return arrays, SolveSpec.model_validate({"problem": problem, "A": info.id, "b": target.id})


def test_a_matrix_is_counted_once(
    stored: tuple[ArrayStore, SolveSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, spec = stored
    first = load(spec, arrays)["A"]
    monkeypatch.setattr(engine, "prepare", lambda *_: pytest.fail("it was counted again"))
    second = load(spec, arrays)["A"]
    assert isinstance(first, Csr)
    assert isinstance(second, Csr)
    assert first.prepared is not None
    assert second.prepared is not None
    np.testing.assert_array_equal(first.prepared.products, second.prepared.products)


def test_what_was_counted_changes_no_bit(stored: tuple[ArrayStore, SolveSpec]) -> None:
    arrays, spec = stored
    inputs = load(spec, arrays)
    A = inputs["A"]
    assert isinstance(A, Csr)
    bare = {**inputs, "A": Csr(A.indptr, A.indices, A.data, A.shape)}
    *_, one = engine.steps(spec, inputs, 2)
    *_, other = engine.steps(spec, bare, 2)
    assert one.state.arrays["x"].tobytes() == other.state.arrays["x"].tobytes()
