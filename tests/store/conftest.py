"""An accepted job of two tiny arrays."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from newtond.contract.job import Accepted
from newtond.contract.solve import SolveSpec
from newtond.store import DataDirectory
from newtond.store.jobs import new_job_id


@pytest.fixture
def make_accepted(data: DataDirectory) -> Callable[..., Accepted]:
    A, b = (data.arrays.put_dense(array)[0].id for array in (np.eye(3), np.ones(3)))
    spec = SolveSpec.model_validate({"problem": {"kind": "hyperbolic", "function": "exp"}, "A": A, "b": b})

    def make(**changes: object) -> Accepted:
        fields = {
            "job_id": new_job_id(),
            "task": "solve",
            "spec": spec,
            "shapes": {"A": (3, 3), "b": (3,)},
            "fingerprint": "f",
            "created_at": datetime.now(UTC).isoformat(),
        }
        return Accepted.model_validate(fields | changes)

    return make


@pytest.fixture
def accept(data: DataDirectory, make_accepted: Callable[..., Accepted]) -> Callable[..., Accepted]:
    return lambda **changes: data.jobs.accept(make_accepted(**changes))
