"""What the coefficients mean, in words and minutes.

A one-hot design has a null space: a constant can move from one factor to another, and from a carrier to its
aircraft (most aircraft fly for one carrier), without any prediction changing. So no single coefficient means
anything. What does is a contrast: a level against the mean flight, a carrier together with its aircraft.
"""

from collections.abc import Iterator

import flights_table as table
import numpy as np

SHOWN = 3
FEWEST_FLIGHTS = 100


def sentences(flights: table.Flights, coefficients: np.ndarray, fitted: np.ndarray) -> Iterator[str]:
    """Yield the largest effects, and how well the fit predicts."""
    minutes = float(np.mean(fitted))
    error = np.sqrt(np.mean((fitted - flights.air_time) ** 2))
    explained = 1 - error**2 / np.var(flights.air_time)
    yield f"\nThe mean prediction is {minutes:.0f} minutes; its usual error {error:.1f} (R² {explained:.4f})."
    yield "Against the mean flight, all else equal:"
    for factor, (levels, logs, counts) in contrasts(flights, coefficients).items():
        shown = np.flatnonzero(counts >= FEWEST_FLIGHTS)
        order = shown[np.argsort(logs[shown])]
        for level in extremes(order):
            yield f"  {phrase(factor, levels[level])} {change(minutes * np.expm1(logs[level]))}"


def extremes(order: np.ndarray) -> list[int]:
    """Return the last and the first few of an order, longest first."""
    longest, shortest = order[::-1][:SHOWN], order[:SHOWN][::-1]
    return list(dict.fromkeys([*longest.tolist(), *shortest.tolist()]))


def contrasts(
    flights: table.Flights, coefficients: np.ndarray
) -> dict[str, tuple[list[str], np.ndarray, np.ndarray]]:
    """Return for each factor its levels, their effects on log minutes, and how many flights they have."""
    own = flights.split(coefficients)
    per_flight = {factor: own[factor][flights.codes[factor]] for factor in flights.factors}
    per_flight["carrier"] = per_flight["carrier"] + per_flight.pop("aircraft")
    found = {}
    for factor, values in per_flight.items():
        levels, codes = flights.factors[factor], flights.codes[factor]
        counts = np.bincount(codes, minlength=len(levels))
        means = np.bincount(codes, weights=values, minlength=len(levels)) / np.maximum(counts, 1)
        found[factor] = (levels, means - values.mean(), counts)
    return found


def phrase(factor: str, level: str) -> str:
    """Return a level in words."""
    words = {
        "carrier": lambda: f"with {table.airlines().get(level, level)} ({level}) and its aircraft",
        "origin": lambda: f"from {table.places().get(level, level)} ({level})",
        "destination": lambda: f"to {table.places().get(level, level)} ({level})",
        "month": lambda: f"in {MONTHS[int(level) - 1]}",
        "hour": lambda: f"scheduled to leave at {int(level):02d}:00-{int(level):02d}:59",
    }
    return f"{words[factor]():<58}"


def change(minutes: float) -> str:
    """Return a difference in minutes, in words."""
    return f"{abs(minutes):7.1f} min {'longer' if minutes > 0 else 'shorter'}"


MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
