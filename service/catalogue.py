"""The catalogue of problem kinds, as the contract and the examples have it."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import Field

from newtond.contract.array import ArrayRole
from newtond.contract.errors import NotFound
from newtond.contract.model import Model
from newtond.contract.prediction import PredictionForm
from newtond.contract.problem import PROBLEMS
from newtond.contract.solve import SolveSpec, array_roles, outputs_of


class ProblemSummary(Model):
    """One kind in the list: what it minimises, and which arrays go in and come out."""

    kind: str
    title: str
    formula: str
    symbols: dict[str, str]
    inputs: dict[str, ArrayRole]
    results: dict[str, ArrayRole]
    outputs: list[str] = Field(description="What ``outputs`` may ask for, besides the solution.")
    href: str


class ProblemEntry(ProblemSummary):
    """All of one kind: also its source, the JSON Schema of its body, and a body to send as it is."""

    prediction: PredictionForm | None = Field(
        description="What ``POST /jobs/{id}/predict`` takes and gives; null where ``refuses`` says why nothing."
    )
    reference: str
    differences: tuple[str, ...]
    refuses: dict[str, str] = Field(description="Options that this kind does not take, and why.")
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema of a solve of this kind")
    example: dict[str, Any]
    variants: dict[str, dict[str, Any]] = Field(
        description="more bodies to send as they are, by what they show"
    )


class Catalogue(Model):
    """Every kind there is."""

    problems: list[ProblemSummary]


def catalogue() -> Catalogue:
    """Return the list of kinds."""
    return Catalogue(problems=[ProblemSummary(**_summary(kind)) for kind in PROBLEMS])


def entry(kind: str) -> ProblemEntry:
    """Return one kind; raises NotFound."""
    if kind not in PROBLEMS:
        raise NotFound("There is no such kind; these are: " + ", ".join(PROBLEMS) + ".")
    problem = PROBLEMS[kind]
    return ProblemEntry(
        **_summary(kind),
        prediction=problem.prediction,
        reference=problem.reference,
        differences=problem.differences,
        refuses=problem.because,
        schema=schema(kind),
        example=example(kind),
        variants=variants(kind),
    )


def _summary(kind: str) -> dict[str, Any]:
    problem = PROBLEMS[kind]
    return {
        "kind": kind,
        "title": problem.title,
        "formula": problem.formula,
        "symbols": problem.symbols,
        "inputs": array_roles(kind),
        "results": problem.results,
        "outputs": outputs_of(kind),
        "href": f"/problems/{kind}",
    }


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a solve of this kind: the general one, narrowed to its problem and arrays."""
    whole: dict[str, Any] = SolveSpec.model_json_schema()
    problem = PROBLEMS[kind]
    strangers = {other.__name__ for name, other in PROBLEMS.items() if name != kind}
    whole["properties"]["problem"] = {"$ref": f"#/$defs/{problem.__name__}"}
    whole["$defs"] = {name: each for name, each in whole["$defs"].items() if name not in strangers}
    needed = [name for name, role in problem.inputs.items() if role.required]
    for name in needed:
        whole["properties"][name] = _not_null(whole["properties"][name])
    whole["required"] = ["problem", *needed]
    return whole


def _not_null(field: dict[str, Any]) -> dict[str, Any]:
    given = [option for option in field["anyOf"] if option != {"type": "null"}]
    return {"anyOf": given, **{key: value for key, value in field.items() if key not in ("anyOf", "default")}}


def variants(kind: str) -> dict[str, dict[str, Any]]:
    """Return by name the bodies of this kind that show what its one example cannot."""
    folder = files("openapi") / "variants" / kind
    found = sorted(folder.iterdir(), key=lambda file: file.name) if folder.is_dir() else []
    return {file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8")) for file in found}


@cache
def _example_text(kind: str) -> str:
    return (files("openapi") / "examples" / f"{kind}.json").read_text(encoding="utf-8")


def example(kind: str) -> dict[str, Any]:
    """Return a body of this kind that ``POST /solve`` takes as it is."""
    body: dict[str, Any] = json.loads(_example_text(kind))
    return body
