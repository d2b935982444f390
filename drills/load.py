"""``python -m drills.load``: many clients on loopback: how long calls take, what is lost, what grows."""

import argparse
import asyncio
import io
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx
import numpy as np
import psutil

from drills.drill import house_on
from drills.house import AGAIN, House
from drills.processes import wait_for
from drills.report import machine, write_section
from drills.volume import volume

PAUSE = (1.0, 5.0)
SAMPLED_EVERY = 1.0
DRAINED_IN = 300.0
WARM, WARM_IN = '"event": "kernels loaded"', 300.0
GROWTH, GROWTH_BYTES = 0.1, 16 << 20
PROBLEM = {"kind": "hyperbolic", "function": "exp"}
CALLS = {
    "GET /jobs/{id}": 60,
    "GET /jobs": 5,
    "GET /jobs/{id}/trace": 10,
    "POST /arrays": 15,
    "POST /solve": 10,
}


@dataclass
class Load:
    """What a run saw: seconds of each call, refusals by status, jobs, memory by process over time."""

    clients: int
    seconds: float
    calls: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CALLS})
    refusals: Counter[int] = field(default_factory=Counter)
    closed: int = 0
    failures: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    memory: dict[str, list[int]] = field(default_factory=dict)


class Client:
    """One of many: calls, pauses, calls; it asks about its newest job."""

    def __init__(
        self, load: Load, http: httpx.AsyncClient, arrays: Mapping[str, str], random: Random
    ) -> None:
        self._load, self._http, self._arrays, self._random = load, http, arrays, random
        self._job: str | None = None

    async def work(self, until: float) -> None:
        """Make calls until then."""
        await asyncio.sleep(self._random.uniform(0, PAUSE[1]))
        while time.monotonic() < until:
            (name,) = self._random.choices([*CALLS], weights=[*CALLS.values()])
            await self._measured(name if self._job else "POST /solve")
            await asyncio.sleep(self._random.uniform(*PAUSE))

    async def _measured(self, name: str) -> None:
        key, started = f"{self._random.getrandbits(64):x}", time.monotonic()
        try:
            answer = await self._answered(name, key)
        except httpx.TransportError as error:
            self._load.failures.append(f"{name}: {type(error).__name__}: {error}")
            return
        self._load.calls[name].append(time.monotonic() - started)
        if answer.status_code in AGAIN:
            self._load.refusals[answer.status_code] += 1
        elif not answer.is_success:
            self._load.failures.append(f"{name}: {answer.status_code} {answer.text}")
        else:
            self._note(name, answer)

    async def _answered(self, name: str, key: str) -> httpx.Response:
        """Call, and once more where the connection was closed just then: an idle one may be at any time."""
        try:
            return await self._call(name, key)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            self._load.closed += 1
            return await self._call(name, key)

    def _call(self, name: str, key: str) -> Awaitable[httpx.Response]:
        if name == "POST /solve":
            spec = {"problem": PROBLEM, "solver": {"seed": int(key, 16) >> 1}, **self._arrays}
            return self._http.post("/solve", json=spec, headers={"Idempotency-Key": key})
        if name == "POST /arrays":
            headers = {"Content-Type": "application/x-npy"}
            return self._http.post("/arrays", content=_array(self._random), headers=headers)
        return self._http.get(name.removeprefix("GET ").format(id=self._job))

    def _note(self, name: str, answer: httpx.Response) -> None:
        if name == "POST /solve":
            self._job = answer.json()["id"]
            self._load.jobs.append(self._job)


