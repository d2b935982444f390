"""What ties a trace together: every line names the digest of the line before, and a seal names the last.

A digest is SHA-256, in hexadecimal, of bytes or of a canonical JSON: keys sorted, no blanks, ASCII, the shortest
decimals that read back as the same doubles, members that are null left out. What clocks, attempts and memory say
of a line lies outside: a solve that was interrupted has the chain of one that was not.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from newtond.contract.array import ArrayId
from newtond.contract.model import Model

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]
OUTSIDE = frozenset({"seconds", "phases", "peak_memory", "attempt"})
"""The fields of a line that are not in the chain."""
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


class Link(Model):
    """What a line carries besides its numbers, and what the next line's ``previous`` is a digest of with them.

    ``previous`` of the first line is ``inputs``. ``point`` and ``gradients`` are there where the method hands
    its row blocks over, or under ``solver.audit``.
    """

    previous: Digest
    inputs: Annotated[Digest, Field(description="of the spec, which names every array by its own digest")]
    x: Annotated[ArrayId, Field(description="of the iterate that the iteration leaves, as of an array")]
    point: Annotated[ArrayId | None, Field(description="of the x at which the row blocks were summed")] = None
    gradients: Annotated[
        Digest | None, Field(description="of the digests of the row blocks' gradients there, in order")
    ] = None


class Seal(Model):
    """What ``finished.json`` says of the whole chain; its ``digest`` is of the other three."""

    inputs: Digest
    chain: Annotated[Digest, Field(description="of the last line; of the inputs where there is no line")]
    result: Annotated[Digest, Field(description="of the result without clocks, links, plan and warnings")]
    digest: Digest


def sha256(*parts: Any) -> str:
    """Return the digest of these bytes, one after another."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.hexdigest()


def canonical(value: Any) -> bytes:
    """Return a JSON value in the one form that is digested."""
    return json.dumps(_without_nulls(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(each) for each in value]
    return value


def linked(line: bytes) -> bytes:
    """Return what of a line of ``trace.ndjson`` is in the chain, in canonical form."""
    return canonical({name: each for name, each in json.loads(line).items() if name not in OUTSIDE})


def sealed(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a result, as JSON has it, is under the seal: numbers, arrays' ids, certificate, versions."""
    certificate = {name: each for name, each in result["certificate"].items() if name != "seconds"}
    versions = {name: each for name, each in result["provenance"].items() if name != "threads"}
    arrays = {name: array["id"] for name, array in result["arrays"].items()}
    own = {name: result.get(name) for name in SEALED}
    return {**own, "arrays": arrays, "certificate": certificate, "versions": versions}


def seal(inputs: str, chain: str, result: Mapping[str, Any]) -> Seal:
    """Return the seal of a chain that ends with ``chain`` and of a result, as JSON has it."""
    parts = {"inputs": inputs, "chain": chain, "result": sha256(canonical(sealed(result)))}
    return Seal(**parts, digest=sha256(canonical(parts)))


def sealed_lines(lines: Sequence[bytes], sealed_by: Seal) -> list[bytes]:
    """Return the lines up to the one that the seal names; all of them where none is it.

    A solve that was stopped from outside may have written lines past the state that its result is of.
    """
    heads = [sealed_by.inputs, *(sha256(linked(line)) for line in lines)]
    return list(lines[: heads.index(sealed_by.chain)] if sealed_by.chain in heads else lines)


def breaks(lines: Sequence[bytes], inputs: bytes, result: Mapping[str, Any], sealed_by: Seal) -> list[str]:
    """Return where lines, inputs and result are not what the seal says of them, in words."""
    origin = sha256(inputs)
    head, found = origin, []
    for number, line in enumerate(lines):
        link = json.loads(line).get("link") or {}
        if (link.get("previous"), link.get("inputs")) != (head, origin):
            found.append(f"line {number} of the chain does not name the line before and the inputs")
        head = sha256(linked(line))
    if seal(origin, head, result) != sealed_by:
        found.append("the seal is not of these inputs, this chain and this result")
    return found
