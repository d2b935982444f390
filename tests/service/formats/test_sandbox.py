"""The parsing child dies, hangs, eats and is abandoned; the service answers and goes on."""

import asyncio
import gzip
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from newtond.contract.errors import InvalidArray, TooLarge, Unavailable
from service.formats.limits import FormatLimits
from service.formats.sandbox import Sandbox

HEAD = b"%%MatrixMarket matrix array real general\n"
GOOD = HEAD + b"2 1\n1\n2\n"
LIMITS = replace(FormatLimits(), memory_bytes=2_000_000_000, seconds=60.0, ratio=10_000)
SECONDS = 20.0


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A valid file that takes seconds to read: numbers halfway between two doubles go the long way."""
    path = tmp_path_factory.mktemp("slow") / "slow.mtx"
    halfway = b"1.00000000000000011102230246251565404236316680908203125\n"
    path.write_bytes(gzip.compress(HEAD + b"3000000 1\n" + halfway * 3_000_000, 1))
    return path


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.mtx"
    path.write_bytes(GOOD)
    return path


@pytest.fixture
def start(tmp_path):
    """Start a sandbox of its own with limits of its own."""
    started = []

    def start(**limits):
        sandbox = Sandbox(tmp_path / "data", replace(LIMITS, **limits))
        sandbox.start()
        started.append(sandbox)
        return sandbox

    yield start
    for sandbox in started:
        sandbox.close()


async def child_of(sandbox):
    """Wait for a parsing child to appear."""
    for _ in range(int(SECONDS / 0.005)):
        if children := psutil.Process(sandbox.pid).children():
            return children[0]
        await asyncio.sleep(0.005)
    raise AssertionError("no child appeared")


async def signalled(sandbox, path, number):
    parsing = asyncio.create_task(sandbox.parse(path, "mtx"))
    (await child_of(sandbox)).send_signal(number)
    return await parsing


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL])
def test_a_reader_that_crashes_is_an_invalid_array(start, slow, good, number):
    sandbox = start()
    with pytest.raises(InvalidArray, match=number.name):
        asyncio.run(signalled(sandbox, slow, number))
    assert asyncio.run(sandbox.parse(good, "mtx"))[0][0].shape == (2,)


def test_a_reader_that_is_killed_from_outside_is_our_fault(start, slow, good):
    sandbox = start()
    with pytest.raises(Unavailable, match="killed"):
        asyncio.run(signalled(sandbox, slow, signal.SIGKILL))
    assert asyncio.run(sandbox.parse(good, "mtx"))


def test_a_reader_that_never_ends_is_stopped_by_its_processor_time(start, slow, good):
    sandbox = start(cpu_seconds=1)
    with pytest.raises(TooLarge, match="more than 1 s of processor time"):
        asyncio.run(sandbox.parse(slow, "mtx"))
    assert asyncio.run(sandbox.parse(good, "mtx"))


def test_a_reader_that_stands_still_is_stopped_by_the_clock(start, slow, good):
    sandbox = start(seconds=60.0)
    asyncio.run(sandbox.parse(good, "mtx"))
    sandbox._limits = replace(sandbox._limits, seconds=1.0)
    with pytest.raises(TooLarge, match="more than 1 seconds"):
        asyncio.run(signalled(sandbox, slow, signal.SIGSTOP))
    wait_for(lambda: not psutil.Process(sandbox.pid).children())
    assert asyncio.run(sandbox.parse(good, "mtx"))


def test_a_reader_that_eats_memory_is_told_so(start, tmp_path):
    vector = tmp_path / "b.npy"
    np.save(vector, np.ones(30_000_000, dtype=np.int8))
    with pytest.raises(TooLarge, match="GB of memory"):
        asyncio.run(start(memory_bytes=200_000_000).parse(vector, "npy"))


def test_memory_that_no_header_announces_is_limited_too(start, tmp_path, good):
    sandbox, archive = start(memory_bytes=50_000_000), tmp_path / "A.npz"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 6, *[0] * 3, 8, *[0] * 4, *[0] * 2) + b"data.npy"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 300_000 * len(entry), 0, 0)
    archive.write_bytes(entry * 300_000 + end)
    with pytest.raises(TooLarge, match=r"more than 0\.1 GB of memory"):
        asyncio.run(sandbox.parse(archive, "npz"))
    assert asyncio.run(sandbox.parse(good, "mtx"))


def test_a_file_of_more_bytes_than_allowed_is_too_large(start, good):
    with pytest.raises(TooLarge, match="at most 10 bytes"):
        asyncio.run(start(upload_bytes=10).parse(good, "mtx"))


def test_the_service_itself_can_parse_nothing():
    code = "import sys, service.formats.sandbox, service.formats.media_type; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_an_upload_that_is_abandoned_frees_its_child(start, slow, good):
    sandbox = start()

    async def abandon():
        parsing = asyncio.create_task(sandbox.parse(slow, "mtx"))
        child = await child_of(sandbox)
        parsing.cancel()
        await asyncio.gather(parsing, return_exceptions=True)
        return child

    child = asyncio.run(abandon())
    wait_for(lambda: not child.is_running())
    assert asyncio.run(sandbox.parse(good, "mtx"))


def test_a_zygote_that_dies_takes_its_children_along_and_is_replaced(start, slow, good):
    sandbox = start()

    async def kill_zygote():
        parsing = asyncio.create_task(sandbox.parse(slow, "mtx"))
        child = await child_of(sandbox)
        os.kill(sandbox.pid, signal.SIGKILL)
        with pytest.raises(Unavailable):
            await parsing
        return child

    first = sandbox.pid
    child = asyncio.run(kill_zygote())
    wait_for(lambda: not child.is_running())
    assert asyncio.run(sandbox.parse(good, "mtx"))
    assert sandbox.pid != first


def test_a_service_that_dies_leaves_no_process_behind(tmp_path, good):
    code = (
        "import os, sys, signal, asyncio, pathlib\n"
        "from service.formats.sandbox import Sandbox\n"
        "from service.formats.limits import FormatLimits\n"
        "sandbox = Sandbox(pathlib.Path(sys.argv[1]), FormatLimits())\n"
        "sandbox.start()\n"
        "asyncio.run(sandbox.parse(pathlib.Path(sys.argv[2]), 'mtx'))\n"
        "print(sandbox.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data"), str(good)],
        capture_output=True, timeout=120, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    zygote = int(told.stdout)
    wait_for(lambda: not psutil.pid_exists(zygote))


def test_an_upload_waits_its_turn_when_as_many_as_allowed_are_read(start, slow, good):
    sandbox = start(children=1)

    async def both():
        first = asyncio.create_task(sandbox.parse(slow, "mtx"))
        child = await child_of(sandbox)
        second = asyncio.create_task(sandbox.parse(good, "mtx"))
        await asyncio.sleep(0.2)
        waiting = psutil.Process(sandbox.pid).children() == [child] and not second.done()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return waiting, await second

    waiting, second = asyncio.run(both())
    assert waiting
    assert second[0][0].shape == (2,)


def test_a_child_can_neither_dump_core_nor_write_without_end(start, slow):
    sandbox = start()

    async def limits():
        parsing = asyncio.create_task(sandbox.parse(slow, "mtx"))
        child = await child_of(sandbox)
        await asyncio.sleep(0.2)
        told = Path(f"/proc/{child.pid}/limits").read_text()
        parsing.cancel()
        await asyncio.gather(parsing, return_exceptions=True)
        return {line[:26].strip(): line[26:].split() for line in told.splitlines()}

    told = asyncio.run(limits())
    assert told["Max core file size"][0] == "0"
    assert told["Max open files"][0] == "64"
    assert told["Max file size"][0] == "2000000000"
    assert told["Max cpu time"][0] == "300"
    assert told["Max address space"][0] != "unlimited"


def test_closing_twice_is_closing_once(start):
    sandbox = start()
    sandbox.close()
    sandbox.close()
    assert sandbox.pid is None


def wait_for(holds):
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
