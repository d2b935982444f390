"""``python -m benchmarks [--instance A …]``: every competitor on every instance, interleaved; writes JSON and tables.

Each competitor lives in its own process, builds the instance, warms up once (compilation, imports; the first
run is reported apart) and then runs when it is told to, in turn with the others: machine drift hits everyone.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.report import table

ADAPTERS = (
    "newtond",
    "scipy_lbfgsb",
    "scipy_trust_ncg",
    "sklearn_tweedie",
    "sklearn_newton_cholesky",
    "glum",
    "glum_categorical",
)
INSTANCES = ("a", "a2", "b", "c", "f")


class Competitor:
    """A runner process; ``run`` returns its answer, or a time-out after which it runs no more."""

    def __init__(self, adapter: str, instance: str, options: argparse.Namespace) -> None:
        self.adapter, self.limit = adapter, options.limit
        words = [f"--{k}={v}" for k, v in (("seed", options.seed), ("scale", options.scale))]
        threads = str(options.threads)
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        words += [f"--adapter={adapter}", f"--instance={instance}", f"--threads={threads}"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runner", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **dict.fromkeys(names, threads)},
        )
        self.hello = self._read(600.0)
        self.alive = bool(self.hello.get("takes"))
        self.runs: list[dict] = []
        self.first: dict = {}

    def _read(self, limit: float) -> dict:
        timer = threading.Timer(limit, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        timer.cancel()
        return json.loads(line) if line else {"error": f"no answer in {limit:.0f} s"}

    def run(self) -> dict:
        """Run once more and return what came of it."""
        self.process.stdin.write("run\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        answer = self._read(self.limit)
        self.alive = answer.get("error") is None
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def compete(instance: str, options: argparse.Namespace) -> dict:
    """Return the results of all competitors on one instance."""
    competitors = [Competitor(adapter, instance, options) for adapter in options.adapters]
    competitors = [c for c in competitors if c.hello.get("takes")]
    for competitor in competitors:
        competitor.first = competitor.run()
        print(f"  {competitor.adapter:24s} first run {competitor.first}", flush=True)
    for _ in range(options.runs):
        for competitor in competitors:
            if competitor.alive:
                competitor.runs.append(competitor.run())
    for competitor in competitors:
        competitor.close()
    return {
        "instance": instance,
        "title": competitors[0].hello["title"],
        "pass_seconds": next((c.hello["pass_seconds"] for c in competitors if c.adapter == "newtond"), None),
        "results": [summary(c) for c in competitors],
    }


def summary(competitor: Competitor) -> dict:
    """Return medians of a competitor's runs, and the first run."""
    adapter = importlib.import_module(f"benchmarks.adapters.{competitor.adapter}")
    done = [r for r in competitor.runs if r.get("error") is None]
    last = done[-1] if done else competitor.first
    return {
        "adapter": competitor.adapter,
        "tolerance": adapter.TOLERANCE,
        "seconds": float(np.median([r["seconds"] for r in done])) if done else None,
        "all_seconds": [r["seconds"] for r in done],
        "first_seconds": competitor.first.get("seconds"),
        "accuracy": last.get("accuracy"),
        "loss": last.get("loss"),
        "peak_mb": last.get("peak_mb"),
        "error": last.get("error"),
    }


def machine(threads: int) -> dict:
    """Return what the figures depend on."""
    from importlib.metadata import version

    packages = ("numpy", "scipy", "numba", "scikit-learn", "glum", "tabmat")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--instance", nargs="*", default=list(INSTANCES), type=str.lower)
    parser.add_argument("--adapters", nargs="*", default=list(ADAPTERS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of rows")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds before a run counts as no answer")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for instance in options.instance:
        print(f"{instance}:", flush=True)
        result = {
            "machine": machine(options.threads),
            "options": {"seed": options.seed, "scale": options.scale},
        }
        result |= compete(instance, options)
        (options.output / f"{instance}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(table(result), flush=True)


if __name__ == "__main__":
    main()
