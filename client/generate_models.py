"""Write newtond_client/models.py from the server's OpenAPI document: the client has no vocabulary of its own.

``python client/generate_models.py`` reads openapi/openapi.json and writes the file anew, and copies the verifier.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CLIENT = Path(__file__).parent
SOURCE = CLIENT.parent / "openapi" / "openapi.json"
TARGET = CLIENT / "newtond_client" / "models.py"
VERIFIER_SOURCE = CLIENT.parent / "service" / "verify.py"
VERIFIER = CLIENT / "newtond_client" / "verify.py"
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
HEAD = '''"""What the server takes and returns, as its OpenAPI document says it. Generated: see generate_models.py."""

from typing import Any, Literal, NotRequired, TypedDict

'''
Schema = Mapping[str, Any]
Schemas = Mapping[str, Schema]


def text(document: Mapping[str, Any]) -> str:
    """Return the module that belongs to an OpenAPI document."""
    schemas: Schemas = document["components"]["schemas"]
    models = [_model(name, schemas[name]) for name in _ordered(schemas)]
    constants = [
        _constant(
            "ARRAYS",
            dict(_arrays(schemas)),
            "dict[str, tuple[str, ...]]",
            "where each array stands in a spec",
        ),
        _constant(
            "OPTIONS",
            dict(_options(schemas)),
            "dict[str, tuple[str, ...]]",
            "where each other option stands in a spec",
        ),
        _constant(
            "PROBLEMS",
            dict(_problems(schemas)),
            "dict[str, tuple[str, ...]]",
            "the options of each kind's problem",
        ),
    ]
    defaults = {place[-1]: schema["default"] for place, schema in _fields(schemas) if "default" in schema}
    told = f'DEFAULTS: dict[str, Any] = {defaults!r}\n"""What the server takes where an option is not given."""\n'
    return HEAD + "\n\n".join([*models, *constants, told])


def _ordered(schemas: Schemas) -> list[str]:
    """Return the objects' names, each after those it is made of: a class body reads its annotations at once."""
    done: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in done or schemas[name].get("type") != "object":
            return
        for other in sorted(set(_references(schemas[name])) - {name}):
            visit(other)
        done[name] = None

    for name in sorted(schemas):
        visit(name)
    return list(done)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _model(name: str, schema: Schema) -> str:
    required = set(schema.get("required", ()))
    first = schema.get("description", "").split("\n")[0].replace("``", "`")
    about = f'    """{first}"""\n\n' if first else ""
    fields = "".join(
        f"    {field}: {_field(each, needed=field in required)}\n"
        for field, each in schema.get("properties", {}).items()
    )
    return f"class {name}(TypedDict):\n{about}{fields or '    pass'}\n"


def _field(schema: Schema, *, needed: bool) -> str:
    kind = _type(schema)
    return kind if needed else f"NotRequired[{kind}]"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return f"Literal[{_quoted(schema['const'])}]"
    if "enum" in schema:
        return f"Literal[{', '.join(_quoted(each) for each in schema['enum'])}]"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _union(schema[union])
    if schema.get("type") == "array":
        return f"list[{_type(schema['items'] if 'items' in schema else schema['prefixItems'][0])}]"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties", True)
        return f"dict[str, {_type(values) if isinstance(values, dict) else 'Any'}]"
    return SCALARS.get(schema.get("type", ""), "Any")


def _union(options: list[Schema]) -> str:
    return " | ".join(dict.fromkeys(_type(option) for option in options))


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _formatted(source: str) -> str:
    """Return the module as the project's formatter has it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout  # noqa: S603


def _is_array(schema: Schema) -> bool:
    """Whether a field takes an array: a digest, or the array written out."""
    return any(each.get("$ref", "").endswith("/Coordinates") for each in schema.get("anyOf", ()))


def _fields(schemas: Schemas) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Yield every field of a spec and where it stands, those of the problem aside."""
    for name, schema in schemas["SolveSpec"]["properties"].items():
        if name == "problem":
            continue
        if name in ("regulariser", "solver"):
            for inner, each in schemas[name.capitalize()]["properties"].items():
                yield (name, inner), each
        else:
            yield (name,), schema


def _arrays(schemas: Schemas) -> Iterator[tuple[str, tuple[str, ...]]]:
    return ((place[-1], place) for place, schema in _fields(schemas) if _is_array(schema))


def _options(schemas: Schemas) -> Iterator[tuple[str, tuple[str, ...]]]:
    return ((place[-1], place) for place, schema in _fields(schemas) if not _is_array(schema))


def _problems(schemas: Schemas) -> Iterator[tuple[str, tuple[str, ...]]]:
    for kind, reference in schemas["SolveSpec"]["properties"]["problem"]["discriminator"]["mapping"].items():
        fields = schemas[reference.rpartition("/")[2]]["properties"]
        yield kind, tuple(name for name in fields if name != "kind")


def _constant(name: str, value: Mapping[str, tuple[str, ...]], kind: str, meaning: str) -> str:
    lines = "".join(f"    {_quoted(key)}: {_tuple(items)},\n" for key, items in value.items())
    return f'{name}: {kind} = {{\n{lines}}}\n"""{meaning[0].upper()}{meaning[1:]}."""\n'


def _tuple(items: tuple[str, ...]) -> str:
    return f"({', '.join(map(_quoted, items))}{',' if len(items) == 1 else ''})"


def read(source: Path = SOURCE) -> str:
    """Return the module that belongs to the committed document."""
    return _formatted(text(json.loads(source.read_text(encoding="utf-8"))))


def write() -> None:
    """Write the models, and the verifier of bundles byte by byte: it compares itself with the one in a bundle."""
    TARGET.write_text(read(), encoding="utf-8")
    VERIFIER.write_bytes(VERIFIER_SOURCE.read_bytes())
    sys.stderr.write(f"wrote {TARGET} and {VERIFIER}\n")


if __name__ == "__main__":
    write()
