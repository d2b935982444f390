"""``newtonctl`` as a shell has it: files in, tables or JSON out, an exit status."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from newtond_client import Client
from newtond_client.ctl.main import main
from newtond_client.ctl.screen import sparkline

from tests.client.conftest import SLOW, count, data, slow_data
from tests.service.conftest import Service

A, B, X = data()
Run = Callable[..., "tuple[int, str]"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, working_service: Service) -> Path:
    """A working directory with files of every format, and the server's address in the environment."""
    generator = np.random.default_rng(0)
    scipy.sparse.save_npz(tmp_path / "A.npz", scipy.sparse.csr_array(A))
    scipy.io.mmwrite(tmp_path / "A.mtx", scipy.sparse.coo_array(A), precision=17)
    np.save(tmp_path / "b.npy", B)
    towns = generator.choice(["Oslo", "Bergen", "Molde"], 200)
    table = pd.DataFrame({"rooms": generator.integers(1, 7, 200), "town": towns})
    table["price"] = np.exp(1.0 + 0.2 * table["rooms"] + 0.5 * (towns == "Oslo"))
    table.to_csv(tmp_path / "houses.csv", index=False)
    table.to_parquet(tmp_path / "houses.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWTOND_URL", working_service.url)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        status = main([str(each) for each in arguments])
        return status, capsys.readouterr().out

    return run


@pytest.fixture
def job(run: Run) -> str:
    status, said = run("solve", "exp", "A.npz", "b.npy", "--tag", "mine", "--no-wait")
    assert status == 0
    run("watch", said.strip())
    return said.strip()


@pytest.mark.parametrize("design", ["A.npz", "A.mtx"])
def test_solve(run: Run, design: str) -> None:
    status, said = run("solve", "exp", design, "b.npy")
    assert status == 0
    assert said.startswith("hyperbolic job_")
    assert "A unique minimiser lies within" in said
    status, said = run(
        "solve", "hyperbolic", design, "b.npy", "-o", "function=exp", "-o", "ridge=2.5", "--json"
    )
    answer = json.loads(said)
    assert list(answer["coefficients"]) == [f"x{k}" for k in range(6)]
    assert answer["result"]["converged"]


@pytest.mark.parametrize("table", ["houses.csv", "houses.parquet"])
def test_a_formula_chooses_columns(run: Run, table: str) -> None:
    status, said = run("solve", "exp", table, "--formula", "price ~ rooms + C(town)", "--json")
    assert status == 0
    expected = {"(intercept)": 1.0, "rooms": 0.2, "town=Molde": 0.0, "town=Oslo": 0.5}
    assert json.loads(said)["coefficients"] == pytest.approx(expected, abs=1e-7)


def test_arrays_by_name(run: Run, folder: Path) -> None:
    np.save(folder / "v.npy", np.repeat([0.0, 1.0], 200))
    status, said = run("solve", "least_squares", "A.npz", "b.npy", "--array", "row_weights=v.npy", "--json")
    assert status == 0
    expected = np.linalg.lstsq(A[200:], B[200:])[0]
    assert list(json.loads(said)["coefficients"].values()) == pytest.approx(expected, rel=1e-8)


def test_a_plan(run: Run) -> None:
    status, said = run("solve", "exp", "A.npz", "b.npy", "--plan")
    assert status == 0
    assert said.splitlines()[1].split() == ["hessian", "exact"]
    assert "memory bytes" in said
    assert "not known to be convex" in said
    status, said = run("solve", "exp", "A.npz", "b.npy", "--plan", "--json")
    assert (status, json.loads(said)["hessian"]) == (0, "exact")


def test_one_limit_is_told_by_the_status(run: Run) -> None:
    status, said = run("solve", "exp", "A.npz", "b.npy", "-o", "max_iterations=1")
    assert status == 3
    assert "max_iterations after 1 iterations" in said


def test_jobs(run: Run, job: str) -> None:
    status, said = run("jobs", "--tag", "mine", "--limit", 1)
    assert status == 0
    assert said.splitlines()[0].split() == ["job", "kind", "status", "iteration", "loss", "tags"]
    assert said.splitlines()[1].startswith(f"{job}  hyperbolic  succeeded (converged)")
    _, said = run("jobs", "--tag", "mine", "--limit", 1, "--json")
    assert [each["id"] for each in json.loads(said)] == [job]


def test_batches(run: Run, client: Client) -> None:
    A = np.eye(3)
    jobs = client.batch("least_squares", A, np.ones(3), ridges=[2.0, 1.0], tags=["listed"])
    for job in jobs:
        job.wait()
    status, said = run("batches", "--tag", "listed", "--finished")
    assert status == 0
    head, row = said.splitlines()
    assert head.split() == ["batch", "kind", "varies", "members", "tags"]
    batch = jobs[0].state["batch"]
    assert row.split("  ") == [batch, "least_squares", "ridges", "2 succeeded", f"listed {batch}"]
    assert run("batches", "--tag", "listed", "--no-finished")[1].splitlines()[1:] == []
    _, said = run("batches", "--tag", "listed", "--json")
    assert [each["id"] for each in json.loads(said)] == [batch]


