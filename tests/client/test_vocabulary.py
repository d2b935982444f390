"""The client has no words of its own: models from the OpenAPI document, errors as the contract has them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from newtond_client import errors, models
from newtond_client.spec import NAMELESS

from newtond.contract.errors import NewtondError, SetupError
from newtond.contract.http import STATUS, TYPE_PREFIX, problem_detail, status_of
from newtond.contract.problem import PROBLEMS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "client"))
import generate_models  # noqa: E402


def contract_errors(cls: type[NewtondError] = NewtondError) -> Iterator[type[NewtondError]]:
    for child in cls.__subclasses__():
        yield child
        yield from contract_errors(child)


def test_the_models_are_current() -> None:
    assert generate_models.TARGET.read_text() == generate_models.read(), "run: make openapi"


def test_the_verifier_is_the_servers() -> None:
    ours, theirs = generate_models.VERIFIER, generate_models.VERIFIER_SOURCE
    assert ours.read_bytes() == theirs.read_bytes(), "run: make openapi"


@pytest.mark.parametrize("theirs", [each for each in contract_errors() if each is not SetupError])
def test_every_error_of_the_contract_has_a_class_of_its_own(theirs: type[NewtondError]) -> None:
    problem = problem_detail(theirs("why", source={"pointer": "/b"}), "req").model_dump()
    ours = errors.api_error(problem)  # type: ignore[arg-type]
    assert type(ours).__name__ == theirs.__name__
    assert ours.slug == theirs.slug
    assert (ours.detail, ours.source, ours.request_id) == ("why", {"pointer": "/b"}, "req")
    assert ours.status_code == status_of(theirs("why"))
    parents = {each.__name__ for each in type(ours).__mro__}
    assert {each.__name__ for each in theirs.__mro__ if each in STATUS} - {"NewtondError"} <= parents


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (401, "Unauthorised"),
        (403, "Forbidden"),
        (418, "RequestError"),
        (429, "Throttled"),
        (503, "Unavailable"),
        (502, "InternalError"),
    ],
)
def test_an_unknown_slug_is_of_its_status(status: int, name: str) -> None:
    problem: models.ProblemDetail = {
        "type": TYPE_PREFIX + "of-tomorrow",
        "title": "t",
        "status": status,
        "detail": "d",
    }
    assert type(errors.api_error(problem)).__name__ == name


def test_which_kinds_take_column_names() -> None:
    assert {kind for kind, problem in PROBLEMS.items() if "column_names" not in problem.supports} == NAMELESS


def test_the_options_of_every_kind() -> None:
    assert set(models.PROBLEMS) == set(PROBLEMS)
    for kind, problem in PROBLEMS.items():
        assert set(models.PROBLEMS[kind]) == set(problem.model_fields) - {"kind"}
