"""What a solve came to: arrays, named coefficients, certificate, trace, predictions, a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond_client import pictures
from newtond_client.canonical import Canonical, canonical
from newtond_client.errors import InvalidInput
from newtond_client.models import Certificate, Job, Result, TraceRecord
from newtond_client.predict import predicted
from newtond_client.tables import Encoding, is_table

SHOWN = 12


class Trace(Mapping[str, NDArray[Any]]):
    """The iterations as columns: ``trace["loss"]``; NaN where an iteration did not measure something."""

    def __init__(self, records: Sequence[TraceRecord]) -> None:
        self.records = list(records)
        names = dict.fromkeys(name for record in records for name in record)
        self._columns = {name: _column([record.get(name) for record in records]) for name in names}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _column(values: list[Any]) -> NDArray[Any]:
    if all(value is None or isinstance(value, int | float) for value in values):
        whole = all(isinstance(value, int) for value in values)
        return np.array(values, dtype=np.int64 if whole else float)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@dataclass(frozen=True)
class Fit:
    """The answer of a job; ``fit["fitted"]`` is one of its arrays, ``fit.x`` the coefficients."""

    job: Job
    result: Result
    arrays: Mapping[str, NDArray[np.float64]]
    trace: Trace
    problem: Mapping[str, Any] | None = None
    encoding: Encoding | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job["id"]

    @property
    def x(self) -> NDArray[np.float64]:
        """The coefficients (d,); of several targets (d, k)."""
        name = "x" if "x" in self.arrays else "X"
        return self.arrays[name]

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self.arrays[name]

    @property
    def intercept(self) -> float | NDArray[np.float64]:
        """The intercept, 0 without one; of several targets (k,)."""
        if "intercepts" in self.arrays:
            return self.arrays["intercepts"]
        return self.result.get("intercept") or 0.0

    @property
    def loss(self) -> float | None:
        return self.result["loss"]

    @property
    def converged(self) -> bool:
        return self.result["converged"]

    @property
    def certificate(self) -> Certificate:
        """What is proven of the answer, recomputed by the server from the uploads."""
        return self.result["certificate"]

    @property
    def warnings(self) -> list[str]:
        return list(dict.fromkeys([*self.job.get("warnings", []), *self.result["warnings"]]))

    @property
    def names(self) -> list[str]:
        """The name of each coefficient, x0, x1, … where the columns have none."""
        given = self.result.get("column_names") or (self.encoding.names() if self.encoding else None)
        return given if given and len(given) == len(self.x) else [f"x{k}" for k in range(len(self.x))]

    @property
    def coefficients(self) -> dict[str, Any]:
        """The coefficients by name, the intercept first if there is one."""
        first = {"(intercept)": self.intercept} if self._has_intercept() else {}
        return first | dict(zip(self.names, self.x.tolist(), strict=True))

    def _has_intercept(self) -> bool:
        return self.result.get("intercept") is not None or "intercepts" in self.arrays

    def predict(self, A: Any, groups: Any = None) -> NDArray[np.float64]:
        """Return the predictions (n,) for new rows; a table is encoded as that of the fit was.

        Raises InvalidInput for other columns, and for kinds without a formula here.
        """
        if self.problem is None:
            raise InvalidInput(f"What {self.id} was asked is not known here; client.predict asks the server.")
        z = self._design(A).dot(self.x) + self.intercept
        return predicted(self.problem, z, groups)

    def _design(self, A: Any) -> Canonical:
        if is_table(A) and self.encoding is None:
            raise InvalidInput("This fit was made from an array, so the columns of a table cannot be told.")
        design = self.encoding.design(A) if self.encoding is not None and is_table(A) else canonical(A, "A")
        if len(design.shape) != 2 or design.shape[1] != len(self.x):
            raise InvalidInput(f"A has the shape {design.shape}; the fit has {len(self.x)} columns.")
        return design

    def plot(self, path: Any = None) -> Any:
        """Return a Matplotlib figure of the loss and the gradient by iteration; write it to ``path`` if given."""
        return pictures.convergence(self, path)

    def summary(self) -> str:
        """Return the answer in a few lines."""
        lines = [
            f"{self.job['kind']} {self.id}: {self.result['termination']} after {self.result['iterations']} iterations",
            f"loss {_number(self.loss)}, |gradient| {_number(self.result['gradient_norm'])}",
            *(f"{name:<24} {_number(value)}" for name, value in self._shown()),
            *self.certificate.get("statements", []),
            *(f"warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)

    __str__ = summary

    def _shown(self) -> list[tuple[str, Any]]:
        """The coefficients, where they are too many the largest."""
        pairs = list(self.coefficients.items())
        if len(pairs) <= SHOWN or self.x.ndim > 1:
            return pairs[:SHOWN]
        largest = sorted(pairs, key=lambda pair: -abs(pair[1]))[:SHOWN]
        return [*largest, (f"… {len(pairs) - SHOWN} more", None)]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(_number(value))}</td></tr>"
            for name, value in self._shown()
        )
        words = "".join(f"<li>{escape(text)}</li>" for text in self.certificate.get("statements", []))
        warned = "".join(f"<li><b>{escape(text)}</b></li>" for text in self.warnings)
        state = "converged" if self.converged else self.result["termination"]
        return (
            f"<div><p><b>{escape(self.job['kind'])}</b> <code>{escape(self.id)}</code>: {escape(state)} after "
            f"{self.result['iterations']} iterations, loss {_number(self.loss)}, "
            f"|gradient| {_number(self.result['gradient_norm'])}</p>"
            f"<table><tr><th>column</th><th>coefficient</th></tr>{rows}</table><ul>{words}{warned}</ul></div>"
        )


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | int):
        return f"{value:.6g}"
    return np.array2string(np.asarray(value), precision=6, threshold=SHOWN)
