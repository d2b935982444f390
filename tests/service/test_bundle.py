"""The bundle and its verifier: an honest one holds, and one flipped byte anywhere does not."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import scipy.sparse

from newtond.contract.chain import canonical, sha256
from service import verify
from service.bundle import VERIFIER
from tests.service.conftest import Service, finish, npy, refusal, submit

HELD, FAILED, PARTLY = 0, 1, 3
ROWS, COLUMNS = 60, 4


def problem(kind: str, **changes: Any) -> dict[str, Any]:
    return {"problem": {"kind": kind, **({"function": "exp"} if kind == "hyperbolic" else {})}, **changes}


class Case:
    """A solve, its bundle, and the files that it was made from."""

    def __init__(self, client: httpx.Client, folder: Path, spec: dict[str, Any], **arrays: Any) -> None:
        self.folder, self.files = folder, {}
        generator = np.random.default_rng(5)
        A = generator.normal(size=(ROWS, COLUMNS)) * (generator.random((ROWS, COLUMNS)) < 0.7)
        b = np.exp(A @ generator.normal(size=COLUMNS) / 2) + 0.1 * generator.normal(size=ROWS)
        if spec["problem"]["kind"] == "softmax":
            b = np.abs(b) / np.abs(b).sum()
        parts: dict[str, Any] = {}
        for name, array in ({"A": scipy.sparse.csr_array(A), "b": b} | arrays).items():
            sparse = scipy.sparse.issparse(array)
            path = self.files[name] = folder / f"{name}.{'npz' if sparse else 'npy'}"
            scipy.sparse.save_npz(path, array) if sparse else path.write_bytes(npy(array))
            parts[name] = (path.name, path.read_bytes())
        answer = client.post("/solve", files=parts | {"spec": (None, json.dumps(spec))})
        assert answer.status_code == 202, answer.text
        self.job = finish(client, answer.json()["id"])
        answer = client.get(self.job["links"]["bundle"])
        assert answer.headers["content-type"] == "application/zip"
        self.content = answer.content
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}

    def written(self, members: dict[str, bytes]) -> Path:
        path = self.folder / "bundle.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    def verified(self, bundle: bytes | None = None, *more: str, **files: Path) -> tuple[int, str]:
        """Run the verifier of the bundle, as its reader does: a program of its own."""
        (self.folder / "bundle.zip").write_bytes(self.content if bundle is None else bundle)
        (self.folder / "verify.py").write_bytes(self.members["verify.py"])
        given = {**self.files, **files}
        named = [f"{name}={path}" for name, path in given.items() if name not in ("A", "b")]
        command = ["verify.py", "bundle.zip", str(given["A"]), str(given["b"]), *named, *more]
        done = subprocess.run(
            [sys.executable, "-I", *command], cwd=self.folder, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def case(working_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with working_service.client() as client:
        yield Case(client, tmp_path_factory.mktemp("bundle"), problem("hyperbolic", intercept=True))


def positive(n: int = ROWS) -> Any:
    return np.random.default_rng(1).random(n) + 0.5


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "exp": (problem("hyperbolic"), {"row_weights": positive()}),
    "cosh": ({"problem": {"kind": "hyperbolic", "function": "cosh"}, "intercept": True}, {}),
    "sinh": ({"problem": {"kind": "hyperbolic", "function": "sinh"}, "regulariser": {"ridge": 0.1}}, {}),
    "exp, convex": (problem("hyperbolic", regulariser={"weights": "convex", "margin": 0.1}), {}),
    "exp, weights and offset": (problem("hyperbolic"), {"weights": positive(), "offset": positive()}),
    "sinh, offset target": (
        {
            "problem": {"kind": "hyperbolic", "function": "sinh"},
            "regulariser": {"weights": 0.5, "offset": "target"},
        },
        {},
    ),
    "least_squares": (problem("least_squares", intercept=True), {}),
    "least_squares, dense": (
        problem("least_squares", regulariser={"ridge": 0.5}),
        {"A": np.random.default_rng(2).normal(size=(ROWS, COLUMNS))},
    ),
    "softmax": (problem("softmax", regulariser={"ridge": 0.01}), {}),
    "softmax, groups": (
        problem("softmax", regulariser={"ridge": 0.01, "weights": 0.1}),
        {"groups": np.arange(ROWS) % 6.0, "row_weights": positive()},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_honest_bundle_holds(working: httpx.Client, tmp_path: Path, name: str) -> None:
    code, said = Case(working, tmp_path, *CASES[name][:1], **CASES[name][1]).verified()
    assert code == HELD, said
    assert said.splitlines()[-1] == "held"


def test_it_is_the_same_bytes_each_time_and_the_verifier_is_short(working: httpx.Client, case: Case) -> None:
    assert working.get(case.job["links"]["bundle"]).content == case.content
    assert case.members["verify.py"] == VERIFIER.read_bytes()
    assert len(VERIFIER.read_text().splitlines()) < 200
    sources = VERIFIER.read_text()
    assert "newtond." not in sources.split('"""')[2]
    assert "import scipy" not in sources


def test_a_seal_that_was_noted(case: Case) -> None:
    assert case.verified(None, f"seal={case.job['seal']['digest']}")[0] == HELD
    code, said = case.verified(None, f"seal={'0' * 64}")
    assert (code, "not the one that you noted" in said) == (FAILED, True)