def test_trace_and_watch(run: Run, job: str) -> None:
    _, said = run("trace", job, "--json")
    records = [json.loads(line) for line in said.splitlines()]
    _, said = run("trace", job)
    lines = said.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [str(record["iteration"]) for record in records]
    spark = sparkline([record["gradient_norm"] for record in records], 60)
    assert lines[-1] == f"|gradient| {spark}"
    assert (spark[0], spark[-1]) == ("█", "▁")
    status, said = run("watch", job)
    assert status == 0
    assert said.splitlines()[-2:] == [f"|gradient| {spark}", f"{job}: succeeded, converged"]
    _, said = run("watch", job, "--json")
    assert [json.loads(line) for line in said.splitlines()] == records


def test_result_and_predict(run: Run, job: str, folder: Path) -> None:
    status, said = run("result", job, "--name", "x")
    assert status == 0
    x = np.array(said.split(), dtype=float)
    run("result", job, "--name", "x", "--output", "x.npy")
    assert np.load(folder / "x.npy").tolist() == x.tolist()
    for design in ("A.npz", "A.mtx"):
        _, said = run("predict", job, design, "--json")
        assert json.loads(said) == pytest.approx(np.exp(A @ x), rel=1e-12)
    run("predict", job, "A.npz", "--output", "fitted.csv")
    assert np.loadtxt(folder / "fitted.csv") == pytest.approx(np.exp(A @ x), rel=1e-15)
    pd.DataFrame(A[:3], columns=[f"x{k}" for k in range(6)]).to_csv(folder / "new.csv")
    _, said = run("predict", job, "new.csv")
    assert np.array(said.split(), dtype=float) == pytest.approx(np.exp(A[:3] @ x), rel=1e-12)


def test_a_prediction_is_the_servers(run: Run, folder: Path, job: str, working_service: Service) -> None:
    x = np.array(run("result", job, "--name", "x")[1].split(), dtype=float)
    assert json.loads(run("result", job, "--name", "x", "--json")[1])["arrays"]["x"] == x.tolist()
    stored = json.loads(run("arrays", "upload", "A.npz", "--json")[1])[0]["id"]
    before = count(working_service.url, "POST", "/jobs/{job_id}/predict")
    status, said = run("predict", job, stored)
    assert status == 0
    assert np.array(said.split(), dtype=float) == pytest.approx(np.exp(A @ x), rel=1e-12)
    assert count(working_service.url, "POST", "/jobs/{job_id}/predict") == before + 1
    assert run("predict", job, "A.npz", "--output", "some.npy") == (0, "some.npy: 400 predictions\n")
    status, said = run("predict", job, stored, "--output", "again.npy", "--json")
    assert json.loads(said) == np.load(folder / "again.npy").tolist() == np.load(folder / "some.npy").tolist()


def test_a_prediction_from_other_arrays(run: Run, folder: Path) -> None:
    generator = np.random.default_rng(3)
    names = ("A1", "A2", "B")
    for name, shape in zip(names, [(12, 2), (12, 2), (12, 2)], strict=True):
        np.save(folder / f"{name}.npy", generator.normal(size=shape))
    arrays = [word for name in names for word in ("--array", f"{name}={name}.npy")]
    options = [word for each in ("starts=1", "ridge_x=0.1", "ridge_y=0.1") for word in ("-o", each)]
    status, said = run("solve", "attention", *arrays, *options, "-o", 'outputs=["fitted"]', "--json")
    assert status == 0
    solved = json.loads(said)["job"]["id"]
    run("result", solved, "--name", "fitted", "--output", "fitted.npy")
    status, said = run("predict", solved, "--array", "A1=A1.npy", "--json")
    assert status == 0
    np.testing.assert_allclose(json.loads(said), np.load(folder / "fitted.npy"), rtol=1e-10)


def test_a_prediction_of_shares_by_group(run: Run, folder: Path) -> None:
    weeks = np.repeat(np.arange(100.0), 4)
    shares = np.exp(A @ X) / np.bincount(weeks.astype(int), np.exp(A @ X))[weeks.astype(int)]
    np.save(folder / "weeks.npy", weeks)
    np.save(folder / "shares.npy", shares)
    said = run("solve", "softmax", "A.npz", "shares.npy", "--array", "groups=weeks.npy", "--json")[1]
    solved = json.loads(said)["job"]["id"]
    said = run("predict", solved, "A.npz", "--groups", "weeks.npy", "--json")[1]
    assert json.loads(said) == pytest.approx(shares, abs=1e-8)
    assert run("predict", solved, "A.npz")[0] == 1


