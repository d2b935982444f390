"""How fast uploads are taken, over HTTP and whole, beside reading and hashing the same file in one process.

``python -m benchmarks.service.uploads [--megabytes 500] [--runs 5]`` starts a service of its own. Runs are
interleaved, medians are printed: on a machine that others use, the ratio is the figure.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy.sparse as sp

CHUNK = 1 << 20
PORT = 8765
COLUMNS = 2000


def write_npz(path: Path, size: int, seed: int) -> None:
    """Write a sparse matrix of about ``size`` bytes (12 an entry), not compressed: numbers do not."""
    sp.save_npz(path, _matrix(size // 12, seed), compressed=False)


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


@contextmanager
def service(directory: Path) -> Iterator[str]:
    """A service on a data directory of its own; no Redis is needed for uploads."""
    settings = {"NEWTOND_DATA_DIR": str(directory), "NEWTOND_PORT": str(PORT), "NEWTOND_LOW_WATER_BYTES": "0"}
    settings["NEWTOND_REDIS_URL"] = f"unix://{directory}/none"
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], env=os.environ | settings, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{PORT}"
    finally:
        process.terminate()
        process.wait()


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


def timed(work: Callable[[], None]) -> float:
    """Return the seconds that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def race(url: str, path: Path, format: str, runs: int) -> None:
    """Print the medians of upload and of reading and hashing, interleaved, and their ratio."""
    uploads, hashes = [], []
    for _ in range(runs):
        hashes.append(timed(lambda: read_and_hash(path)))
        uploads.append(timed(lambda: upload(url, path, format)))
        delete(url)
    ours, theirs, size = statistics.median(uploads), statistics.median(hashes), path.stat().st_size / 1e6
    print(
        f"{format}: {size:.0f} MB, upload {ours:.2f} s ({size / ours:.0f} MB/s), "
        f"read and hash {theirs:.2f} s ({size / theirs:.0f} MB/s), ratio {ours / theirs:.2f}"
    )


def scan(path: Path, runs: int) -> None:
    """Print how fast the Matrix Market reader alone goes through a file, in this process."""
    from service.formats import matrix_market
    from service.formats.limits import FormatLimits

    read = lambda: matrix_market.read(path, None, "error", FormatLimits())  # noqa: E731
    read()
    best, size = min(timed(read) for _ in range(runs)), path.stat().st_size / 1e6
    print(f"mtx, the reader alone: {size / best:.0f} MB/s at best of {runs}")


def main() -> None:
    """Measure both formats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {"npz": Path(folder) / "A.npz", "mtx": Path(folder) / "A.mtx"}
        write_npz(files["npz"], arguments.megabytes * 10**6, arguments.seed)
        write_mtx(files["mtx"], arguments.megabytes * 10**6, arguments.seed)
        small = Path(folder) / "warm.mtx"
        write_mtx(small, 1000, 1)
        with service(Path(folder) / "data") as url:
            _wait(url)
            upload(url, small, "mtx")
            for format, path in files.items():
                race(url, path, format, arguments.runs)
        scan(files["mtx"], arguments.runs)


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
