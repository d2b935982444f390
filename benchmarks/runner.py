"""One competitor in a process of its own: builds the instance, then runs once for every line on standard input.

The first run is a warm-up. Peak memory is the highest resident set during a solve (the kernel's mark, reset
before) less what was resident when it began. Of newtond operations on the whole of A are counted, too.
"""

import argparse
import importlib
import json
import resource
import sys
import time
import traceback
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problem import Instance

FUSED = 7


def main() -> None:
    """Answer each line with a line of JSON: seconds, accuracy, loss, peak memory, or the error."""
    options = arguments()
    warnings.simplefilter("ignore")
    adapter = importlib.import_module(f"benchmarks.adapters.{options.adapter}")
    make = importlib.import_module(f"benchmarks.instances.{options.instance}").make
    instance = make(options.seed, options.scale)
    takes = bool(adapter.takes(instance))
    if takes:
        instance.prepare()
    print(json.dumps({"takes": takes} | described(instance)), flush=True)
    for _ in sys.stdin:
        print(json.dumps(run(options, adapter, instance)), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    kinds = {"adapter": str, "instance": str, "seed": int, "scale": float, "threads": int}
    for name, kind in kinds.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    return parser.parse_args()


def described(instance: Instance) -> dict[str, Any]:
    """Return what the report says of an instance."""
    n, d = instance.A.shape
    return {
        "title": instance.title,
        "measure": instance.measure,
        "rows": n,
        "columns": d,
        "nnz": instance.nnz,
        "bytes": instance.bytes,
    }


def run(options: argparse.Namespace, adapter: Any, instance: Instance) -> dict[str, Any]:
    """Return what one solve of fresh data took and reached."""
    ours = options.adapter.startswith("newtond")
    counting = counter(instance) if ours else nullcontext()
    before = memory("VmRSS")
    reset_peak()
    started = time.perf_counter()
    try:
        with counting as operations:
            x = adapter.solve(instance, options.threads)
        error = None
    except Exception:  # a peer's failure is a result of the benchmark
        x, error = None, traceback.format_exc().strip().splitlines()[-1]
    seconds = time.perf_counter() - started
    answer = {
        "seconds": seconds,
        "peak_mb": (memory("VmHWM") - before) / 1024,
        "accuracy": instance.accuracy(x),
        "backward_error": instance.backward_error(x),
        "loss": None if x is None else instance.loss(x),
        "error": error,
    }
    if ours:
        answer |= of_engine(instance, options.threads)
    if operations is not None:
        answer["operations"] = operations.summary()
    return answer


def counter(instance: Instance) -> Any:
    from benchmarks.counting import counted

    return counted(instance.A.shape)


def of_engine(instance: Instance, threads: int) -> dict[str, float]:
    """Return the median seconds of one fused pass (value and gradient) of newtond's engine, and what it reads."""
    from benchmarks.adapters.newtond import request
    from newtond.engine.problems import family
    from newtond.engine.regression import Regression

    spec, inputs = request(instance)
    regression = Regression(spec, inputs, family(spec).link(spec), threads)  # type: ignore[attr-defined]
    x = np.zeros(regression.design.width)
    times = []
    for _ in range(FUSED):
        started = time.perf_counter()
        regression.objective.slope(x)
        times.append(time.perf_counter() - started)
    return {"pass_seconds": float(np.median(times[1:])), "pass_bytes": instance.bytes + instance.b.nbytes}


def reset_peak() -> None:
    """Set the kernel's mark of the highest resident set back to what is resident now."""
    mark = Path("/proc/self/clear_refs")
    if mark.exists():
        mark.write_text("5")


def memory(name: str) -> float:
    """Return VmRSS or VmHWM in kilobytes; where there is no /proc, the highest resident set of all time."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
    return float(line.split()[1])


if __name__ == "__main__":
    main()
