"""What a parsing child answers, as one line of JSON: the arrays it stored, or why it refused."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from newtond.contract.array import ArrayInfo
from newtond.contract.errors import NewtondError

Parsed = list[tuple[ArrayInfo, bool]]


def of_arrays(arrays: Sequence[tuple[ArrayInfo, bool]]) -> bytes:
    """Return the answer that lists stored arrays and whether each is new."""
    return _line({"arrays": [[info.model_dump(mode="json"), created] for info, created in arrays]})


def of_error(error: NewtondError) -> bytes:
    """Return the answer that says why an upload was refused."""
    return _line({"error": error.slug, "detail": error.detail, "source": error.source})


def read(line: bytes) -> Parsed:
    """Return the arrays of an answer, or raise its error."""
    answer = json.loads(line)
    if "error" in answer:
        raise _class_of(answer["error"])(answer["detail"], source=answer["source"])
    return [(ArrayInfo.model_validate(info), created) for info, created in answer["arrays"]]


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _class_of(slug: str) -> type[NewtondError]:
    return next(kind for kind in _tree(NewtondError) if kind.slug == slug)


def _tree(kind: type[NewtondError]) -> Iterator[type[NewtondError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)
