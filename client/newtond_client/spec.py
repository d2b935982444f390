"""From keywords to the body of ``POST /solve``: where each one stands is read from the generated models."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from newtond_client.errors import InvalidInput
from newtond_client.models import ARRAYS, OPTIONS, PROBLEMS
from newtond_client.sources import Source, source_of
from newtond_client.tables import Encoding, check_names, is_table

NAMELESS = frozenset({"attention", "attention_kernel", "gram_exponential", "gram_power"})
"""The kinds that take no column_names: their coefficients do not belong to the columns of A."""
GROUPS = ("regulariser", "solver")


@dataclass(frozen=True)
class Wanted:
    """A solve to ask for: the body without its arrays, the arrays, and how its tables were encoded."""

    kind: str
    body: dict[str, Any]
    arrays: dict[str, Source]
    encodings: dict[str, Encoding] = field(default_factory=dict)

    def with_ids(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """Return the body with every array by its id."""
        body = {key: dict(value) if isinstance(value, dict) else value for key, value in self.body.items()}
        for name, array_id in ids.items():
            _place(body, ARRAYS[name], array_id)
        return body


def wanted(kind: str, options: Mapping[str, Any]) -> Wanted:
    """Return the solve that keywords ask for; raises InvalidInput for one that there is not."""
    if kind not in PROBLEMS:
        raise InvalidInput(f"There is no kind {kind!r}{_instead(kind, PROBLEMS)}.")
    request = Wanted(kind, {"problem": {"kind": kind}}, {}, {})
    given = {name: value for name, value in options.items() if value is not None}
    for group in GROUPS:
        for name, value in given.pop(group, {}).items():
            _place(request.body, (group, name), value)
    for name, value in given.items():
        _add(request, name, value)
    return request


def _add(request: Wanted, name: str, value: Any) -> None:
    if name in ARRAYS:
        _add_array(request, name, value)
    elif name in PROBLEMS[request.kind]:
        request.body["problem"][name] = value
    elif name in OPTIONS:
        _place(
            request.body, OPTIONS[name], list(value) if name in ("column_names", "outputs", "tags") else value
        )
    else:
        known = [*PROBLEMS[request.kind], *OPTIONS, *ARRAYS]
        raise InvalidInput(f"{request.kind} has no option {name!r}{_instead(name, known)}.")


def _instead(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; do you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"


def _add_array(request: Wanted, name: str, value: Any) -> None:
    scalar = name in ("weights", "offset") and isinstance(value, int | float)
    if scalar or value in _words(name, value) or (name == "warm_start" and isinstance(value, dict)):
        _place(request.body, ARRAYS[name], value)
    elif is_table(value):
        encoding = Encoding.of(value)
        request.encodings[name] = encoding
        request.arrays[name] = encoding.design(value)
        _name_columns(request, name, encoding.names())
    elif name == "groups":
        request.arrays[name] = source_of(_numbered(value), name)
    else:
        request.arrays[name] = source_of(value, name)


def _words(name: str, value: Any) -> tuple[str, ...]:
    """Return the words that may stand for an array; none where the value is no word."""
    words = {"weights": ("convex",), "offset": ("zero", "target")}
    return words.get(name, ()) if isinstance(value, str) else ()


def _numbered(groups: Any) -> Any:
    """Return labels of groups as numbers; numbers stay what they are."""
    labels = groups if isinstance(groups, str) or hasattr(groups, "is_file") else np.asarray(groups)
    if isinstance(labels, np.ndarray) and labels.dtype.kind not in "biuf":
        return np.unique(labels.astype(str), return_inverse=True)[1]
    return labels


def _name_columns(request: Wanted, name: str, names: list[str]) -> None:
    check_names(names)
    if name in ("A", "A1") and request.kind not in NAMELESS:
        request.body.setdefault("column_names", names)


def _place(body: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *groups, key = path
    for group in groups:
        body = body.setdefault(group, {})
    body[key] = value
