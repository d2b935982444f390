"""``python -m benchmarks.curves``: time against n, d, nnz and 1/ε, for newtond and its peers, and n up to 1e7.

Each solver runs in a process of its own, pinned as in the races, from the smallest size on, and stops at the
first size that takes longer than the limit; its process is ended when it has taken ``PATIENCE`` limits in all. What
it had found until then stays, and the page says where it ended. Slopes are of log time against log size over the
upper half of the sizes. Writes benchmarks/results/curves.json and docs/performance.png.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.competitor import PINNED
from benchmarks.instances.sparse_rows import exponential
from benchmarks.machine import machine
from benchmarks.problem import Instance

ADAPTERS = (
    "newtond",
    "scipy_lbfgsb",
    "scipy_trust_ncg",
    "sklearn_tweedie",
    "sklearn_newton_cholesky",
    "glum",
)
OURS = ("newtond",)
LIMIT = 8.0
PATIENCE = 15.0
ROWS, COLUMNS, ENTRIES = 200_000, 100, 10
SIZES: dict[str, list[tuple[float, dict[str, Any]]]] = {
    "n": [(n, {"n": n}) for n in (25_000, 50_000, 100_000, 200_000, 400_000, 800_000)],
    "d": [(d, {"d": d}) for d in (50, 100, 200, 400, 800)],
    "nnz": [(ROWS * e, {"entries": e}) for e in (5, 10, 20, 40)],
    "1/ε": [(1.0 / e, {"accuracy": e}) for e in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)],
    "n to 1e7": [(n, {"n": n}) for n in (1_250_000, 2_500_000, 5_000_000, 10_000_000)],
}
WITH_ACCURACY = {
    "newtond": ("decrement", 10.0),
    "scipy_lbfgsb": ("accuracy", 0.1),
    "scipy_trust_ncg": ("accuracy", 1.0),
}
"""Adapters that can be asked for an accuracy: by which option, and times what."""
Curve = list[dict[str, float]]
Result = dict[str, Any]


def instance(seed: int, scale: float, n: int = ROWS, d: int = COLUMNS, entries: int = ENTRIES) -> Instance:
    """Return an exponential regression of this size."""
    return exponential("curve", "", (max(int(n * scale), 20 * d), d), entries, seed)


def follow(name: str, axis: str, options: argparse.Namespace) -> Iterator[dict[str, float | None]]:
    """Yield size, seconds and accuracy along one axis, in this process."""
    adapter = importlib.import_module(f"benchmarks.adapters.{name}")
    adapter.solve(instance(options.seed, 0.1), options.threads)
    for size, given in SIZES[axis]:
        asked = dict(given)
        words = {}
        if "accuracy" in asked:
            word, times = WITH_ACCURACY[name]
            words[word] = times * asked.pop("accuracy")
        problem = instance(options.seed, options.scale, **asked)
        seconds, x = _timed(adapter, problem, options, words)
        real = {"1/ε": size, "d": size, "nnz": problem.A.nnz}.get(axis, problem.A.shape[0])
        yield {"size": float(real), "seconds": seconds, "accuracy": problem.accuracy(x)}
        if seconds > options.limit:
            break


def _timed(adapter: Any, problem: Instance, options: argparse.Namespace, words: Result) -> tuple[float, Any]:
    times = []
    for _ in range(options.runs):
        started = time.perf_counter()
        x = adapter.solve(problem, options.threads, **words)
        times.append(time.perf_counter() - started)
        if times[-1] > options.limit:
            break
    return float(np.median(times)), x


def child(name: str, axis: str, options: argparse.Namespace) -> tuple[Curve, str]:
    """Follow one solver in a process of its own; also why it went no further, empty where it reached the end."""
    words = [f"--{k}={getattr(options, k)}" for k in ("runs", "threads", "seed", "scale", "limit")]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.curves", f"--child={name}", f"--axis={axis}", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **dict.fromkeys(PINNED, str(options.threads))},
    )
    why = ""
    try:
        said, _ = process.communicate(timeout=PATIENCE * options.limit)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        why = f"no further answer in {PATIENCE * options.limit:g} s"
    curve = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    if not why and process.returncode != 0:
        why = f"its process ended with {process.returncode}"
    if not why and len(curve) < len(SIZES[axis]):
        why = f"beyond {options.limit:g} s"
    return curve, why


def slope(curve: Curve) -> float | None:
    """Return the slope of log seconds against log size over the upper half, None of fewer than three points."""
    upper = curve[-max(3, len(curve) // 2 + 1) :]
    if len(upper) < 3:
        return None
    logs = np.log([[p["size"], p["seconds"]] for p in upper])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def draw(axes: dict[str, dict[str, Curve]], path: Path) -> None:
    """Draw one log-log plot an axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, plots = plt.subplots(1, len(axes), figsize=(4.4 * len(axes), 4.2), constrained_layout=True)
    for plot, (axis, curves) in zip(np.atleast_1d(plots), axes.items(), strict=True):
        for name, curve in curves.items():
            if not curve:
                continue
            steep = slope(curve)
            label = name if steep is None else f"{name} ({steep:.2f})"
            width = 2.5 if name == "newtond" else 1.0
            plot.loglog(
                *zip(*((p["size"], p["seconds"]) for p in curve), strict=True), "o-", lw=width, label=label
            )
        plot.set(xlabel=axis, ylabel="seconds", title=f"Time against {axis}")
        plot.legend(fontsize=7, title="slope in brackets", title_fontsize=7)
    figure.savefig(path, dpi=110)


