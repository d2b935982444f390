"""How fast uploads are taken, over HTTP and whole, beside reading and hashing the same file in one process.

``python -m benchmarks.service.uploads [--megabytes 500] [--runs 5]`` starts a service of its own. Runs are
interleaved, medians are printed: on a machine that others use, the ratio of processor times is the figure.
"""

import argparse
import gzip
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

CHUNK = 1 << 20
COLUMNS = 2000
TICKS = os.sysconf("SC_CLK_TCK")


def write_npz(path: Path, size: int, seed: int) -> None:
    """Write a sparse matrix of about ``size`` bytes (16 an entry), not compressed: numbers do not."""
    sp.save_npz(path, _matrix(size // 16, seed), compressed=False)


def write_mtx(path: Path, size: int, seed: int) -> None:
    """Write the same kind of matrix as Matrix Market text of about ``size`` bytes (30 an entry)."""
    matrix = _matrix(size // 30, seed).tocoo()
    with path.open("w") as file:
        file.write(
            f"%%MatrixMarket matrix coordinate real general\n{matrix.shape[0]} {COLUMNS} {matrix.nnz}\n"
        )
        for start in range(0, matrix.nnz, 1 << 18):
            part = slice(start, start + (1 << 18))
            entries = zip(
                matrix.row[part].tolist(), matrix.col[part].tolist(), matrix.data[part].tolist(), strict=True
            )
            file.writelines(f"{row + 1} {column + 1} {value!r}\n" for row, column, value in entries)


def _matrix(entries: int, seed: int) -> sp.csr_array:
    rng, per_row = np.random.default_rng(seed), 50
    rows = max(entries // per_row, 1)
    indices = np.sort(
        rng.integers(0, COLUMNS // per_row, (rows, per_row)) + COLUMNS // per_row * np.arange(per_row)
    )
    indptr = np.arange(0, rows * per_row + 1, per_row)
    return sp.csr_array(
        (rng.standard_normal(rows * per_row), indices.reshape(-1).astype(np.int32), indptr), (rows, COLUMNS)
    )


def read_and_hash(path: Path) -> None:
    """What the ratio is to: the file read once and hashed."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)


@dataclass(frozen=True)
class Processes:
    """A running service: where it listens and its process."""

    url: str
    pid: int

    def seconds(self) -> tuple[float, float]:
        """Return the processor time of the service itself and of the parsing children that have ended."""
        zygotes = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        own, _ = _times(self.pid)
        return own, sum(_times(int(pid))[1] for pid in zygotes)


def _times(pid: int) -> tuple[float, float]:
    """The processor time of a process, and of those of its children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, waited_user, waited_system = (int(field) / TICKS for field in fields[11:15])
    return user + system, waited_user + waited_system


@contextmanager
def service(directory: Path) -> Iterator[Processes]:
    """A service on a data directory of its own; no Redis is needed for uploads."""
    port = _free_port()
    settings = {"NEWTOND_DATA_DIR": str(directory), "NEWTOND_PORT": str(port), "NEWTOND_LOW_WATER_BYTES": "0"}
    settings["NEWTOND_REDIS_URL"] = f"unix://{directory}/none"
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], env=os.environ | settings, stderr=subprocess.DEVNULL
    )
    try:
        yield Processes(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def upload(url: str, path: Path, format: str) -> None:
    """Upload a file and delete what it became, so that the next run stores it again."""
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
    with path.open("rb") as file:
        request = urllib.request.Request(f"{url}/arrays?format={format}", data=file, headers=headers)
        with urllib.request.urlopen(request) as answer:
            upload.stored = json.load(answer)["id"]  # type: ignore[attr-defined]


def delete(url: str) -> None:
    """Delete the array of the last upload."""
    stored = upload.stored  # type: ignore[attr-defined]
    urllib.request.urlopen(urllib.request.Request(f"{url}/arrays/{stored}", method="DELETE")).close()


@dataclass(frozen=True)
class Cost:
    """Seconds of one run: on the wall, and of processor time in the service, in its parsing child, here."""

    wall: float
    service: float
    child: float
    here: float


def cost(work: Callable[[], None], service: Processes) -> Cost:
    """Return what ``work`` costs; the processor's time is what a machine that others use still tells."""
    wall, before, here = time.perf_counter(), service.seconds(), time.process_time()
    work()
    after = service.seconds()
    return Cost(
        time.perf_counter() - wall,
        after[0] - before[0],
        after[1] - before[1],
        time.process_time() - here,
    )


def race(service: Processes, path: Path, format: str, runs: int) -> None:
    """Print the medians of upload and of reading and hashing, interleaved, and their ratios."""
    uploads, hashes = [], []
    for _ in range(runs):
        hashes.append(cost(lambda: read_and_hash(path), service))
        uploads.append(cost(lambda: upload(service.url, path, format), service))
        delete(service.url)
    size = path.stat().st_size / 1e6
    ours, theirs = _median(uploads), _median(hashes)
    total = ours.service + ours.child
    print(
        f"{path.name}: {size:.0f} MB; wall {ours.wall:.2f} s ({size / ours.wall:.0f} MB/s), "
        f"read and hash {theirs.wall:.2f} s, ratio {ours.wall / theirs.wall:.2f}; "
        f"processor {total:.2f} s ({ours.service:.2f} service + {ours.child:.2f} child: "
        f"{1e3 * total / size:.2f} ms a MB), read and hash {theirs.here:.2f} s, ratio {total / theirs.here:.2f}"
    )


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(values) for values in zip(*map(astuple, costs), strict=True)))


def scan(path: Path, runs: int) -> None:
    """Print how fast the Matrix Market reader alone goes through a file, once it is compiled."""
    from service.formats import matrix_market
    from service.formats.limits import FormatLimits

    seconds = []
    for _ in range(runs + 1):
        start = time.process_time()
        matrix_market.read(path, None, "error", FormatLimits())
        seconds.append(time.process_time() - start)
    print(
        f"{path.name}, the reader alone: {path.stat().st_size / 1e6 / min(seconds[1:]):.0f} MB a processor second"
    )


def main() -> None:
    """Measure the formats that large uploads come in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where the files and the service's data are put")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        files = _written(Path(folder), arguments.megabytes * 10**6, arguments.seed)
        small = Path(folder) / "warm.mtx"
        write_mtx(small, 1000, 1)
        with service(Path(folder) / "data") as running:
            _wait(running.url)
            upload(running.url, small, "mtx")
            for path in files:
                race(running, path, path.name.split(".")[1], arguments.runs)
        scan(Path(folder) / "A.mtx", arguments.runs)


def _written(folder: Path, size: int, seed: int) -> list[Path]:
    npz, npy, mtx, packed = (folder / f"A.{ending}" for ending in ("npz", "npy", "mtx", "mtx.gz"))
    write_npz(npz, size, seed)
    np.save(npy, np.random.default_rng(seed).standard_normal((size // 8000, 1000)))
    write_mtx(mtx, size, seed)
    with mtx.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, CHUNK)
    return [npz, npy, mtx, packed]


def _wait(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{url}/livez").close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the service does not start")


if __name__ == "__main__":
    main()
