"""Tables as design matrices: numbers as they are, categories one-hot, every column by name.

An ``Encoding`` remembers the levels, so that a new table is encoded as the first one was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond_client.canonical import Canonical, canonical, csr
from newtond_client.errors import InvalidInput


def is_table(value: Any) -> bool:
    """Whether ``value`` is a DataFrame of pandas."""
    return hasattr(value, "columns") and hasattr(value, "iloc")


@dataclass(frozen=True)
class Column:
    """One column of a table: a number a row, or one of ``levels`` of which the first may be left out."""

    name: str
    levels: tuple[str, ...] | None = None
    reduced: bool = False

    def names(self) -> list[str]:
        """Return the name of each column of the design that this one becomes."""
        if self.levels is None:
            return [self.name]
        return [f"{self.name}={level}" for level in self.levels[int(self.reduced) :]]

    def numbers(self, table: Any) -> NDArray[np.float64]:
        """Return the column's values (n,); raises InvalidInput where one is missing."""
        values = column_of(table, self.name)
        numbers = np.asarray(values.to_numpy(dtype=float, na_value=np.nan))
        self._refuse(~np.isfinite(numbers), "is missing or not finite")
        return numbers

    def codes(self, table: Any) -> NDArray[np.int64]:
        """Return the design column of each row (n,), -1 for the level left out; raises InvalidInput."""
        rows, found = column_of(table, self.name).factorize()
        self._refuse(rows < 0, "is missing")
        place = {level: code for code, level in enumerate(self.levels or ())}
        codes = np.array([place.get(str(level), -1) for level in found], dtype=np.int64)[rows]
        self._refuse(codes < 0, f"is none of the {len(place)} levels known")
        return codes - int(self.reduced)

    def _refuse(self, bad: NDArray[np.bool_], why: str) -> None:
        if bad.any():
            raise InvalidInput(f"Column {self.name}: row {int(np.argmax(bad))} {why}.")


def column_of(table: Any, name: str) -> Any:
    """Return the column (a Series) of this name; raises InvalidInput, saying which there are."""
    found = [column for column in table.columns if str(column) == name]
    if len(found) != 1:
        known = ", ".join(map(str, table.columns[:20]))
        raise InvalidInput(
            f"There is {'no' if not found else 'more than one'} column {name}; there are: {known}."
        )
    return table[found[0]]


def is_categorical(series: Any) -> bool:
    """Whether a column is one of levels: a categorical, or text."""
    return (
        hasattr(series, "cat")
        or series.dtype.kind in "OSU"
        or str(series.dtype).startswith(("str", "string"))
    )


def levels_of(series: Any) -> tuple[str, ...]:
    """Return the levels of a column in their order: a categorical's own, else sorted."""
    if hasattr(series, "cat"):
        return tuple(str(level) for level in series.cat.categories)
    return tuple(str(level) for level in sorted(series.dropna().unique()))


@dataclass(frozen=True)
class Encoding:
    """How the columns of a table become those of a design matrix."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: Any) -> "Encoding":
        """Return the encoding of every column, with all levels of the categories."""
        names = [str(column) for column in table.columns]
        return cls(tuple(_column(column_of(table, name), name) for name in names))

    def names(self) -> list[str]:
        """Return the name of each column of the design."""
        return [name for column in self.columns for name in column.names()]

    def design(self, table: Any) -> Canonical:
        """Return the design matrix (n, d) of a table: dense without categories, else sparse."""
        if not len(table):
            raise InvalidInput("The table has no rows.")
        if all(column.levels is None for column in self.columns):
            return canonical(np.column_stack([column.numbers(table) for column in self.columns]), "table")
        return self._sparse(table, len(table))

    def _sparse(self, table: Any, rows: int) -> Canonical:
        blocks = list(self._blocks(table))
        places = np.column_stack([place for place, _ in blocks])
        values = np.column_stack([value for _, value in blocks])
        kept = values != 0
        indptr = np.concatenate(([0], np.cumsum(kept.sum(axis=1))))
        return csr((rows, len(self.names())), indptr, places[kept], values[kept], "table")

    def _blocks(self, table: Any) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Yield for each column where its entry of each row stands and what it is; 0 where there is none."""
        first = 0
        for column in self.columns:
            if column.levels is None:
                values = column.numbers(table)
                yield np.full(len(values), first), values
            else:
                codes = column.codes(table)
                yield first + np.maximum(codes, 0), (codes >= 0).astype(float)
            first += len(column.names())


def _column(series: Any, name: str) -> Column:
    return Column(name, levels_of(series)) if is_categorical(series) else Column(name)


def check_names(names: Sequence[str]) -> None:
    """Raise InvalidInput where a name comes twice: coefficients are told apart by them."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInput(f"Two columns of the design have the name {name}.")
        seen.add(name)
