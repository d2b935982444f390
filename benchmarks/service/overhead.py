"""``python -m benchmarks.service.overhead``: what the service adds to a solve, and how it bears a crowd.

Starts a ``newtond up`` of its own on a free port, in a directory of its own, and measures over HTTP:
POST to finished beside the same solve in process; many small jobs on two workers; lists of them; many pollers and
readers of event streams at once; a large result by Range, beside reading the same bytes from a file.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.machine import machine
from newtond import engine
from newtond.contract.solve import SolveSpec

READY_IN, WAIT = 90.0, 60
PART = 1 << 20
Result = dict[str, Any]


@contextmanager
def up(workers: int) -> Iterator[str]:
    """Run ``newtond up`` and give its URL once it is ready."""
    with tempfile.TemporaryDirectory() as directory:
        words = Path(directory) / "words.log"
        command = [str(Path(sys.executable).with_name("newtond")), "up", "--port", "0"]
        command += ["--workers", str(workers), "--data-dir", str(Path(directory) / "data")]
        with words.open("wb") as sink:
            process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT)
        try:
            yield _url(process, words)
        finally:
            process.terminate()
            process.wait(30)


def _url(process: subprocess.Popen[bytes], words: Path) -> str:
    deadline = time.monotonic() + READY_IN
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"is ready\n  API +(\S+)", words.read_text()):
            return found[1]
        time.sleep(0.1)
    raise RuntimeError(f"the service did not start:\n{words.read_text()}")


def request(seed: int, rows: int = 200, columns: int = 5) -> Result:
    """Return a small exponential regression as a body with its arrays inline."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((rows, columns))
    b = np.exp(A @ (0.3 * rng.standard_normal(columns))) * (1.0 + 0.05 * rng.standard_normal(rows))
    problem = {"kind": "hyperbolic", "function": "exp"}
    return {"problem": problem, "A": A.round(6).tolist(), "b": b.round(6).tolist()}


def bare(body: Result) -> float:
    """Return the seconds of the same solve and certificate in this process."""
    spec = SolveSpec.model_validate(body)
    inputs = {"A": np.array(body["A"]), "b": np.array(body["b"])}
    started = time.perf_counter()
    *_, last = engine.steps(spec, inputs)
    engine.certify(spec, inputs, engine.solution(spec, inputs, last.state))
    return time.perf_counter() - started


def finish(client: httpx.Client, body: Result) -> str:
    """Submit, wait until the job has finished, and return its id; raises RuntimeError where it failed."""
    answer = client.post("/solve", json=body, headers={"Prefer": f"wait={WAIT}"}).raise_for_status().json()
    if answer["status"] != "succeeded":
        raise RuntimeError(f"job {answer['id']}: {answer['status']}")
    return str(answer["id"])


def overhead(url: str, runs: int) -> Result:
    """Return the median seconds from POST to finished, of the bare solve, and of the difference."""
    whole, alone = [], []
    with httpx.Client(base_url=url, timeout=2 * WAIT) as client:
        for seed in range(-3, runs):
            body = request(seed + 3)
            inside = bare(body)
            started = time.perf_counter()
            finish(client, body)
            if seed >= 0:
                whole.append(time.perf_counter() - started)
                alone.append(inside)
    rest = [a - b for a, b in zip(whole, alone, strict=True)]
    return {
        "runs": runs,
        "post_to_finished_seconds": statistics.median(whole),
        "bare_seconds": statistics.median(alone),
        "median_seconds": statistics.median(rest),
    }


def many(url: str, jobs: int) -> Result:
    """Return the seconds until that many small jobs have finished, and of their submission alone."""
    with httpx.Client(base_url=url, timeout=2 * WAIT) as client:
        started = time.perf_counter()
        ids = [client.post("/solve", json=request(k)).raise_for_status().json()["id"] for k in range(jobs)]
        submitted = time.perf_counter() - started
        states = [_ended(client, job) for job in ids]
        seconds = time.perf_counter() - started
    good = sum(status == "succeeded" for status in states)
    return {"jobs": jobs, "succeeded": good, "submit_seconds": submitted, "seconds": seconds}


def _ended(client: httpx.Client, job: str) -> str:
    headers = {"Prefer": f"wait={WAIT}"}
    while True:
        status = client.get(f"/jobs/{job}", headers=headers).raise_for_status().json()["status"]
        if status not in ("queued", "running", "cancelling"):
            return str(status)


def listing(url: str, runs: int) -> Result:
    """Return the seconds of the first list of 100 jobs, and the median of the same list after it."""
    with httpx.Client(base_url=url, timeout=2 * WAIT) as client:
        seconds, size = [], 0
        for _ in range(runs + 1):
            started = time.perf_counter()
            size = len(client.get("/jobs", params={"limit": 100}).raise_for_status().json()["jobs"])
            seconds.append(time.perf_counter() - started)
    return {"jobs": size, "first_seconds": seconds[0], "median_seconds": statistics.median(seconds[1:])}


