"""The API reference: Markdown made of openapi/openapi.json while the site is built."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPENAPI = Path(__file__).parents[1] / "openapi" / "openapi.json"
PAGE = "reference"
METHODS = ("get", "post", "put", "delete")


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", append)
    return {"parallel_read_safe": True}


def append(app: Any, page: str, source: list[str]) -> None:
    """Put the calls and schemas after what the page itself says."""
    if page == PAGE:
        app.env.note_dependency(str(OPENAPI))
        source[0] += "\n" + "\n".join(reference(json.loads(OPENAPI.read_text())))


def reference(document: dict[str, Any]) -> Iterator[str]:
    """Return the lines of the page: calls by tag, then schemas."""
    for tag in document["tags"]:
        yield f"## {tag['name'].capitalize()}\n\n{tag['description']}\n"
        for path, methods in document["paths"].items():
            for method in METHODS:
                if tag["name"] in methods.get(method, {}).get("tags", []):
                    yield from _call(method, path, methods[method])
    yield "## Schemas\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _schema(name, schema)


def _call(method: str, path: str, call: dict[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n\n{call['summary']}.\n\n{call.get('description', '')}\n"
    parameters = call.get("parameters", [])
    if parameters:
        yield "| parameter | in | type | |\n|---|---|---|---|"
    for each in parameters:
        name = f"`{each['name']}`{'' if each.get('required') else ' (optional)'}"
        yield f"| {name} | {each['in']} | {_type(each['schema'])} | {_cell(each.get('description', ''))} |"
    for media, content in call.get("requestBody", {}).get("content", {}).items():
        yield f"\nBody, `{media}`: {_type(content.get('schema', {}))}\n"
    yield "\n| answer | | |\n|---|---|---|"
    for status, answer in call["responses"].items():
        kinds = "; ".join(
            f"`{m}`: {_type(c.get('schema', {}))}" for m, c in answer.get("content", {}).items()
        )
        yield f"| {status} | {_cell(answer['description'])} | {kinds} |"
    yield ""


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n\n{schema.get('description', '')}\n"
    required = schema.get("required", [])
    properties = schema.get("properties", {})
    if properties:
        yield "| field | type | |\n|---|---|---|"
    for field, each in properties.items():
        needed = "required. " if field in required else ""
        yield f"| `{field}` | {_type(each)} | {_cell(needed + each.get('description', '') + _bounds(each))} |"
    yield ""


def _bounds(schema: dict[str, Any]) -> str:
    words = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]}" for key, sign in words.items() if key in schema]
    default = [f"{json.dumps(schema['default'])} unless given"] if schema.get("default") is not None else []
    return "".join(f" {word}." for word in bounds + default)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key]))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{json.dumps(each)}`" for each in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()
