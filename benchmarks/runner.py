"""One competitor in a process of its own: builds the instance, then runs once for every line on standard input."""

import argparse
import importlib
import json
import resource
import sys
import time
import traceback
import warnings

import numpy as np

from benchmarks.problem import Instance


def main() -> None:
    """Answer each ``run`` with a line of JSON: seconds, accuracy, loss, peak memory, or the error."""
    parser = argparse.ArgumentParser()
    for name, kind in (
        ("adapter", str),
        ("instance", str),
        ("seed", int),
        ("scale", float),
        ("threads", int),
    ):
        parser.add_argument(f"--{name}", type=kind, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    adapter = importlib.import_module(f"benchmarks.adapters.{options.adapter}")
    instance = importlib.import_module(f"benchmarks.instances.{options.instance}").make(
        options.seed, options.scale
    )
    if not adapter.takes(instance):
        print(json.dumps({"takes": False}), flush=True)
        return
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    floor = one_pass(instance, options.threads) if options.adapter == "newtond" else None
    print(json.dumps({"takes": True, "title": instance.title, "pass_seconds": floor}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(run(adapter, instance, options.threads, before)), flush=True)


def run(adapter: object, instance: Instance, threads: int, before: int) -> dict:
    """Return what one solve of fresh data took and reached."""
    started = time.perf_counter()
    try:
        x = adapter.solve(instance, threads)  # type: ignore[attr-defined]
        error = None
    except Exception:  # a peer's failure is a result of the benchmark
        x, error = None, traceback.format_exc().strip().splitlines()[-1]
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "accuracy": instance.accuracy(x),
        "loss": None if x is None else instance.loss(x),
        "peak_mb": (peak - before) / 1024,
        "error": error,
    }


def one_pass(instance: Instance, threads: int) -> float:
    """Return the median seconds of one fused pass (value and gradient) of newtond's engine at x = 0."""
    from benchmarks.adapters.newtond import request
    from newtond.engine.problems import family
    from newtond.engine.regression import Regression

    spec, inputs = request(instance)
    regression = Regression(spec, inputs, family(spec).link(spec), threads)  # type: ignore[attr-defined]
    x = np.zeros(regression.design.width)
    times = []
    for _ in range(12):
        started = time.perf_counter()
        regression.objective.expand(x)
        times.append(time.perf_counter() - started)
    return float(np.median(times[2:]))


if __name__ == "__main__":
    main()