@pytest.mark.parametrize("design", ["A.npz", "A.mtx"])
def test_verify(run: Run, job: str, folder: Path, design: str) -> None:
    seal = json.loads(run("result", job, "--json")[1])["job"]["seal"]["digest"]
    status, said = run("verify", job, design, "b.npy", "--seal", seal)
    assert (status, said) == (0, "held\n")
    status, said = run("verify", job, design, "--json")
    assert status == 3
    assert json.loads(said)["unchecked"][0] == "b: its file was not given"
    np.save(folder / "other.npy", B + 1e-9)
    status, said = run("verify", job, design, "--array", "b=other.npy")
    assert status == 4
    assert "FAILED b: not the array that was solved" in said
    status, said = run("verify", job, design, "b.npy", "--seal", "0" * 64)
    assert (status, said.splitlines()[-1]) == (4, "failed")


def test_arrays(run: Run, working_service: Service) -> None:
    status, said = run("arrays", "upload", "A.npz", "b.npy")
    assert status == 0
    ids = [line.split()[0] for line in said.splitlines()[1:]]
    before = count(working_service.url, "POST", "/arrays")
    assert run("arrays", "upload", "A.npz")[1].splitlines()[1].split()[:4] == [ids[0], "csr", "400x6", "2400"]
    assert count(working_service.url, "POST", "/arrays") == before
    assert [info["shape"] for info in json.loads(run("arrays", "show", *ids, "--json")[1])] == [
        [400, 6],
        [400],
    ]
    assert run("arrays", "delete", ids[1]) == (0, f"{ids[1]}: deleted\n")
    assert run("arrays", "show", ids[1])[0] == 1
    (again,) = json.loads(run("arrays", "upload", "b.npy", "--json")[1])
    assert json.loads(run("arrays", "delete", again["id"], "--json")[1]) == {"deleted": ids[1]}


def test_cancel_says_what_becomes_of_the_job(run: Run, job: str) -> None:
    assert run("cancel", job) == (0, f"{job}: succeeded\n")
    assert json.loads(run("cancel", job, "--json")[1])["status"] == "succeeded"


def test_problems(run: Run) -> None:
    _, said = run("problems")
    assert any(line.startswith("two_layer ") and "A1 A2 b" in line for line in said.splitlines())
    _, said = run("problems", "hyperbolic")
    assert "z̄       regulariser.offset" in said
    assert json.loads(run("problems", "softmax", "--json")[1])["kind"] == "softmax"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("solve", "exp", "A.npz", "missing.npy"), "There is no file missing.npy"),
        (("solve", "exp", "houses.csv"), "Say which columns of the table"),
        (("solve", "exp", "A.npz", "--formula", "y ~ x"), "chooses the columns of one table"),
        (("solve", "exp", "houses.csv", "--formula", "price ~ rooms * town"), "at column 15"),
        (("solve", "exp", "A.npz", "b.npy", "-o", "rigde=1"), "do you mean 'ridge'"),
        (("solve", "exp", "A.npz", "b.npy", "-o", "ridge"), "is not NAME=VALUE"),
        (("solve", "exp", "A.npz", "b.npy", "b.npy"), "at most two files"),
        (("solve", "exp", "A.npz", "A.npz"), "pointer: /b"),
        (("result", "job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"), "newtonctl: "),
        (("jobs", "--url", "http://127.0.0.1:9", "--patience", "0"), "http://127.0.0.1:9 does not answer"),
    ],
)
def test_refusals(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("newtonctl: ")


def test_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fly"])
    assert ended.value.code == 2
    assert "usage: newtonctl" in capsys.readouterr().err


def command(*arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "newtond_client.ctl.main", *arguments], **options)


def hear_signals() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_on_a_terminal_it_draws_in_place_and_an_interrupt_leaves_the_job(
    folder: Path, client: Client
) -> None:
    design, target, _ = slow_data()
    job = client.submit("hyperbolic", design, target, **SLOW)
    terminal, end = pty.openpty()
    watching = command("watch", job.id, stdout=end, stderr=subprocess.PIPE, preexec_fn=hear_signals)
    os.close(end)
    drawn = b""
    while drawn.count(b"\x1b[J") < 5:
        drawn += os.read(terminal, 1 << 16)
    watching.send_signal(signal.SIGINT)
    while watching.poll() is None:
        try:
            drawn += os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed: it has ended
            break
    os.close(terminal)
    assert watching.wait(30) == 130
    assert f"newtonctl watch {job.id}" in watching.communicate()[1].decode()
    text = drawn.decode(errors="replace")
    assert job.id in text
    assert any(bar in text for bar in "▁▂▃▄▅▆▇█")
    assert job.refresh()["status"] == "running"
    job.cancel()


def test_a_reader_that_has_had_enough(folder: Path, job: str) -> None:
    printing = command("predict", job, "A.npz", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert printing.stdout is not None
    printing.stdout.close()
    assert printing.wait(60) in (0, 141)
    assert printing.communicate()[1] == b""
