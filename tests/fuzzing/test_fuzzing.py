"""The campaigns, short: as `make fuzz` runs them, and able to find what is planted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fuzzing import child, scanner

ROOT = Path(__file__).parents[2]


def fuzzing(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "fuzzing", *arguments],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=500,
    )  # fmt: skip


def test_a_short_campaign_finds_nothing(tmp_path):
    done = fuzzing(
        "--scanner", "300000", "--child", "600", "--seed", "7", "--report", str(tmp_path / "page.md")
    )
    assert done.returncode == 0, done.stderr + done.stdout
    page = (tmp_path / "page.md").read_text()
    assert "300,000 mutated texts" in page
    assert "600 mutated files of every format" in page
    assert "Findings: none." in page


def test_a_read_past_the_end_is_found():
    code = (
        "import numpy as np\nfrom fuzzing import scanner\n"
        "size = scanner.ROOM + 8\n"
        "arrays = np.zeros(size, np.int32), np.zeros(size, np.int32), np.zeros(size, np.uint64)\n"
        "text = np.frombuffer(b'1 1 1', dtype=np.uint8).copy()\n"
        "scanner.run(0, text, *arrays, np.empty((1, 4), np.int64), np.zeros(9, np.int64))\n"
    )
    from service.formats.sandbox import kernel_cache

    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": f"{kernel_cache()}-checked"}
    environment = os.environ | checked | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment, timeout=500
    )
    assert "IndexError" in done.stderr


def test_a_scanner_that_reads_otherwise_than_the_reference_is_found(monkeypatch):
    monkeypatch.setattr(scanner.reference, "nearest_double", lambda word: 1.5)
    read = next(number for number in range(200) if isinstance(_ours(number)[0], list) and _ours(number)[0])
    with pytest.raises(scanner.Found, match=r"and not"):
        scanner.compare(1, 0, read)


def _ours(number):
    return scanner.scanned(1, scanner.text_of(1, 0, number))


def test_a_child_that_dies_is_found_and_the_next_goes_on(tmp_path, monkeypatch):
    parse = child.child.answer_to

    def dies(request, limits):
        if request["format"] == "npy":
            os.abort()
        return parse(request, limits)

    monkeypatch.setattr(child.child, "answer_to", dies)
    report = child.campaign(60, 0, tmp_path)
    assert report.findings
    assert all("SIGABRT" in finding for finding in report.findings)
    assert sum(report.outcomes.values()) + len(report.findings) == 60


def test_the_reference_knows_the_hard_cases():
    nearest = scanner.reference.nearest_double
    for word in (
        b"1e-320",
        b"5e-324",
        b"2.5e-324",
        b"2.4e-324",
        b"1e23",
        b"9007199254740993",
        b"1e309",
        b"1.7976931348623158e308",
        b"1.7976931348623159e308",
        b"0.1",
        b"-.5e-3",
        b"4.",
        b"1e-999999999999",
    ):
        assert np.float64(nearest(word)).tobytes() == np.float64(float(word)).tobytes(), word
    assert nearest(b"1_0") is nearest(b"") is nearest(b"e5") is nearest(b"0x1") is None
