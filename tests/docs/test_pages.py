"""What the pages for newcomers and operators show is run: their commands and their Python, top to bottom."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import scipy.sparse

from benchmarks import picture, report, sizing
from benchmarks.first_fit import ROOT, SERVER, STACK, Step, Walk, blocks, steps
from tests.client import test_docs

COMMANDS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def python(name: str) -> str:
    return "\n".join(text for language, text in blocks(page(name)) if language == "python")


PYTHON = ("choosing", "certificate")


@pytest.mark.parametrize("name", PYTHON)
def test_the_python_of_a_page(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", python(name)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    if name == "certificate":
        agrees(ran.stdout, next(text for language, text in blocks(page(name)) if language == "text"))


WORKED = [path.stem for path in sorted((ROOT / "docs/maths").glob("*.md"))]


def test_what_the_kinds_pages_work_out(tmp_path: Path) -> None:
    """All in one process, which shares one embedded server."""
    assert all("\nassert " in python(f"maths/{name}") for name in WORKED)
    script = "\n".join(python(f"maths/{name}") for name in WORKED)
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr


def agrees(said: str, shown: str) -> None:
    """Compare what was printed with what the page shows: words as they are, the loss to nine digits."""
    lines = said.splitlines()[: len(shown.splitlines())]
    assert [words(line) for line in lines] == [words(line) for line in shown.splitlines()]
    assert number(lines[0]) == pytest.approx(number(shown), rel=1e-9)


def words(line: str) -> str:
    return re.sub(r"\d+(\.\d+)?(e[-+]\d+)?", "#", line)


def number(text: str) -> float:
    found = re.search(r"\d+\.\d+", text)
    assert found, text
    return float(found[0])


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path, COMMANDS)


def served(walk: Walk, serving: Step, rest: list[Step]) -> Iterator[tuple[Step, str]]:
    """Run steps beside the server of one; yield what each said."""
    with walk.served(serving):
        for step in rest:
            yield step, walk.run(step)


def test_every_statement_of_every_kinds_example_is_explained(walk: Walk) -> None:
    text = page("certificate").partition("## The statements")[2].partition("\n## ")[0]
    rows = [
        [part for part in row.split("…") if part] for row in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    ]
    examples = sorted((ROOT / "openapi/examples").glob("*.json"))
    with walk.served(Step("up", [(SERVER, "newtond up")])):
        for example in examples:
            body = json.loads(example.read_text())
            statements = statements_of(walk.environment["NEWTOND_URL"], body)
            assert statements, example.stem
            for said in statements:
                assert any(all(part in said for part in row) for row in rows), f"{example.stem}: {said}"


def statements_of(url: str, body: dict[str, Any]) -> list[str]:
    """Solve what a body asks for and return its certificate's statements."""
    job = httpx.post(f"{url}/solve", json=body, headers={"Prefer": "wait=60"}, timeout=90).json()
    result = httpx.get(f"{url}/jobs/{job['id']}/result").json()
    statements: list[str] = result["certificate"]["statements"]
    return statements


def test_the_first_fit(walk: Walk) -> None:
    """All but the installation and the containers, as a new user would."""
    found = {step.title: step for step in steps(page("start"))}
    assert list(found)[:2] == ["Install", "Start the server"]
    rest = [step for step in found.values() if not step.has(SERVER) and not step.has(STACK)][1:]
    said = {step.title: said for step, said in served(walk, found["Start the server"], rest)}
    assert len(said) == 3
    assert "A unique minimiser lies within" in said["A certified fit, by curl"]
    assert "A unique minimiser lies within" in said["Your own table"]
    assert "<title>" in (walk.directory / "page.html").read_text()
    assert (walk.directory / "fitted.png").stat().st_size > 10_000


def test_the_commands_of_operations(walk: Walk) -> None:
    serving = Step("up", [(SERVER, "newtond up")])
    rest = [step for step in steps(page("operations")) if step.has("console")]
    said = {step.title: said for step, said in served(walk, serving, rest)}
    assert list(said) == ["Sizing", "Keys", "Backup", "Restarts", "Doctor"]
    assert '"memory_bytes"' in said["Sizing"]
    assert "acme" in said["Keys"]
    assert (walk.directory / "restored" / "format").exists()


def test_the_commands_of_the_api(walk: Walk) -> None:
    found = steps(page("api"))
    said = {step.title: said for step, said in served(walk, Step("up", [(SERVER, "newtond up")]), found)}
    assert list(said) == [
        "Arrays first, then a solve",
        "Start where another job ended",
        "Predict",
        "Batches",
        "Tags",
    ]
    ids = {name: (walk.directory / f"{name}.id").read_text().strip() for name in ("A", "b", "job")}
    started = json.loads(said["Start where another job ended"])
    assert started["converged"]
    assert started["inputs"].keys() == {"A", "b", "warm_start"}
    head, *rows = said["Predict"].split()
    assert head == "row,prediction"
    twelfth, thirteenth = (float(row.partition(",")[2]) for row in rows)
    assert 76.212 < twelfth < thirteenth
    batch = json.loads(said["Batches"])
    assert batch["counts"] == {"succeeded": 3}
    assert [job["id"] for job in json.loads(said["Tags"])["jobs"]] == [ids["job"]]


