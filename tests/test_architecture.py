"""Imports run one way: the contracts of pyproject.toml hold, and each goes red when it is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("newtond", "service", "worker", "client/newtond_client")
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None))"


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run every contract of the tree at ``directory`` in a process of its own."""
    command = [sys.executable, "-c", LINT]
    environment = {"PYTHONPATH": f"{directory}:{directory / 'client'}", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def test_the_contracts_hold() -> None:
    answer = lint(ROOT)
    assert answer.returncode == 0, answer.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("a tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


@pytest.mark.parametrize(
    ("path", "line", "contract"),
    [
        ("service/settings.py", "import worker", "Service and worker stand beside each other"),
        ("newtond/contract/trace.py", "import newtond.store.arrays", "newtond: command, store and engine"),
        ("newtond/another.py", "import math", "newtond: command, store and engine"),
        ("newtond/engine/block.py", "import newtond.engine.design", "newtond.engine: problems, methods"),
        ("newtond/engine/another.py", "import math", "newtond.engine: problems, methods"),
        (
            "newtond/engine/certificate/proof.py",
            "import newtond.engine.sketches",
            "The certificate shares no code",
        ),
        ("newtond/engine/state.py", "import logging", "The engine is pure numerics"),
        ("service/settings.py", "import newtond.engine.state", "The service does no mathematics"),
        ("worker/settings.py", "import fastapi", "The worker speaks no HTTP"),
        ("client/newtond_client/fit.py", "import newtond.contract.job", "The client knows nothing"),
        ("worker/settings.py", "import newtond_client.fit", "The server knows nothing"),
    ],
)
def test_a_forbidden_import_is_red(tree: Path, path: str, line: str, contract: str) -> None:
    file = tree / path
    before = file.read_text() if file.exists() else None
    file.write_text(f"{before or ''}\n{line}\n")
    try:
        answer = lint(tree)
    finally:
        file.write_text(before) if before is not None else file.unlink()
    broken = [line for line in answer.stdout.splitlines() if line.endswith("BROKEN")]
    assert answer.returncode != 0
    assert any(contract in line for line in broken), answer.stdout


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("newtond.contract", {"pydantic", "pydantic_core"}),
        ("newtond_client", {"httpx", "numpy", "sklearn"}),
        ("newtond.engine", {"llvmlite", "numba", "numpy", "scipy", "threadpoolctl"}),
    ],
)
def test_what_a_package_may_import_from_outside(package: str, allowed: set[str]) -> None:
    root = package.partition(".")[0]
    graph = grimp.build_graph(root, include_external_packages=True)
    modules = {package} | graph.find_descendants(package)
    imported = {name for module in modules for name in graph.find_modules_directly_imported_by(module)}
    outside = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) - {root}
    assert outside <= allowed
