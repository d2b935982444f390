"""What the shell names: arrays in files, tables with a formula, values of options; and where answers go."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from newtond_client.canonical import Canonical, canonical
from newtond_client.errors import InvalidInput
from newtond_client.formula import Formula
from newtond_client.optional import needed
from newtond_client.sources import MEDIA_TYPES, read_file
from newtond_client.tables import Column, Encoding

TABLES = {".csv": "read_csv", ".parquet": "read_parquet"}


def is_table(path: str) -> bool:
    """Whether a file holds a table of named columns."""
    return Path(path).suffix in TABLES


def read_table(path: str) -> Any:
    """Return a CSV or Parquet file as a DataFrame; raises InvalidInput."""
    reader = getattr(needed("pandas", "to read tables"), TABLES[Path(path).suffix])
    try:
        return reader(path)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: {error}") from error


def array(text: str) -> Any:
    """Return what an argument names: an array id, or a file."""
    return text if text.startswith("sha256:") else Path(text)


def columns(path: str, names: Sequence[str]) -> Canonical:
    """Return the columns of these names, which hold numbers, of a table; raises InvalidInput."""
    return Encoding(tuple(Column(name) for name in names)).design(read_table(path))


def canonical_file(path: str, stem: Path) -> Path:
    """Write the array in a file as .npy or .npz beside ``stem`` and return where; raises InvalidInput."""
    array = canonical(_matrix(path), path)
    target = stem.with_suffix(".npy" if array.format == "dense" else ".npz")
    target.write_bytes(b"".join(array.body()))
    return target


def _matrix(path: str) -> Any:
    source = read_file(Path(path))
    if isinstance(source, Canonical):
        return source
    if source.media_type != MEDIA_TYPES[".mtx"]:
        raise InvalidInput(f"{path}: to be used here it is .mtx, .npz or .npy.")
    return needed("scipy.io", "to read Matrix Market files").mmread(path)


def pair(text: str) -> tuple[str, Any]:
    """Return NAME=VALUE; a value is JSON, else a word. Raises InvalidInput."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InvalidInput(f"{text!r} is not NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def named_array(text: str) -> tuple[str, Any]:
    """Return NAME=FILE; raises InvalidInput."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InvalidInput(f"{text!r} is not NAME=FILE.")
    return name, array(value)


def of_formula(formula: Formula, path: str) -> dict[str, Any]:
    """Return the arrays and options that a formula makes of a table."""
    table = read_table(path)
    encoding: Encoding = formula.encoding(table)
    design = encoding.design(formula.prepared(table))
    options = {"A": design, "b": formula.values(table), "column_names": encoding.names()}
    return options | ({"intercept": True} if formula.intercept else {})


def write_array(values: Any, target: str | None) -> None:
    """Write an array as .npy or, by default and as .csv, as text; to standard output without a target."""
    if target is None:
        np.savetxt(sys.stdout, values, fmt="%.17g", delimiter=",")
    elif target.endswith(".npy"):
        np.save(target, values)
    elif target.endswith(".csv"):
        np.savetxt(target, values, fmt="%.17g", delimiter=",")
    else:
        raise InvalidInput(f"{target}: arrays are written as .npy or .csv.")
