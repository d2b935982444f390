"""What a stopped solve says: its arrays stored, its certificate, and what its bits depend on."""

import platform
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np
import scipy
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from newtond import __version__, engine
from newtond.contract.problem import PROBLEMS
from newtond.contract.result import Certificate, Provenance, Result, ResultArray
from newtond.engine import Inputs, Solution
from worker.checkpoint import Progress

if TYPE_CHECKING:
    from worker.job import Assignment

OUTPUTS = {
    "fitted": "the predictions f(Ax)",
    "residual": "the predictions less the target, f(Ax) − b",
}


def conclude(assignment: "Assignment", inputs: Inputs, progress: Progress) -> Result:
    """Return the result that ``progress`` stands for, certified from the input arrays; stores its arrays."""
    spec, threads = assignment.accepted.spec, assignment.threads
    started = time.monotonic()
    solution = engine.solution(spec, inputs, progress.state, threads)
    solved = time.monotonic()
    certificate = engine.certify(spec, inputs, solution)
    progress.phases["solution"] = solved - started
    progress.phases["certificate"] = time.monotonic() - solved
    return _result(assignment, inputs, progress, solution, certificate)


def _result(
    assignment: "Assignment", inputs: Inputs, progress: Progress, solution: Solution, certificate: Certificate
) -> Result:
    spec = assignment.accepted.spec
    plan = engine.plan(spec, inputs, assignment.threads)
    return Result(
        job_id=assignment.job_id,
        termination=progress.termination or "stalled",
        converged=progress.termination == "converged",
        stopping_rule=progress.stopping_rule,
        iterations=progress.state.iteration,
        loss=certificate.loss,
        gradient_norm=certificate.gradient_norm,
        newton_decrement=progress.newton_decrement,
        intercept=solution.intercept,
        column_names=spec.column_names,
        arrays={name: _store(assignment, name, array) for name, array in solution.arrays.items()},
        certificate=certificate,
        plan=plan,
        warnings=list(dict.fromkeys([*plan.warnings, *solution.warnings])),
        provenance=provenance(assignment.threads),
    )


def _store(assignment: "Assignment", name: str, array: NDArray[np.float64]) -> ResultArray:
    info, _ = assignment.data.arrays.put_dense(array)
    roles = PROBLEMS[assignment.accepted.spec.problem.kind].results
    return ResultArray(
        id=info.id,
        shape=info.shape,
        meaning=roles[name].meaning if name in roles else OUTPUTS[name],
        href=f"/jobs/{assignment.job_id}/result/{name}",
    )


def provenance(threads: int) -> Provenance:
    """Return what the bits depend on besides the spec."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return Provenance(
        newtond=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        scipy=scipy.__version__,
        numba=numba.__version__,
        cpu=cpu_model(),
        threads=threads,
        blas_threads=max(pools, default=1),
    )


@cache
def cpu_model() -> str:
    """Return the processor's name as Linux gives it, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
