"""A family is five files: spec class, engine module, tests, docs page, example. None may be missing."""

import json
from pathlib import Path

import pytest

from newtond.contract.problem import PROBLEMS
from newtond.contract.solve import SolveSpec
from newtond.engine.problems import family

ROOT = Path(__file__).parent.parent


def files(folder: str, pattern: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob(pattern) if not path.stem.startswith("_")}


def test_the_five_files_of_every_kind_exist_and_no_others() -> None:
    kinds = set(PROBLEMS)
    assert files("newtond/engine/problems", "*.py") == kinds
    assert files("docs/maths", "*.md") == kinds
    assert files("openapi/examples", "*.json") == kinds
    assert files("tests/engine/problems", "test_*.py") == {f"test_{kind}" for kind in kinds}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_kind_is_described_and_its_example_is_valid(kind: str) -> None:
    problem = PROBLEMS[kind]
    assert problem.title
    assert problem.formula
    assert problem.reference
    assert problem.inputs
    assert problem.results
    example = json.loads((ROOT / "openapi/examples" / f"{kind}.json").read_text())
    spec = SolveSpec.model_validate(example)
    assert spec.problem.kind == kind
    for name in ("plan", "steps", "solution", "certify"):
        assert callable(getattr(family(spec), name))
