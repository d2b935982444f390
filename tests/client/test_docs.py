"""What the documentation shows is run: its Python in one process, its commands in one shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from tests.client.conftest import data
from tests.service.conftest import Service

ROOT = Path(__file__).parents[2]
PAGES = ("docs/client.md", "client/README.md")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page(page: str, tmp_path: Path) -> None:
    script = "\n".join(blocks(page, "python"))
    assert script
    command = [sys.executable, "-W", "error::UserWarning", "-c", script]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert page != PAGES[0] or (tmp_path / "convergence.png").stat().st_size > 10_000


def test_the_commands_of_the_page(tmp_path: Path, working_service: Service) -> None:
    A, b, _ = data()
    generator = np.random.default_rng(1)
    scipy.sparse.save_npz(tmp_path / "A.npz", scipy.sparse.csr_array(A))
    np.save(tmp_path / "b.npy", b)
    table = pd.DataFrame(
        {"rooms": generator.integers(1, 7, 90), "town": generator.choice(["Oslo", "Moss"], 90)}
    )
    table.assign(price=np.exp(0.2 * table["rooms"])).to_csv(tmp_path / "houses.csv", index=False)
    (script,) = blocks(PAGES[0], "console")
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {**os.environ, "NEWTOND_URL": working_service.url, "PATH": commands}
    shell = ["bash", "-euo", "pipefail", "-c", script]
    ran = subprocess.run(
        shell, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "\nheld\n" in ran.stdout
    assert (tmp_path / "evidence.zip").stat().st_size > 1000
    assert np.load(tmp_path / "x.npy").shape == (6,)
    assert len(np.loadtxt(tmp_path / "fitted.csv")) == len(b)


def test_every_command_is_shown() -> None:
    from newtond_client.ctl.main import parser

    (script,) = blocks(PAGES[0], "console")
    (commands,) = (action.choices for action in parser()._actions if action.dest == "command")
    assert commands is not None
    for name in commands:
        assert re.search(rf"newtonctl {name}\b", script), name
