"""Whether the arrays of a spec fit each other: their shapes bind the symbols n, d, … and must agree."""

from collections.abc import Iterable, Iterator, Mapping

from newtond.contract.array import ArrayRole
from newtond.contract.errors import InvalidSpec
from newtond.contract.solve import ARRAY_POINTERS, SolveSpec, array_roles

Shape = tuple[int, ...]
Bound = dict[str, tuple[int, str]]
DIMENSIONS = {0: "rows", 1: "columns"}


def check_shapes(spec: SolveSpec, shapes: Mapping[str, Shape]) -> None:
    """Raise InvalidSpec, with a pointer, at the first array whose shape contradicts those before it."""
    roles, same = array_roles(spec.problem.kind), spec.problem.same_lengths(shapes.keys())
    bound: Bound = {}
    for name, shape in shapes.items():
        extra = int(name == "warm_start" and spec.intercept)
        _bind(bound, name, _lengths(name, roles[name], shape, extra), same)
    _check_names(spec, bound)


def check_rows(
    spec: SolveSpec, rows: Mapping[str, Shape], known: Iterable[tuple[str, ArrayRole, Shape]]
) -> None:
    """Raise InvalidSpec, with a pointer, at the first of new rows that fit no other or not what is ``known``.

    ``known`` are arrays of the solve, with the words to name each by.
    """
    form, same = spec.problem.prediction, spec.problem.same_lengths(rows.keys())
    assert form is not None
    bound: Bound = {}
    for said, role, shape in known:
        for symbol, length, words in _lengths(said, role, shape, 0):
            bound.setdefault(_first_of(symbol, same), (length, words))
    for name, shape in rows.items():
        _bind(bound, name, _lengths(name, form.arrays[name], shape, 0), same)


def _bind(bound: Bound, name: str, lengths: Iterable[tuple[str, int, str]], same: Mapping[str, str]) -> None:
    for symbol, length, said in lengths:
        known, whose = bound.setdefault(_first_of(symbol, same), (length, said))
        if length != known:
            raise InvalidSpec(f"{said}, but {whose}.", source={"pointer": ARRAY_POINTERS[name]})


def _first_of(symbol: str, same: Mapping[str, str]) -> str:
    """Return the symbol that all its equals are known by."""
    return _first_of(same[symbol], same) if symbol in same else symbol


def _lengths(name: str, role: ArrayRole, shape: Shape, extra: int) -> Iterator[tuple[str, int, str]]:
    """Yield each symbol's length and the words for it; ``extra`` entries, an intercept's, do not count.

    A vector that stands for a matrix is its one column: a file format may have no way to say which it is.
    """
    if len(role.shape) == 1:
        said = f"{name} has length {max(shape)}" + (", its intercept included" if extra else "")
        yield role.shape[0], _vector_length(name, shape) - extra, said
        return
    column = shape if len(shape) == 2 else (*shape, 1)
    for axis, (symbol, length) in enumerate(zip(role.shape, column, strict=True)):
        yield symbol, length, f"{name} has {length} {DIMENSIONS[axis]}"


def _vector_length(name: str, shape: Shape) -> int:
    """A vector may come as one row or one column."""
    if len(shape) == 2 and 1 not in shape:
        detail = f"{name} is a vector; this is a matrix, {shape[0]} by {shape[1]}."
        raise InvalidSpec(detail, source={"pointer": ARRAY_POINTERS[name]})
    return max(shape)


def _check_names(spec: SolveSpec, bound: Mapping[str, tuple[int, str]]) -> None:
    if spec.column_names is None or "d" not in bound:
        return
    given, (columns, whose) = len(spec.column_names), bound["d"]
    if given != columns:
        raise InvalidSpec(
            f"There are {given} column names, but {whose}.", source={"pointer": "/column_names"}
        )
