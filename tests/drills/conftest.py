"""Jobs that nobody runs."""

from collections.abc import Callable

import pytest

from newtond.contract.job import Accepted
from newtond.contract.solve import SolveSpec
from newtond.store import DataDirectory
from newtond.store.jobs import new_job_id


@pytest.fixture
def submit_accepted() -> Callable[[DataDirectory], Accepted]:
    """Accept a job in a data directory."""

    def accept(data: DataDirectory) -> Accepted:
        problem = {"kind": "hyperbolic", "function": "exp"}
        spec = SolveSpec.model_validate({"problem": problem, "A": [[1.0], [2.0]], "b": [1.0, 2.0]})
        at = "2026-01-01T00:00:00Z"
        job = Accepted(
            job_id=new_job_id(), task="solve", spec=spec, shapes={}, fingerprint="f", created_at=at
        )
        return data.jobs.accept(job)

    return accept
