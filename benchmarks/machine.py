"""What the figures depend on: the machine, its read bandwidth and the versions."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, prange, set_num_threads

PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "glum", "tabmat", "statsmodels", "sparseqr")
STREAM_BYTES = 400_000_000
REPEATS = 7


def machine(threads: int) -> dict[str, Any]:
    """Return processor, threads, versions, and the gigabytes a second that this many threads read."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": os.getloadavg()[0],
        "bandwidth": bandwidth(threads),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def bandwidth(threads: int) -> float:
    """Return gigabytes a second of a sum over an array far larger than the caches, the best of seven."""
    array = np.ones(STREAM_BYTES // 8)
    set_num_threads(threads)
    total(array, threads)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        total(array, threads)
        times.append(time.perf_counter() - started)
    return float(array.nbytes / min(times) / 1e9)


@njit(parallel=True, fastmath=True)
def total(array: np.ndarray, parts: int) -> float:
    """Return the sum of the entries, each part of them by one thread."""
    sums = np.zeros(parts)
    for part in prange(parts):
        found = 0.0
        for i in range(len(array) * part // parts, len(array) * (part + 1) // parts):
            found += array[i]
        sums[part] = found
    return sums.sum()