async def crowd(url: str, pollers: int, jobs: int) -> Result:
    """Return latencies of pollers, half of them readers of event streams, while jobs are solved."""
    limits = httpx.Limits(max_connections=pollers + 10)
    async with httpx.AsyncClient(base_url=url, timeout=2 * WAIT, limits=limits) as client:
        sent = await asyncio.gather(*(client.post("/solve", json=request(k)) for k in range(jobs)))
        ids = [answer.raise_for_status().json()["id"] for answer in sent]
        started = time.perf_counter()
        polls = [_poll(client, ids[k % jobs]) for k in range(pollers // 2)]
        streams = [_read_events(client, ids[k % jobs]) for k in range(pollers - len(polls))]
        found = await asyncio.gather(*polls, *streams)
        seconds = time.perf_counter() - started
    waits = [wait for each in found[: len(polls)] for wait in each]
    return {
        "pollers": len(polls),
        "readers": len(streams),
        "jobs": jobs,
        "seconds": seconds,
        "polls": len(waits),
        "poll_median_seconds": statistics.median(waits),
        "poll_worst_seconds": max(waits),
        "events": sum(len(each) for each in found[len(polls) :]),
    }


async def _poll(client: httpx.AsyncClient, job: str) -> list[float]:
    waits = []
    while True:
        started = time.perf_counter()
        answer = (await client.get(f"/jobs/{job}")).raise_for_status().json()
        waits.append(time.perf_counter() - started)
        if answer["status"] not in ("queued", "running", "cancelling"):
            return waits
        await asyncio.sleep(0.2)


async def _read_events(client: httpx.AsyncClient, job: str) -> list[float]:
    stamps = []
    headers = {"Accept": "text/event-stream"}
    async with client.stream("GET", f"/jobs/{job}/trace", headers=headers) as stream:
        stream.raise_for_status()
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                stamps.append(time.perf_counter())
    return stamps


def large(url: str, rows: int) -> Result:
    """Return MB/s of a fitted vector of ``rows`` doubles read whole and by Range, a MiB at a time."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((rows, 2))
    arrays = {"A": A, "b": A @ np.ones(2) + rng.standard_normal(rows)}
    with httpx.Client(base_url=url, timeout=2 * WAIT) as client, tempfile.TemporaryDirectory() as directory:
        body: Result = {"problem": {"kind": "least_squares"}, "outputs": ["fitted"]}
        for name, array in arrays.items():
            np.save(path := Path(directory) / f"{name}.npy", array)
            sent = client.post("/arrays", content=path.read_bytes(), headers={"Content-Type": NPY})
            body[name] = sent.raise_for_status().json()["id"]
        href = f"/jobs/{finish(client, body)}/result/fitted"
        started = time.perf_counter()
        whole = client.get(href).raise_for_status().content
        seconds = time.perf_counter() - started
        started = time.perf_counter()
        parts = [_part(client, href, first) for first in range(0, len(whole), PART)]
        ranged = time.perf_counter() - started
    if b"".join(parts) != whole:
        raise RuntimeError("the ranges are not the whole")
    size = len(whole) / 1e6
    return {"megabytes": size, "whole_mb_per_second": size / seconds, "range_mb_per_second": size / ranged}


NPY = "application/x-npy"


def _part(client: httpx.Client, href: str, first: int) -> bytes:
    answer = client.get(href, headers={"Range": f"bytes={first}-{first + PART - 1}"})
    if answer.status_code != 206:
        raise RuntimeError(f"a range was answered by {answer.status_code}")
    return answer.content


def section(result: Result) -> str:
    """Return the part of the page."""
    one, jobs, people, big = (result[name] for name in ("overhead", "many", "crowd", "large"))
    page = result["listing"]
    return "\n".join(
        [
            "## The service",
            "",
            f"- A small problem on warm workers, {one['runs']} runs: "
            f"{1e3 * one['post_to_finished_seconds']:.0f} ms from POST to finished, "
            f"{1e3 * one['bare_seconds']:.1f} ms in process: {1e3 * one['median_seconds']:.0f} ms more.",
            f"- {jobs['jobs']:,} small jobs on two workers, one client: {jobs['seconds']:.1f} s "
            f"({jobs['jobs'] / jobs['seconds']:.0f} a second), {jobs['succeeded']:,} succeeded.",
            f"- A list of {page['jobs']} jobs that have ended: {1e3 * page['first_seconds']:.0f} ms the first time, "
            f"{1e3 * page['median_seconds']:.0f} ms after it.",
            f"- {people['pollers']} pollers and {people['readers']} readers of event streams at once "
            f"on {people['jobs']} jobs: a poll took {1e3 * people['poll_median_seconds']:.0f} ms, at worst "
            f"{1e3 * people['poll_worst_seconds']:.0f} ms; {people['events']:,} events were read.",
            f"- A result of {big['megabytes']:.0f} MB: {big['whole_mb_per_second']:.0f} MB/s whole, "
            f"{big['range_mb_per_second']:.0f} MB/s by Range, a MiB at a time.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service.overhead")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--crowd", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the large result")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    with up(workers=2) as url:
        result: Result = {"machine": machine(os.cpu_count() or 1), "overhead": overhead(url, options.runs)}
        print(json.dumps(result["overhead"]), flush=True)
        result["many"] = many(url, options.jobs)
        print(json.dumps(result["many"]), flush=True)
        result["listing"] = listing(url, options.runs)
        print(json.dumps(result["listing"]), flush=True)
        result["crowd"] = asyncio.run(crowd(url, options.crowd, max(options.crowd // 4, 1)))
        print(json.dumps(result["crowd"]), flush=True)
        result["large"] = large(url, options.rows)
        print(json.dumps(result["large"]), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "service.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
