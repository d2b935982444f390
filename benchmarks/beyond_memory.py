"""``python -m benchmarks.beyond_memory``: a design larger than the memory that the solve may have.

Writes A (n, d) with k entries a row and b = exp(A x)(1 + 5 % noise) to disk, block by block, then solves by the
engine on memory maps in a child whose private memory is limited (RLIMIT_DATA) and, with ``--cache`` and a
cgroup-v1 memory controller that may be written to, whose page cache is limited too: then every pass is read from
disk. Prints what a pass took, the rate, and the peak of anonymous memory beside the plan's.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

GIGA = 1e9
CHUNK = 1 << 17
CGROUP = Path("/sys/fs/cgroup/memory/newtond-beyond-memory")
ID = "sha256:" + "0" * 64


def write(folder: Path, n: int, d: int, entries: int, seed: int) -> None:
    """Write indptr, indices, data and b of the instance as .npy files, a chunk of rows at a time."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(d) * 0.6 / np.sqrt(entries)
    np.save(folder / "indptr.npy", np.arange(0, n * entries + 1, entries, dtype=np.int64))
    indices = np.lib.format.open_memmap(folder / "indices.npy", "w+", np.int32, (n * entries,))
    data = np.lib.format.open_memmap(folder / "data.npy", "w+", np.float64, (n * entries,))
    b = np.lib.format.open_memmap(folder / "b.npy", "w+", np.float64, (n,))
    gap = d // entries
    for first in range(0, n, CHUNK):
        rows = min(CHUNK, n - first)
        columns = np.arange(entries) * gap + rng.integers(0, gap, (rows, entries))
        values = rng.standard_normal((rows, entries))
        part = slice(first * entries, (first + rows) * entries)
        indices[part], data[part] = columns.ravel(), values.ravel()
        z = np.einsum("ij,ij->i", values, x[columns])
        b[first : first + rows] = np.exp(z) * (1.0 + 0.05 * rng.standard_normal(rows))
    for mapped in (indices, data, b):
        mapped.flush()
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def solve(folder: Path, d: int, threads: int, limit: int) -> dict[str, Any]:
    """Solve within ``limit`` bytes of private memory and return what it took."""
    from newtond import engine
    from newtond.contract.solve import SolveSpec

    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    indptr, indices, data, b = (
        np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
        for name in ("indptr", "indices", "data", "b")
    )
    inputs = {"A": engine.Csr(indptr, indices, data, (len(b), d)), "b": b}
    problem = {"kind": "hyperbolic", "function": "exp"}
    spec = SolveSpec.model_validate(
        {"problem": problem, "A": ID, "b": ID, "regulariser": {"ridge": 1e-6}, "solver": {"tolerance": 1e-9}}
    )
    plan = engine.plan(spec, inputs, threads)
    started, before = time.perf_counter(), _read_bytes()
    with Peak() as peak:
        steps = list(engine.steps(spec, inputs, threads))
    seconds = time.perf_counter() - started
    sweeps = [step.record.phases["sweep"] for step in steps if "sweep" in step.record.phases]
    return {
        "hessian": plan.hessian,
        "termination": steps[-1].termination,
        "iterations": steps[-1].record.iteration,
        "relative_gradient": steps[-1].record.gradient_norm / steps[0].record.gradient_norm,
        "seconds": seconds,
        "seconds_a_pass": float(np.median(sweeps)),
        "gigabytes": (indices.nbytes + data.nbytes + indptr.nbytes + b.nbytes) / GIGA,
        "read_gigabytes": (_read_bytes() - before) / GIGA,
        "plan_gigabytes": plan.memory_bytes / GIGA,
        "peak_anonymous_gigabytes": peak.bytes / GIGA,
    }


def _read_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes")))


def anonymous() -> int:
    """Return the bytes of anonymous memory that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) * 1024


class Peak:
    """Watches how much more anonymous memory this process takes, twenty times a second."""

    def __init__(self) -> None:
        self.bytes, self._done = 0, threading.Event()
        self._before = anonymous()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.bytes = max(self.bytes, anonymous() - self._before)


def enter(limit: int) -> None:
    """Put this process under a limit of memory, page cache included."""
    CGROUP.mkdir(exist_ok=True)
    (CGROUP / "memory.limit_in_bytes").write_text(str(limit))
    (CGROUP / "cgroup.procs").write_text(str(os.getpid()))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.beyond_memory", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rows", type=float, default=2e7)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--entries", type=int, default=50)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory", type=float, default=4.0, help="GB of private memory")
    parser.add_argument("--cache", type=float, help="GB of memory in all, page cache included (needs root)")
    parser.add_argument("--folder", type=Path, required=True, help="where to write A (12 bytes an entry)")
    parser.add_argument("--solve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.solve:
        if options.cache:
            enter(int(options.cache * GIGA))
        print(json.dumps(solve(options.folder, options.columns, options.threads, int(options.memory * GIGA))))
        return
    options.folder.mkdir(parents=True)
    try:
        write(options.folder, int(options.rows), options.columns, options.entries, 0)
        command = [sys.executable, "-m", "benchmarks.beyond_memory", "--solve", *sys.argv[1:]]
        answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        answer |= {
            "rows": int(options.rows),
            "columns": options.columns,
            "nonzeros": int(options.rows) * options.entries,
        }
        print(json.dumps(answer, indent=1))
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