def test_the_commands_of_the_readme(walk: Walk) -> None:
    """Those by curl, on a small matrix in the place of the demo's."""
    generator = np.random.default_rng(0)
    (walk.directory / "demo-output").mkdir()
    A = scipy.sparse.random_array((300, 20), density=0.2, rng=generator, format="csr")
    scipy.sparse.save_npz(walk.directory / "demo-output" / "A.npz", A)
    np.save(walk.directory / "demo-output" / "b.npy", np.exp(A @ generator.normal(size=20)))
    found = blocks((ROOT / "README.md").read_text())
    assert (SERVER, ".venv/bin/newtond up\n") in found
    step = Step("by curl", [block for block in found if block[0] == "console"])
    ((_, said),) = served(walk, Step("up", [(SERVER, "newtond up")]), [step])
    assert "event: end" in said
    assert '"certificate":{' in said
    assert len(re.findall(r"^\d+,-?\d", said, re.MULTILINE)) == 20
    assert json.loads(said.splitlines()[-1])["status"] == "succeeded"


TRIED = {
    "README.md": {"console"},
    "docs/start.md": {"console", "python"},
    "docs/operations.md": {"console"},
    "docs/api.md": {"console"},
    **{f"docs/{name}.md": {"python"} for name in PYTHON},
    **{f"docs/maths/{name}.md": {"python"} for name in WORKED},
    **{name: {"python"} for name in test_docs.PAGES},
    test_docs.PAGES[0]: {"python", "console"},
}
NOT_TRIED = {
    ("README.md", "make demo"): "`make` is CI's",
    ("docs/start.md", "docker-compose up"): "needs Docker: python -m benchmarks.first_fit --compose runs it",
    ("docs/operations.md", "docker-compose run"): "needs Docker",
}
DRAWINGS = {"docs/architecture.md": {"", "text"}, "docs/certificate.md": {"text"}}
FENCE = re.compile(r"^ *(`{3,}|~{3,})(.*)\n((?:.*\n)*?) *\1 *$", re.MULTILINE)


def shown() -> Iterator[tuple[str, str, str]]:
    """Yield every fenced block of every page: page, language, text."""
    for path in [ROOT / "README.md", ROOT / "client/README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for _, language, text in FENCE.findall(path.read_text()):
            yield path.relative_to(ROOT).as_posix(), language, text


def is_tried(name: str, language: str, text: str) -> bool:
    """Whether a test runs a block."""
    if language == "json":  # requests: tests/service/test_pages_of_maths.py sends them
        return name.startswith("docs/maths/")
    if language == SERVER:
        return text.split()[-2:] in (["newtond", "up"], [".venv/bin/newtond", "up"])
    return language in TRIED.get(name, ())


def is_no_program(name: str, language: str) -> bool:
    return language == "{toctree}" or language in DRAWINGS.get(name, ())


def test_every_snippet_is_run_or_named() -> None:
    """A new page with snippets, and a fence that nothing runs, would be something that nobody tries."""
    untried = [
        (name, text)
        for name, language, text in shown()
        if not is_tried(name, language, text) and not is_no_program(name, language)
    ]
    unnamed = [
        (name, text)
        for name, text in untried
        if not any(name == page and text.startswith(start) for page, start in NOT_TRIED)
    ]
    assert unnamed == []
    assert len(untried) == len(NOT_TRIED)
    assert TRIED.keys() <= {name for name, _, _ in shown()}


def test_a_snippet_that_fails_is_noticed(walk: Walk) -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        walk.run(Step("wrong", [("console", "true\nexit 3\n")]))


def test_the_sizing_table_is_of_the_results() -> None:
    assert sizing.table(sizing.results()) in page("operations")


def test_the_picture_of_the_races_is_shown_and_its_bytes_are_of_the_results_alone(tmp_path: Path) -> None:
    results = {result["instance"]: result for result in sizing.results()}
    drawn = [tmp_path / "once.svg", tmp_path / "again.svg"]
    for path in drawn:
        picture.draw(results, path)
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    assert report.page(results, {}).count(f"](images/{picture.PATH.name})") == 1
    assert str(picture.PATH) in (ROOT / "README.md").read_text()
    assert (ROOT / picture.PATH).exists()


def test_a_panel_has_newtond_and_its_fastest_peers_and_says_who_gave_up() -> None:
    def row(adapter: str, seconds: float | None, error: str | None = None) -> dict[str, Any]:
        return {"adapter": adapter, "seconds": seconds, "accuracy": 1e-9, "error": error}

    peers = [row("slow", None, "no answer in 60 s"), row("broken", None, "singular"), row("fast", 1.0)]
    race = picture.racers({"results": [row("newtond_exact", 0.1), row("newtond", 2.0), *peers]})
    assert [each["adapter"] for each in race] == ["fast", "newtond", "slow"]
    assert [picture.label(each) for each in race] == ["1 s to 1e-09", "2 s to 1e-09", "> 60 s"]
    assert picture.racers({"results": peers}) == []
