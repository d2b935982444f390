"""What the examples share: a newtond to talk to, and the calls they make of it."""

import argparse
import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import scipy.sparse

OUTPUT = Path("demo-output")
READY = re.compile(r"^  API +(\S+)$")


def arguments(about: str, figure: str) -> argparse.Namespace:
    """Return what the command line says: ``url`` of a running newtond, or None, and where the figure goes."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--url", help="a running newtond; without it, one is started and stopped")
    parser.add_argument("--output", type=Path, default=OUTPUT / figure, help="the figure (%(default)s)")
    return parser.parse_args()


@contextmanager
def connection(url: str | None = None) -> Iterator[httpx.Client]:
    """Yield a client of the newtond at ``url``; without one, of a newtond of our own, stopped afterwards."""
    if url is None:
        with server() as started, connection(started) as client:
            yield client
    else:
        with httpx.Client(base_url=url, timeout=120) as client:
            yield client


@contextmanager
def server() -> Iterator[str]:
    """Yield the URL of a ``newtond up`` of our own, which is stopped afterwards."""
    OUTPUT.mkdir(exist_ok=True)
    command = [Path(sys.executable).with_name("newtond"), "up", "--port", "0", "--data-dir", OUTPUT / "data"]
    with (OUTPUT / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            yield _address(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def _address(process: subprocess.Popen[str]) -> str:
    """Return the URL that the server says it is ready at."""
    said = []
    for line in process.stdout or ():
        said.append(line)
        if found := READY.match(line):
            return found[1]
    sys.exit(f"newtond did not start; see {OUTPUT / 'server.log'}\n{''.join(said)}")


def upload(client: httpx.Client, array: Any) -> str:
    """Upload an array, sparse or dense, and return its id."""
    file, sparse = io.BytesIO(), scipy.sparse.issparse(array)
    if sparse:
        scipy.sparse.save_npz(file, array)
    else:
        np.save(file, array)
    headers = {"Content-Type": f"application/x-{'npz' if sparse else 'npy'}"}
    return str(checked(client.post("/arrays", content=file.getvalue(), headers=headers)).json()["id"])


def solve(client: httpx.Client, body: dict[str, Any], **arrays: Any) -> dict[str, Any]:
    """Upload the arrays, solve what ``body`` says of them, and return the result; end in words if there is none."""
    named = {name: upload(client, array) for name, array in arrays.items()}
    job = checked(client.post("/solve", json=body | named, headers={"Prefer": "wait=60"})).json()
    while job["status"] in ("queued", "running"):
        job = checked(client.get(f"/jobs/{job['id']}", headers={"Prefer": "wait=60"})).json()
    result: dict[str, Any] = checked(client.get(f"/jobs/{job['id']}/result")).json()
    if not result["converged"]:
        sys.exit(f"job {job['id']} did not converge: {result['stopping_rule']}")
    return result


def fetch(client: httpx.Client, result: dict[str, Any], name: str) -> np.ndarray:
    """Fetch an array of the result."""
    answer = client.get(result["arrays"][name]["href"], headers={"Accept": "application/x-npy"})
    return np.load(io.BytesIO(checked(answer).content))


def checked(answer: httpx.Response) -> httpx.Response:
    """Return the answer if it is one, else end with the server's own words."""
    if answer.is_error:
        answer.read()
        sys.exit(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer
