"""``python -m benchmarks.families``: every other family against SciPy on the same objective, interleaved.

SciPy gets the analytic derivatives of `objectives`, checked against a difference before the clock starts.
Trust-ncg's Hessian products are differences of the analytic gradient.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from benchmarks.families.cases import CASES, Case
from benchmarks.families.objectives import Vector
from benchmarks.machine import machine
from newtond import engine

ACCURACY = 1e-8
MOST = 5_000


def checked(case: Case) -> None:
    """Raise ArithmeticError where the gradient is not the derivative of the value."""
    rng = np.random.default_rng(0)
    x = case.start + 1e-2 * rng.standard_normal(len(case.start))
    p = rng.standard_normal(len(x))
    p *= 1e-5 / np.linalg.norm(p)
    difference = case.objective(x + p)[0] - case.objective(x - p)[0]
    slope = 2.0 * float(case.objective(x)[1] @ p)
    if not np.isclose(difference, slope, rtol=1e-4, atol=1e-13 * abs(case.objective(x)[0])):
        raise ArithmeticError(f"{case.name}: slope {slope:g} where the difference is {difference:g}")


def ours(case: Case, threads: int) -> Vector:
    *_, last = engine.steps(case.spec, case.inputs, threads)
    return case.answer(dict(engine.solution(case.spec, case.inputs, last.state, threads).arrays))


def goal(case: Case) -> float:
    return ACCURACY * float(np.linalg.norm(case.objective(case.start)[1]))


def by_lbfgsb(case: Case) -> Vector:
    options = {"maxiter": MOST, "maxfun": 2 * MOST, "ftol": 0.0, "gtol": goal(case), "maxcor": 20}
    return minimize(case.objective, case.start, jac=True, method="L-BFGS-B", options=options).x


def by_trust_ncg(case: Case) -> Vector:
    def product(x: Vector, p: Vector) -> Vector:
        size = 1e-6 * (1.0 + float(np.linalg.norm(x))) / max(float(np.linalg.norm(p)), 1e-300)
        return (case.objective(x + size * p)[1] - case.objective(x - size * p)[1]) / (2.0 * size)

    options = {"gtol": goal(case), "maxiter": 500}
    return minimize(
        case.objective, case.start, jac=True, hessp=product, method="trust-ncg", options=options
    ).x


def solvers(case: Case, threads: int) -> dict[str, Callable[[], Vector]]:
    """Return newtond and the peers, by name."""
    found: dict[str, Callable[[], Vector]] = {
        "newtond": lambda: ours(case, threads),
        "scipy L-BFGS-B": lambda: by_lbfgsb(case),
        "scipy trust-ncg": lambda: by_trust_ncg(case),
    }
    return found | case.own


def measured(case: Case, threads: int, runs: int, limit: float) -> dict[str, Any]:
    """Return medians of interleaved runs; one that takes longer than ``limit`` is run once."""
    checked(case)
    competing = solvers(case, threads)
    times: dict[str, list[float]] = {name: [] for name in competing}
    answers: dict[str, Vector] = {}
    competing["newtond"]()
    for _ in range(runs):
        for name, solve in competing.items():
            if times[name] and max(times[name]) > limit:
                continue
            with threadpool_limits(1 if name == "newtond" else threads):
                started = time.perf_counter()
                answers[name] = solve()
                times[name].append(time.perf_counter() - started)
    first = float(np.linalg.norm(case.objective(case.start)[1]))
    rows = []
    for name, x in answers.items():
        value, gradient = case.objective(x)
        reached = float(np.linalg.norm(gradient)) / first
        rows.append(
            {"solver": name, "seconds": float(np.median(times[name])), "loss": value, "accuracy": reached}
        )
    return {"family": case.name, "title": case.title, "rows": rows}


def section(result: dict[str, Any]) -> str:
    """Return the part of the page."""
    lines = [
        "## The other families",
        "",
        "The same objective for everybody; SciPy gets analytic derivatives, starts where a user would, and is asked",
        f"for a gradient of {ACCURACY:g} of the first one; newtond for its default tolerance. Quadratic losses are",
        "shown without their constant; two_layer and attention have local minima, so that losses may differ.",
        "",
        "| family | solver | seconds | × newtond | loss | gradient |",
        "|---|---|---|---|---|---|",
    ]
    for case in result["families"]:
        own = case["rows"][0]["seconds"]
        lines.append(f"| **{case['family']}**: {case['title']} | | | | | |")
        lines += [
            f"| | {row['solver']} | {row['seconds']:.3f} | {row['seconds'] / own:.1f} | {row['loss']:.8g} "
            f"| {row['accuracy']:.0e} |"
            for row in case["rows"]
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families")
    parser.add_argument("--family", nargs="*", default=[make.__name__ for make in CASES])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of rows")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds past which a solver runs once")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    found = []
    for make in CASES:
        if make.__name__ in options.family:
            case = make(options.scale, options.seed)
            found.append(measured(case, options.threads, options.runs, options.limit))
            print(json.dumps(found[-1]), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(options.threads), "families": found}
    (options.output / "families.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
