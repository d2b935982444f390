"""Stored arrays as the engine takes them: memory-mapped, not copied."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from newtond import engine
from newtond.contract.array import ArrayRole
from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import PROBLEMS
from newtond.contract.solve import SolveSpec
from newtond.engine import Csr, Inputs, Prepared
from newtond.store.arrays import ArrayStore, StoredArray

PREPARED = "prepared-1"
MANY = 100_000


def load(spec: SolveSpec, arrays: ArrayStore) -> Inputs:
    """Map every array of ``spec`` by its name; raises NotFound, and InvalidSpec for one not given by id."""
    roles = PROBLEMS[spec.problem.kind].inputs
    matrices = {name for name, role in roles.items() if len(role.shape) == 2}
    return {name: _map(name, value, arrays, name in matrices) for name, value in spec.arrays().items()}


def load_as(roles: Mapping[str, ArrayRole], ids: Mapping[str, str], arrays: ArrayStore) -> Inputs:
    """Map arrays by name, a matrix or a vector as its role says; raises NotFound."""
    return {name: _map(name, id, arrays, len(roles[name].shape) == 2) for name, id in ids.items()}


def _map(name: str, value: object, arrays: ArrayStore, matrix: bool) -> Csr | NDArray[np.float64]:
    if not isinstance(value, str):
        raise InvalidSpec(f"{name}: a job names its arrays by id")
    stored = arrays.open(value)
    if not matrix:
        return stored.as_vector()
    return _csr(stored, arrays) if stored.format == "csr" else _dense(stored)


def _dense(stored: StoredArray) -> NDArray[np.float64]:
    data = np.asarray(stored.parts["data"])
    return data if data.ndim == 2 else data[:, None]


def _csr(stored: StoredArray, arrays: ArrayStore) -> Csr:
    # asarray drops the memmap subclass, whose every slice costs a Python call.
    indptr, indices, data = (np.asarray(stored.parts[part]) for part in ("indptr", "indices", "data"))
    matrix = Csr(indptr, indices, data, cast(tuple[int, int], stored.shape))
    return replace(matrix, prepared=_prepared(stored.id, matrix, arrays)) if len(data) >= MANY else matrix


def _prepared(id: str, matrix: Csr, arrays: ArrayStore) -> Prepared:
    """Return what was counted of the matrix when it was first solved with, or count it and keep it."""
    kept = arrays.beside(id, PREPARED)
    if kept is not None:
        return Prepared(**kept)
    prepared = engine.prepare(matrix)
    arrays.keep_beside(id, PREPARED, prepared._asdict())
    return prepared
