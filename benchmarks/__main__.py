"""``python -m benchmarks [--instance A …]``: every competitor on every instance, interleaved; writes JSON and tables.

Each competitor lives in its own process, builds the instance, warms up once (compilation, imports; the first
run is reported apart) and then runs when it is told to, in turn with the others: machine drift hits everyone.
A competitor of long runs runs less often, so that it keeps to its budget, but at least once; one that does not
answer in time is not asked again.
"""

import argparse
import importlib
import json
import os
from pathlib import Path

import numpy as np

from benchmarks.competitor import Competitor
from benchmarks.machine import machine
from benchmarks.report import table

ADAPTERS = (
    "newtond",
    "newtond_exact",
    "newtond_sketch",
    "scipy_lbfgsb",
    "scipy_trust_ncg",
    "scipy_least_squares",
    "sklearn_tweedie",
    "sklearn_newton_cholesky",
    "glum",
    "glum_categorical",
    "statsmodels_glm",
    "suitesparseqr",
    "scipy_lsmr",
    "scipy_lsmr_scaled",
    "sklearn_ridge_lsqr",
    "sklearn_ridge_sparse_cg",
    "gram_cholesky",
)
INSTANCES = ("a", "a2", "b", "b_correlated", "b_zipf", "b_unit", "c", "f", "e_scaled", "e_spectrum")


def compete(instance: str, options: argparse.Namespace) -> dict:
    """Return the results of all competitors on one instance."""
    competitors: list[Competitor] = []
    try:
        for adapter in options.adapters:
            competitors.append(Competitor(adapter, instance, options))
        competitors = [c for c in competitors if c.hello.get("takes")]
        for competitor in competitors:
            competitor.warm_up()
            print(f"  {competitor.adapter:24s} {competitor.told()}", flush=True)
        for k in range(options.runs):
            for competitor in competitors:
                competitor.run(k, options.runs)
    finally:
        for competitor in competitors:
            competitor.close()
    if not competitors:
        raise SystemExit(f"none of {', '.join(options.adapters)} takes {instance}")
    described = {k: v for k, v in competitors[0].hello.items() if k != "takes"}
    return {"instance": instance, **described, "results": [summary(c) for c in competitors]}


def summary(competitor: Competitor) -> dict:
    """Return medians of a competitor's runs, and the first run."""
    adapter = importlib.import_module(f"benchmarks.adapters.{competitor.adapter}")
    done = [r for r in competitor.runs if r.get("error") is None]
    last = done[-1] if done else competitor.first
    passes = [r["pass_seconds"] for r in done if "pass_seconds" in r]
    return {
        "adapter": competitor.adapter,
        "tolerance": adapter.TOLERANCE,
        "seconds": float(np.median([r["seconds"] for r in done])) if done else None,
        "all_seconds": [r["seconds"] for r in done],
        "first_seconds": competitor.first.get("seconds"),
        "accuracy": last.get("accuracy"),
        "backward_error": last.get("backward_error"),
        "loss": last.get("loss"),
        "peak_mb": max((r["peak_mb"] for r in done), default=None),
        "operations": last.get("operations"),
        "pass_seconds": float(np.median(passes)) if passes else None,
        "pass_bytes": last.get("pass_bytes"),
        "error": competitor.error or last.get("error"),
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--instance", nargs="*", default=list(INSTANCES), type=str.lower)
    parser.add_argument("--adapters", nargs="*", default=list(ADAPTERS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of rows")
    parser.add_argument("--limit", type=float, default=90.0, help="seconds before a run counts as no answer")
    parser.add_argument(
        "--budget", type=float, default=60.0, help="seconds that a peer's timed runs of an instance may take"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


def main() -> None:
    options = parsed()
    options.output.mkdir(parents=True, exist_ok=True)
    for instance in options.instance:
        print(f"{instance}:", flush=True)
        asked = {"seed": options.seed, "scale": options.scale, "runs": options.runs}
        result = {"machine": machine(options.threads), "options": asked}
        result |= compete(instance, options)
        (options.output / f"{instance}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(table(result), flush=True)


if __name__ == "__main__":
    main()
