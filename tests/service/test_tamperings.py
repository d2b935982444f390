"""Every tampering that is tried, and what catches it: the table of docs/verification.md.

``NEWTOND_WRITE_DOCS=1 pytest tests/service/test_tamperings.py`` writes the table anew.
"""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from newtond.contract.chain import canonical, sha256
from newtond.store import DataDirectory
from tests.service.conftest import Service, example, finish, npy
from tests.service.test_bundle import Case, faults, problem, resealed
from tests.worker.test_audit import lie

PAGE = Path(__file__).parents[2] / "docs" / "verification.md"
BEGIN, END = "<!-- tamperings: begin -->\n", "<!-- tamperings: end -->\n"
Members = dict[str, bytes]


def flip(name: str, place: int) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        content = bytearray(members[name])
        content[place] ^= 1
        members[name] = bytes(content)

    return change


def number_of_a_line(members: Members) -> None:
    lines = members["chain.ndjson"].splitlines()
    record = json.loads(lines[1])
    record["loss"] *= 1.0 + 1e-15
    members["chain.ndjson"] = b"\n".join([lines[0], canonical(record), *lines[2:]]) + b"\n"


def without_a_line(members: Members) -> None:
    lines = members["chain.ndjson"].splitlines(keepends=True)
    members["chain.ndjson"] = b"".join(lines[:1] + lines[2:])


def without_the_last_line(members: Members) -> None:
    members["chain.ndjson"] = b"".join(members["chain.ndjson"].splitlines(keepends=True)[:-1])


def other_x(members: Members) -> None:
    members["solution/x.npy"] = npy(np.load(io.BytesIO(members["solution/x.npy"])) * (1.0 + 1e-15))


def other_x_sealed(members: Members) -> None:
    x = np.load(io.BytesIO(members["solution/x.npy"])) * 1.001
    members["solution/x.npy"] = npy(x)
    result = json.loads(members["result.json"])
    header = b'{"data":"<f8","format":"dense","shape":[%d]}\n' % len(x)
    result["arrays"]["x"] = "sha256:" + sha256(header, x.tobytes())
    members["result.json"] = canonical(result)
    resealed(members)


def certificate(name: str, factor: float, *, seal: bool) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        result = json.loads(members["result.json"])
        result["certificate"][name] *= factor
        members["result.json"] = canonical(result)
        if seal:
            resealed(members)

    return change


def other_seed(members: Members) -> None:
    spec = json.loads(members["spec.json"])
    spec["solver"]["seed"] += 1
    members["spec.json"] = canonical(spec)


def without_the_verifier(members: Members) -> None:
    del members["verify.py"]


BUNDLE: dict[str, Callable[[Members], None]] = {
    "one bit of the spec": flip("spec.json", 40),
    "another seed in the spec": other_seed,
    "one bit of a line of the chain": flip("chain.ndjson", 200),
    "a loss in a line, by one unit of its last digit or two": number_of_a_line,
    "a line of the chain taken out": without_a_line,
    "the last line of the chain taken out": without_the_last_line,
    "one bit of x": flip("solution/x.npy", 130),
    "all of x, by one unit of its last digit or so": other_x,
    "the header of x": flip("solution/x.npy", 60),
    "one bit of the seal's own digest": flip("seal.json", 90),
    "a loss in the certificate": certificate("loss", 1.001, seal=False),
    "one bit of the verifier": flip("verify.py", 400),
    "the verifier taken out": without_the_verifier,
    "another x, its digest and the seal made anew to fit": other_x_sealed,
    "another loss in the certificate, the seal made anew to fit": certificate("loss", 1.001, seal=True),
    "another gradient norm in the certificate, the seal made anew to fit": certificate(
        "gradient_norm", 1e6, seal=True
    ),
}


def said(fault: str) -> str:
    """Return a fault without its figures."""
    words = fault.split(":")
    return words[0] if " at x" in words[0] else ":".join(words[:2])


def by_the_verifier(case: Case) -> list[str]:
    rows = []
    for name, change in BUNDLE.items():
        members = dict(case.members)
        change(members)
        assert members != case.members, name
        found = faults(case, members)
        assert found, name
        rows.append(f"| bundle | {name} | `verify.py`: {said(found[0])} |\n")
    other = case.folder / "other.npy"
    b = np.load(case.files["b"])
    b[7] = np.nextafter(b[7], np.inf)
    other.write_bytes(npy(b))
    (found_b, *_) = faults(case, case.members, b=other)
    rows.append(f"| input | one entry of b, by one unit of its last digit | `verify.py`: {found_b} |\n")
    return rows


def by_an_audit(client: httpx.Client, data: DataDirectory) -> list[str]:
    body = example() | {"solver": {"audit": True}}
    job = finish(client, client.post("/solve", json=body).json()["id"])
    folder = data.jobs.root / job["id"]
    attempt = folder / "attempts" / "1"
    trace, kept = attempt / "trace.ndjson", attempt / "iterates" / "1"

    def change_a_number() -> None:
        lines = trace.read_bytes().splitlines(keepends=True)
        record = json.loads(lines[0])
        record["loss"] *= 2.0
        trace.write_bytes(b"".join([json.dumps(record).encode() + b"\n", *lines[1:]]))

    def change_the_result() -> None:
        finished = json.loads((folder / "finished.json").read_bytes())
        finished["result"]["loss"] *= 2.0
        (folder / "finished.json").write_text(json.dumps(finished))

    tamperings: dict[str, Callable[[], Any]] = {
        "a loss in a line of the trace": change_a_number,
        "the loss of the result": change_the_result,
        "one bit of a kept iterate": lambda: kept.write_bytes(
            kept.read_bytes()[:-1] + bytes([kept.read_bytes()[-1] ^ 1])
        ),
        "a kept iterate taken out": kept.unlink,
        "a kept iterate put in the place of another": lambda: kept.write_bytes(
            (attempt / "iterates" / "0").read_bytes()
        ),
        "a row block's gradient made up, chain and seal made to fit": lambda: lie(data, job["id"], {(1, 0)}),
    }
    rows, saved = [], folder.with_name(".saved")
    for name, change in tamperings.items():
        shutil.copytree(folder, saved)
        change()
        asked = {"fraction": 1.0, "seed": 0}
        path = f"/jobs/{job['id']}/audits"
        report = client.post(path, json=asked, headers={"Prefer": "wait=60"}).json()["audit"]
        assert report["verdict"] == "failed", name
        caught = report["faults"][0] if report["faults"] else "the drawn row block came out with other bits"
        rows.append(f"| data directory | {name} | audit: {caught} |\n")
        shutil.rmtree(folder)
        saved.rename(folder)
    return rows


def test_every_tampering_is_caught_and_the_page_says_by_what(
    working_service: Service, working: httpx.Client, tmp_path: Path
) -> None:
    case = Case(working, tmp_path, problem("hyperbolic", intercept=True))
    rows = by_the_verifier(case) + by_an_audit(working, DataDirectory(working_service.data_dir))
    table = "| what | tampering | caught by |\n|---|---|---|\n" + "".join(rows)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    written, _, after = rest.partition(END)
    if os.environ.get("NEWTOND_WRITE_DOCS"):
        PAGE.write_text(before + BEGIN + table + END + after)
        pytest.skip("written anew")
    assert written == table, "run: NEWTOND_WRITE_DOCS=1 pytest tests/service/test_tamperings.py"
