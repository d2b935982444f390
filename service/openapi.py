"""The OpenAPI document: FastAPI's, with the spec's schema and the problem documents in it.

``python -m service.openapi`` writes it to openapi/openapi.json.
"""

import json
import sys
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from newtond.contract.audit import AuditRequest
from newtond.contract.batch import BatchRequest
from newtond.contract.job import Job, ProblemDetail
from newtond.contract.prediction import NewRows
from newtond.contract.problem import PROBLEMS
from newtond.contract.result import Plan
from newtond.contract.solve import SolveSpec
from service import responses
from service.catalogue import example, variants

REF = "#/components/schemas/{model}"
DESCRIPTION = """Solves regressions by sketching and approximate Newton.

Upload arrays (`POST /arrays`), ask for a solve (`POST /solve`), watch it (`GET /jobs/{id}/trace`), fetch the
result and its certificate (`GET /jobs/{id}/result`). `GET /problems` says what can be solved.

Every error is `application/problem+json` (RFC 9457): `type` is stable, `source` says where in the input.
Every answer has an `X-Request-ID`. Times are RFC 3339 in UTC, durations are seconds; unknown
fields are errors.

`Authorization: Bearer <API key>` names the tenant that everything is under; what is another's is 404. While the
operator has made no keys, requests on loopback need none.
"""
TAGS = [
    {"name": "solve", "description": "From a spec to a job."},
    {"name": "jobs", "description": "What becomes of it."},
    {"name": "batches", "description": "Many jobs of one spec."},
    {"name": "results", "description": "What came out, and what is proven of it."},
    {"name": "verification", "description": "Evidence that what came out was computed from what went in."},
    {"name": "arrays", "description": "Matrices and vectors, content-addressed."},
    {"name": "problems", "description": "What can be solved."},
    {"name": "operations", "description": "For whoever runs this."},
]
FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")
TARGET = Path("openapi") / "openapi.json"


def describe(app: FastAPI) -> None:
    """Have ``app`` serve our document instead of FastAPI's own."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="Regressions by sketching and approximate Newton",
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
    )
    body = document["paths"]["/solve"]["post"]["requestBody"]["content"]["application/json"]
    body["examples"] = {name: {"value": value} for kind in PROBLEMS for name, value in _bodies(kind).items()}
    schemas = document["components"]["schemas"]
    schemas.update(_request_schemas() | schemas)
    for name in FASTAPIS_OWN:
        schemas.pop(name, None)
    for operation in (each for path in document["paths"].values() for each in path.values()):
        _say_what_we_do(operation)
        _say_who_may(operation)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _bodies(kind: str) -> dict[str, dict[str, Any]]:
    return {kind: example(kind), **{f"{kind}: {name}": body for name, body in variants(kind).items()}}


def _say_who_may(operation: dict[str, Any]) -> None:
    if "security" in operation:
        refusals = responses.problems(401, 403, 429)
        operation["responses"].update({str(status): answer for status, answer in refusals.items()})


def _say_what_we_do(operation: dict[str, Any]) -> None:
    """Drop FastAPI's own 422, and the null that no header, path or query can carry."""
    if "HTTPValidationError" in json.dumps(operation["responses"].get("422")):
        del operation["responses"]["422"]
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"]
        given = [each for each in schema.pop("anyOf", []) if each != {"type": "null"}]
        schema.update({"anyOf": given} if len(given) > 1 else given[0] if given else {})


def _request_schemas() -> dict[str, Any]:
    """The models that no handler has as a parameter: bodies are read by hand, so that arrays never are."""
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (SolveSpec, "validation"),
        (ProblemDetail, "serialization"),
        (Job, "serialization"),
        (Plan, "serialization"),
        (AuditRequest, "validation"),
        (BatchRequest, "validation"),
        (NewRows, "validation"),
    ]
    _, schema = models_json_schema(models, ref_template=REF)
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def text() -> str:
    """Return the document as it is committed."""
    from service.app import create_app
    from service.settings import ServiceSettings

    return json.dumps(create_app(ServiceSettings()).openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    sys.stderr.write(f"wrote {TARGET}\n")
