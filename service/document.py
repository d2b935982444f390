"""The JSON of a spec before it is one: strictly read, its inline arrays taken out like any upload."""

import json
from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from newtond.contract.errors import InvalidSpec, MalformedRequest
from newtond.contract.solve import ARRAY_POINTERS, SolveSpec
from service.errors import invalid_spec

PLACEHOLDER = "sha256:" + "0" * 64
Document = dict[str, Any]


def read_document(body: bytes) -> Document:
    """Return the JSON object in ``body``; raises MalformedRequest, also for a name given twice and NaN."""
    try:
        document = json.loads(body, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        source = {"line": error.lineno, "column": error.colno}
        raise MalformedRequest(f"The body is not JSON: {error.msg}.", source=source) from None
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not JSON: it is not UTF-8.") from None
    except (RecursionError, ValueError):
        raise MalformedRequest("The JSON is nested too deeply, or a number in it is too long.") from None
    if not isinstance(document, dict):
        raise InvalidSpec("The body is a JSON object.", source={"pointer": ""})
    return document


def _object(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise MalformedRequest("A name is given twice in one JSON object.")
    return document


def _refuse_constant(_: str) -> float:
    raise MalformedRequest("NaN and Infinity are not JSON numbers.")


def take_inline(document: Document) -> dict[str, Any]:
    """Take every array that is written out in ``document`` out of it, and leave a placeholder id."""
    taken: dict[str, Any] = {}
    for name in ARRAY_POINTERS:
        holder, key = _place(document, name)
        if isinstance(holder, dict) and _is_written_out(holder.get(key)):
            taken[name] = holder[key]
            holder[key] = PLACEHOLDER
    return taken


def _is_written_out(value: Any) -> bool:
    """Whether this is an array; a warm start may also be an object that names a job."""
    return isinstance(value, list) or (isinstance(value, dict) and "job" not in value)


def announce(document: Document, names: Collection[str]) -> None:
    """Put a placeholder id where each array of a multipart body goes; raises InvalidSpec if it is taken."""
    for name in names:
        if name not in ("weights", "offset"):
            holder, key = document, name
        else:
            holder, key = document.setdefault("regulariser", {}), name
        if not isinstance(holder, dict):
            raise InvalidSpec("The regulariser is an object.", source={"pointer": "/regulariser"})
        if holder.get(key) is not None:
            detail = f"{name} is given twice: in the spec and as a part."
            raise InvalidSpec(detail, source={"pointer": ARRAY_POINTERS[name], "part": name})
        holder[key] = PLACEHOLDER


def _place(document: Document, name: str) -> tuple[Any, str]:
    *path, key = ARRAY_POINTERS[name].strip("/").split("/")
    holder: Any = document
    for step in path:
        holder = holder.get(step) if isinstance(holder, dict) else None
    return holder, key


def read_spec(document: Document) -> SolveSpec:
    """Return the spec that ``document`` is; raises InvalidSpec with a JSON pointer at every fault."""
    try:
        return SolveSpec.model_validate(document)
    except ValidationError as error:
        raise invalid_spec(error) from None