def test_what_is_not_checked_is_said(working: httpx.Client, tmp_path: Path) -> None:
    softmax = Case(working, tmp_path, problem("softmax", regulariser={"weights": "convex"}))
    code, said = softmax.verified()
    assert (code, "not checked: loss and gradient at x: the threshold" in said) == (PARTLY, True)
    power = {"problem": {"kind": "gram_power", "power": 1}}
    other = Case(working, tmp_path, power, b=np.ones(COLUMNS))
    code, said = other.verified()
    assert (code, "knows no formula of gram_power" in said) == (PARTLY, True)
    weighted = Case(working, tmp_path, problem("hyperbolic"), row_weights=positive())
    del weighted.files["row_weights"]
    code, said = weighted.verified()
    assert code == PARTLY
    assert "not checked: row_weights" in said
    assert "they need every input" in said


def faults(case: Case, members: dict[str, bytes], **files: Path) -> list[str]:
    """Check these members in this process: the program's own functions."""
    try:
        return list(verify.check(case.written(members), case.files | files)[0])
    except Exception as error:
        return [f"damaged: {type(error).__name__}: {error}"]


def test_one_flipped_byte_of_any_member_breaks_it(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert faults(case, case.members) == []
    generator = np.random.default_rng(11)
    for name, content in case.members.items():
        places = range(len(content)) if len(content) <= 600 else generator.integers(0, len(content), 150)
        for place in places:
            flipped = bytearray(content)
            flipped[place] ^= 1 << int(generator.integers(8))
            assert faults(case, case.members | {name: bytes(flipped)}), (name, place)


def test_any_flipped_bit_of_the_header_of_x_breaks_it(case: Case) -> None:
    content = case.members["solution/x.npy"]
    for place, bit in np.ndindex(128, 8):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        assert faults(case, case.members | {"solution/x.npy": bytes(flipped)}), (place, bit)


def test_one_flipped_byte_of_an_input_breaks_it(case: Case) -> None:
    generator = np.random.default_rng(12)
    content, other = case.files["b"].read_bytes(), case.folder / "flipped.npy"
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(generator.integers(8))
        other.write_bytes(bytes(flipped))
        assert faults(case, case.members, b=other) or np.array_equal(np.load(other), np.load(case.files["b"]))
    A = scipy.sparse.load_npz(case.files["A"])
    A.data[3] = np.nextafter(A.data[3], np.inf)
    scipy.sparse.save_npz(case.folder / "other.npz", A)
    code, said = case.verified(None, A=case.folder / "other.npz")
    assert (code, "A: not the array that was solved" in said) == (FAILED, True)


def test_one_flipped_byte_of_the_zip_breaks_it_or_changes_no_member(case: Case) -> None:
    generator, path = np.random.default_rng(13), case.folder / "flipped.zip"
    for place in generator.integers(0, len(case.content), 400):
        flipped = bytearray(case.content)
        flipped[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(bytes(flipped))
        try:
            found = verify.check(path, case.files)[0]
        except Exception as error:
            found = [str(error)]
        if not found:
            with zipfile.ZipFile(path) as archive:
                assert {name: archive.read(name) for name in archive.namelist()} == case.members


def resealed(members: dict[str, bytes]) -> None:
    """Seal what is there anew, as whoever can write everything would."""
    parts = {
        "inputs": sha256(members["spec.json"]),
        "chain": sha256(members["chain.ndjson"].splitlines()[-1]),
        "result": sha256(members["result.json"]),
    }
    members["seal.json"] = canonical(parts | {"digest": sha256(canonical(parts))})


def test_a_point_that_was_made_up_and_sealed_anew(case: Case) -> None:
    members = dict(case.members)
    x = np.load(io.BytesIO(members["solution/x.npy"])) * 1.001
    members["solution/x.npy"] = npy(x)
    result = json.loads(members["result.json"])
    header = b'{"data":"<f8","format":"dense","shape":[%d]}\n' % len(x)
    result["arrays"]["x"] = "sha256:" + sha256(header, x.tobytes())
    members["result.json"] = canonical(result)
    resealed(members)
    assert any(fault.startswith("loss at x") for fault in faults(case, members))


def test_a_certificate_that_was_made_up_and_sealed_anew(case: Case) -> None:
    for name, factor in (("loss", 1.0 + 1e-6), ("gradient_norm", 1e6)):
        members, result = dict(case.members), json.loads(case.members["result.json"])
        result["certificate"][name] *= factor
        members["result.json"] = canonical(result)
        resealed(members)
        assert faults(case, members), name
        noted = f"seal={case.job['seal']['digest']}"
        assert case.verified(case.written(members).read_bytes(), noted)[0] == FAILED


def test_a_bundle_that_cannot_be_had(working: httpx.Client, idle: httpx.Client) -> None:
    refusal(idle.get(f"/jobs/{submit(idle)['id']}/bundle"), 409)
    refusal(working.get("/jobs/job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG/bundle"), 404)
    job = finish(working, submit(working, row_weights=None, tags=["gone"], intercept=False)["id"])
    array = working.get(f"/jobs/{job['id']}/result").json()["arrays"]["fitted"]["id"]
    working.delete(f"/arrays/{array}")
    refusal(working.get(f"/jobs/{job['id']}/bundle"), 410)
