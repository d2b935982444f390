"""The build of the site refuses what would mislead a reader."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def build(root: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Build a site of one page with the project's own settings."""
    docs = root / "docs"
    docs.mkdir()
    for path in DOCS.glob("*.py"):
        shutil.copy(path, docs)
    shutil.copytree(DOCS / "static", docs / "static")
    (docs / "index.md").write_text(f"# A page\n\n## A heading\n\n{text}\n")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", docs, root / "out"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_page_that_is_well_is_built(tmp_path: Path) -> None:
    built = build(tmp_path, "[up](#a-heading), <https://example.org>")
    assert built.returncode == 0, built.stderr
    assert "A heading" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[no such heading](#nowhere)", "nowhere"),
        ("[no such file](../examples/gone.py)", "gone.py"),
        ('<a href="gone.html">raw</a>', "gone.html"),
        ('<a href="index.html#nowhere">raw</a>', "nowhere"),
        ('<img src="https://example.org/a.png">', "loads https://example.org/a.png"),
        ("```{toctree}\ngone\n```", "gone"),
    ],
)
def test_a_fault_fails_the_build(tmp_path: Path, text: str, fault: str) -> None:
    built = build(tmp_path, text)
    assert built.returncode != 0
    assert fault in built.stderr