def _uploaded(house: House, seed: int) -> dict[str, str]:
    """Store what every job solves, each with a seed of its own; return the ids."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(2_000, 5))
    b = np.exp(A @ rng.normal(size=5) / 5**0.5) + 0.1 * rng.normal(size=2_000)
    return {"A": house.upload(A), "b": house.upload(b)}


def _array(random: Random) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(random.getrandbits(63)).normal(size=(200, 20)))
    return buffer.getvalue()


def run(clients: int, seconds: float, workers: int, seed: int) -> Load:
    """Return what a server of its own did under this load; every job accepted has ended, or is a failure."""
    load = Load(clients, seconds)
    with volume() as ground, house_on(ground, workers) as house:
        wait_for(lambda: house.log.read_text().count(WARM) >= workers, WARM_IN, "workers that are warm")
        asyncio.run(_clients(load, house, seed))
        _drain(load, house)
        if house.stop() != 0:
            load.failures.append("`newtond up` did not end with status 0")
    load.failures += _growths(load)
    return load


async def _clients(load: Load, house: House, seed: int) -> None:
    arrays = _uploaded(house, seed)
    limits = httpx.Limits(max_connections=load.clients, max_keepalive_connections=load.clients)
    async with httpx.AsyncClient(base_url=house.url, limits=limits, timeout=60) as http:
        until = time.monotonic() + load.seconds
        crowd = [Client(load, http, arrays, Random(f"{seed}/{number}")) for number in range(load.clients)]
        await asyncio.gather(_sample(load, house, until), *(client.work(until) for client in crowd))


async def _sample(load: Load, house: House, until: float) -> None:
    processes = dict(_watched(house))
    while time.monotonic() < until:
        for name, process in processes.items():
            load.memory.setdefault(name, []).append(process.memory_info().rss)
        await asyncio.sleep(SAMPLED_EVERY)


def _watched(house: House) -> Iterator[tuple[str, psutil.Process]]:
    yield "API", house.parts("api")[0]
    for number, worker in enumerate(house.parts("worker"), 1):
        yield f"worker {number}", worker


def _drain(load: Load, house: House) -> None:
    jobs = house.data.jobs
    try:
        wait_for(lambda: all(map(jobs.is_finished, load.jobs)), DRAINED_IN, "the last job")
    except TimeoutError as error:
        load.failures.append(f"{error}: {sum(not jobs.is_finished(job) for job in load.jobs)} jobs")
    for job_id in filter(jobs.is_finished, load.jobs):
        finished = jobs.finished(job_id)
        if finished is None or finished.status != "succeeded":
            load.failures.append(f"{job_id} did not succeed")


def _growths(load: Load) -> Iterator[str]:
    """Yield what grew: the last quarter against the second, for the first one warms up."""
    for name, sizes in load.memory.items():
        early, late = _quarter(sizes, 1), _quarter(sizes, 3)
        if late > early * (1 + GROWTH) + GROWTH_BYTES:
            yield f"the memory of {name} grew from {early / 1e6:.0f} to {late / 1e6:.0f} MB"


def _quarter(sizes: list[int], number: int) -> float:
    start = len(sizes) * number // 4
    return float(np.median(sizes[start : max(len(sizes) * (number + 1) // 4, start + 1)]))


def section(load: Load) -> str:
    """Return the part of the page that a load run writes."""
    return "\n".join(_section(load)) + "\n"


def _section(load: Load) -> Iterator[str]:
    calls = sum(map(len, load.calls.values()))
    yield f"{load.clients} clients for {load.seconds:.0f} s on loopback, and they on the same machine: {machine()}."
    yield f"{calls:,} calls, {calls / load.seconds:.0f} a second. {len(load.jobs):,} jobs were accepted; failures:"
    yield f"{len(load.failures) or 'none, and no job was lost'}. Refusals (429, 503): {sum(load.refusals.values())}."
    yield f"Connections that were closed as a call was sent on them, and then answered on another: {load.closed}."
    yield from (f"\n- {words}" for words in load.failures[:20])
    yield "\n| call | times | p50 | p99 |\n|---|---|---|---|"
    for name, seconds in load.calls.items():
        if seconds:
            p50, p99 = 1e3 * np.quantile(seconds, (0.5, 0.99))
            yield f"| `{name}` | {len(seconds):,} | {p50:.0f} ms | {p99:.0f} ms |"
    yield "\n| memory (RSS), median of each quarter | 1st | 2nd | 3rd | 4th |\n|---|---|---|---|---|"
    for name, sizes in load.memory.items():
        yield f"| {name} | " + " | ".join(f"{_quarter(sizes, k) / 1e6:.0f} MB" for k in range(4)) + " |"


def main() -> int:
    """Run what the arguments ask for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m drills.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="also write the figures into this page")
    arguments = parser.parse_args()
    load = run(arguments.clients, arguments.seconds, arguments.workers, arguments.seed)
    text = section(load)
    if arguments.report:
        write_section(arguments.report, "load", text)
    print(text)
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
