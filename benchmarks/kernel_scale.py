"""Time of attention_kernel and of its certificate by the number of points, matrix-free.

    python -m benchmarks.kernel_scale 10000 20000 100000 [--threads 2]

Normal points of standard deviation ½ in three dimensions, normal b, λ = 1e-4 n. A line a size: iterations, seconds of
the solve and of the certificate, peak memory of the process so far.
"""

import argparse
import resource
import time

import numpy as np

from newtond import engine
from newtond.contract.solve import SolveSpec

COLUMNS, SPREAD, RIDGE = 3, 0.5, 1e-4
ID = "sha256:" + "0" * 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("points", type=int, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    for n in given.points:
        print(measured(n, given.threads), flush=True)


def measured(n: int, threads: int) -> str:
    """Solve and certify one problem of n points; return the line."""
    rng = np.random.default_rng(0)
    arrays = {"A": SPREAD * rng.normal(size=(n, COLUMNS)), "b": rng.normal(size=n)}
    body = {"problem": {"kind": "attention_kernel"}, "regulariser": {"ridge": RIDGE * n}, "A": ID, "b": ID}
    spec, began = SolveSpec.model_validate(body), time.perf_counter()
    *_, last = engine.steps(spec, arrays, threads)
    found = engine.solution(spec, arrays, last.state, threads)
    solved = time.perf_counter()
    engine.certify(spec, arrays, found)
    ended, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f"n = {n:,}: {last.termination} in {last.state.iteration} iterations, solve {solved - began:.1f} s, "
        f"certificate {ended - solved:.1f} s, {peak:.1f} GB"
    )


if __name__ == "__main__":
    main()
