"""The published document: current, complete, true to the running service."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from newtond.contract.problem import PROBLEMS
from newtond.contract.solve import SolveSpec
from newtond.store.credentials import SCOPES, Credentials
from service.openapi import TARGET, text
from tests.service.conftest import Service, example, running_service, running_valkey

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / TARGET).read_text())
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


def test_the_committed_document_is_current() -> None:
    assert (ROOT / TARGET).read_text() == text(), "run: python -m service.openapi"


def test_the_service_serves_it(idle: httpx.Client) -> None:
    assert idle.get("/openapi.json").json() == DOCUMENT
    assert idle.get("/docs").status_code == 200


@pytest.mark.parametrize("kind", PROBLEMS)
def test_every_kind_has_an_example_that_is_a_spec(kind: str) -> None:
    assert SolveSpec.model_validate(example(kind)).problem.kind == kind


def test_there_is_no_example_of_nothing() -> None:
    assert {path.stem for path in (ROOT / "openapi" / "examples").iterdir()} == set(PROBLEMS)
    assert {path.name for path in (ROOT / "openapi" / "variants").iterdir()} <= set(PROBLEMS)


def test_every_variant_is_published_with_the_examples(idle: httpx.Client) -> None:
    published = DOCUMENT["paths"]["/solve"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for path in (ROOT / "openapi" / "variants").glob("*/*.json"):
        kind, body = path.parent.name, json.loads(path.read_text())
        assert SolveSpec.model_validate(body).problem.kind == kind
        assert published[f"{kind}: {path.stem}"]["value"] == body
        assert idle.get(f"/problems/{kind}").json()["variants"][path.stem] == body


def test_every_reference_leads_somewhere() -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert names <= set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_is_described(path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    assert operation["summary"]
    assert operation["tags"]
    for status, answer in operation["responses"].items():
        assert answer["description"]
        if int(status) >= 400:
            assert list(answer["content"]) == ["application/problem+json"]


STATUSES = ["2xx", "3xx", "400", "404", "406", "409", "411", "413", "415", "422"]
CONFIG = schemathesis.Config.from_dict(
    # What an upload holds and how arrays fit each other is past what a schema can say.
    # A good key goes with each call: one of the generated would be refused before all else.
    {
        "checks": {"positive_data_acceptance": {"expected-statuses": STATUSES}},
        "generation": {"with-security-parameters": False},
    }
)
schema = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)
CHECKED = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def hasty_service(service_root: Path) -> Iterator[Service]:
    """A service with keys that nobody works for and that waits for nothing long."""
    hasty = {"wait_seconds": 0.1, "plan_seconds": 0.1}
    with running_valkey() as valkey, running_service(service_root / "hasty", valkey.url, **hasty) as service:
        yield service


@pytest.fixture(scope="module")
def bearer(hasty_service: Service) -> dict[str, str]:
    key, _ = Credentials(hasty_service.data_dir).create("acme", SCOPES)
    return {"Authorization": f"Bearer {key}"}


@schema.parametrize()
@CHECKED
def test_the_service_does_what_it_says(
    case: schemathesis.Case, hasty_service: Service, bearer: dict[str, str]
) -> None:
    """Also that a key is needed where the document says so."""
    case.call_and_validate(base_url=hasty_service.url, headers=bearer, timeout=30)