def section(result: Result) -> str:
    """Return the part of the page."""
    lines = [
        "## Curves",
        "",
        "![Time against n, d, nnz and 1/ε](performance.png)",
        "",
        f"exp, n = {ROWS:,}, d = {COLUMNS}, {ENTRIES} entries a row but for what is varied. Slopes of log time",
        "against log size, over the upper half of the sizes:",
        "",
        "| solver | " + " | ".join(result["axes"]) + " |",
        "|---" * (len(result["axes"]) + 1) + "|",
    ]
    for name in ADAPTERS:
        steep = [slope(curves[name]) if name in curves else None for curves in result["axes"].values()]
        lines.append(f"| {name} | " + " | ".join("–" if s is None else f"{s:.2f}" for s in steep) + " |")
    lines += ["", *ends(result)]
    return "\n".join(lines) + "\n"


def ends(result: Result) -> Iterator[str]:
    """Say which solvers were not followed to the largest size, and why."""
    for axis, reasons in result["ended"].items():
        for name, why in reasons.items():
            curve = result["axes"][axis][name]
            last = f"after {curve[-1]['size']:,.0f}" if curve else "before the first"
            yield f"- {axis}: {name} was not followed {last}: {why}."


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves")
    parser.add_argument("--axis", nargs="*", default=list(SIZES))
    parser.add_argument("--adapters", nargs="*", default=list(ADAPTERS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of rows")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help="seconds past which no larger size is tried"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--plot", type=Path, default=Path("docs/performance.png"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.child:
        warnings.simplefilter("ignore")
        for point in follow(options.child, options.axis[0], options):
            print(json.dumps(point), flush=True)
        return
    axes: dict[str, dict[str, Curve]] = {}
    ended: dict[str, dict[str, str]] = {}
    for axis in options.axis:
        names = {"1/ε": tuple(WITH_ACCURACY), "n to 1e7": OURS}.get(axis, ADAPTERS)
        found = {name: child(name, axis, options) for name in names if name in options.adapters}
        axes[axis] = {name: curve for name, (curve, _) in found.items()}
        ended[axis] = {name: why for name, (_, why) in found.items() if why}
        print(axis, {name: slope(curve) for name, curve in axes[axis].items()}, flush=True)
    long = axes.get("n to 1e7", axes.get("n", {})).get("newtond", [])
    doublings = [b["seconds"] / a["seconds"] for a, b in pairwise(long)]
    most = max((p["size"] for p in long), default=0.0)
    result = {"machine": machine(options.threads), "axes": axes, "ended": ended}
    result |= {"doublings": doublings, "most_rows": most}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "curves.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(axes, options.plot)


if __name__ == "__main__":
    main()
