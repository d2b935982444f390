"""Whether what a server says of a job hangs together: the chain of its trace, its seal, the digests of its arrays.

A line of the trace names the digest of the line before, the first one that of the inputs; the seal names the last.
A digest is SHA-256 of a canonical JSON: keys sorted, no blanks, ASCII, members that are null left out. What clocks,
attempts and memory say of a line is not in it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from newtond_client.canonical import canonical
from newtond_client.fit import Fit

PARTS = ("inputs", "chain", "result")
SEALED = (
    "termination",
    "converged",
    "stopping_rule",
    "iterations",
    "loss",
    "gradient_norm",
    "newton_decrement",
    "intercept",
)
OUTSIDE = frozenset({"seconds", "phases", "peak_memory", "attempt"})


def digest(value: Any) -> str:
    """Return the digest of a JSON value in canonical form."""
    text = json.dumps(_without_nulls(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def line_digest(record: Mapping[str, Any]) -> str:
    """Return the digest of a line of the trace, as the next line names it."""
    return digest({name: value for name, value in record.items() if name not in OUTSIDE})


def result_digest(result: Mapping[str, Any]) -> str:
    """Return the digest of a result, as the seal names it: without clocks, links, plan and warnings."""
    certificate = {name: each for name, each in result["certificate"].items() if name != "seconds"}
    versions = {name: each for name, each in result["provenance"].items() if name != "threads"}
    arrays = {name: array["id"] for name, array in result["arrays"].items()}
    own = {name: result.get(name) for name in SEALED}
    return digest({**own, "arrays": arrays, "certificate": certificate, "versions": versions})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def findings(fit: Fit) -> Iterator[tuple[str, bool]]:
    """Yield what was looked at, in words, and whether it holds."""
    for name, array in fit.result["arrays"].items():
        yield (
            f"{name} has the digest that the result names",
            canonical(fit.arrays[name]).digest() == array["id"],
        )
    seal = fit.job.get("seal")
    links = [record.get("link") for record in fit.trace.records]
    if seal is None or not all(links):
        return
    yield f"the {len(links)} lines of the trace are one chain", _is_chain(fit.trace.records, seal["inputs"])
    last = line_digest(fit.trace.records[-1]) if links else seal["inputs"]
    yield "the seal names its last line", last == seal["chain"]
    yield "the seal names the result", result_digest(fit.result) == seal["result"]
    yield (
        "the seal's digest is of its parts",
        digest({name: seal.get(name) for name in PARTS}) == seal["digest"],
    )


def _is_chain(records: Sequence[Mapping[str, Any]], inputs: str) -> bool:
    previous = inputs
    for record in records:
        if record["link"]["previous"] != previous or record["link"]["inputs"] != inputs:
            return False
        previous = line_digest(record)
    return True


def of_file(array: Any, name: str, fit: Fit) -> tuple[str, bool]:
    """Return whether an array of the caller's is the one that the job was given as ``name``."""
    same = canonical(array, name).digest() == fit.job.get("inputs", {}).get(name)
    return f"{name} is the array that was solved", same
