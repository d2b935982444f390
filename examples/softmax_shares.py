"""Which cars America bought: shares of each model year by softmax regression, over HTTP, by held-out years.

2,217 cars of the model years 1971-1990 (the table of Berry, Levinsohn and Pakes, as pyblp ships it) and what share of
that year's car sales each had. A year is a group: shares add up to 1 in it, and years share nothing but x. Each year in
turn is predicted from the other nineteen. ``python examples/softmax_shares.py`` starts a newtond of its own; ``--url``
takes a running one.
"""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import calls
import httpx
import numpy as np
import pandas as pd
from style import ACCENT, INK, SECOND, STYLE, plt

MEASURES = {
    "prices": "price",
    "hpwt": "horsepower per weight",
    "space": "length × width",
    "mpd": "miles per dollar",
}
EQUAL, MAKER, LOGARITHMS, SOFTMAX = "equal shares", "maker's mean", "logarithms", "softmax"
RULES = {
    EQUAL: "equal shares",
    MAKER: "the maker's mean share in the other years",
    LOGARITHMS: "least squares on logarithms of shares",
    SOFTMAX: "softmax regression",
}
LINES = {EQUAL: (INK, ":"), MAKER: (INK, "--"), LOGARITHMS: (ACCENT, "-"), SOFTMAX: (SECOND, "-")}


@dataclass(frozen=True)
class Cars:
    """The design (n × d) with its column names, and the year, maker and share of each car."""

    design: np.ndarray
    names: list[str]
    year: np.ndarray
    maker: np.ndarray
    share: np.ndarray

    def only(self, kept: np.ndarray) -> "Cars":
        """Return some of the cars."""
        return Cars(self.design[kept], self.names, self.year[kept], self.maker[kept], self.share[kept])


def main() -> None:
    given = calls.arguments(__doc__, "softmax_shares.png")
    cars = read()
    years = np.unique(cars.year)
    print(
        f"{len(cars.share):,} cars, {cars.design.shape[1]} columns, {len(years)} years ({years[0]}-{years[-1]})"
    )
    with calls.connection(given.url) as client:
        predicted = predict_years(client, cars)
        say_errors(cars, predicted)
        say_effects(client, cars)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    draw(cars, predicted, given.output)
    print(f"The figure is {given.output}")


def read() -> Cars:
    """Return the table that pyblp ships, read where it is installed, without running pyblp."""
    package = find_spec("pyblp")
    if package is None or package.origin is None:
        sys.exit("The table of cars comes with the package pyblp: pip install --no-deps pyblp")
    table = pd.read_csv(Path(package.origin).parent / "data" / "blp_products.csv")
    logarithms = np.log(table[list(MEASURES)].to_numpy(float))
    makers = pd.get_dummies(table.firm_ids, dtype=float)
    names = [*MEASURES, "air conditioning", *(f"maker {maker}" for maker in makers.columns)]
    share = (table.shares / table.groupby("market_ids").shares.transform("sum")).to_numpy(float)
    design = np.column_stack([logarithms, table.air, makers])
    return Cars(design, names, table.market_ids.to_numpy(), table.firm_ids.to_numpy(), share)


def predict_years(client: httpx.Client, cars: Cars) -> dict[str, np.ndarray]:
    """Predict the shares of every year from the other years, by each rule."""
    predicted = {rule: np.empty(len(cars.share)) for rule in RULES}
    for year in np.unique(cars.year):
        held = cars.year == year
        for rule, scores in scores_of(client, cars.only(~held), cars.only(held)).items():
            predicted[rule][held] = scores / scores.sum()
    return predicted


def scores_of(client: httpx.Client, known: Cars, asked: Cars) -> dict[str, np.ndarray]:
    """Return for each rule what the shares of one year's cars are proportional to."""
    weight = {maker: known.share[known.maker == maker].mean() for maker in np.unique(known.maker)}
    coefficients = {SOFTMAX: fit(client, known)[0], LOGARITHMS: fit_logarithms(known)}
    return {
        EQUAL: np.ones(len(asked.share)),
        MAKER: np.array([weight.get(maker, known.share.mean()) for maker in asked.maker]),
        **{rule: np.exp(asked.design @ x) for rule, x in coefficients.items()},
    }


def fit(client: httpx.Client, cars: Cars) -> tuple[np.ndarray, dict]:
    """Solve the softmax regression in groups of years on the server; return x and the result."""
    body = {"problem": {"kind": "softmax"}, "column_names": cars.names, "tags": ["softmax_shares"]}
    result = calls.solve(client, body, A=cars.design, b=cars.share, groups=cars.year.astype(float))
    return calls.fetch(client, result, "x"), result


def fit_logarithms(cars: Cars) -> np.ndarray:
    """Return the coefficients of log share on the design and a constant for each year."""
    years = (cars.year[:, None] == np.unique(cars.year)).astype(float)
    return np.linalg.lstsq(np.hstack([cars.design, years]), np.log(cars.share))[0][: len(cars.names)]


def misplaced(cars: Cars, shares: np.ndarray) -> np.ndarray:
    """Return for each year the part of the buyers that a prediction sends to the wrong car."""
    wrong = 0.5 * np.abs(shares - cars.share)
    return np.array([wrong[cars.year == year].sum() for year in np.unique(cars.year)])


def say_errors(cars: Cars, predicted: dict[str, np.ndarray]) -> None:
    """Print the held-out errors of every rule."""
    print(
        "\nheld-out years                               buyers sent to the wrong car    root mean square error"
    )
    for rule, shares in predicted.items():
        error = 100 * np.sqrt(np.mean((shares - cars.share) ** 2))
        print(f"  {RULES[rule]:<44} {100 * misplaced(cars, shares).mean():>25.1f} % {error:>23.3f} points")


def say_effects(client: httpx.Client, cars: Cars) -> None:
    """Print what a fit to all years says of a car against another of the same maker and year."""
    x, result = fit(client, cars)
    print(f"\nAll years together: {result['iterations']} iterations, {result['certificate']['curvature']}.")
    print("Of two cars of one maker and year, alike but for one thing, the one with")
    for name, effect in zip(MEASURES, x, strict=False):
        print(f"  10 % more {MEASURES[name]:<24} sells {describe(1.1**effect)}")
    print(f"  air conditioning as standard       sells {describe(np.exp(x[len(MEASURES)]))}")
    for warning in result["warnings"]:
        print(f"newtond warns: {warning}")


def describe(factor: float) -> str:
    return f"{100 * abs(factor - 1):.0f} % {'more' if factor > 1 else 'less'}"


def draw(cars: Cars, predicted: dict[str, np.ndarray], path: Path) -> None:
    """Draw the held-out shares against the true ones, and the error of each year."""
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.8))
        draw_shares(left, 100 * cars.share, 100 * predicted[SOFTMAX])
        years = np.unique(cars.year)
        for rule, (colour, line) in LINES.items():
            right.plot(years, 100 * misplaced(cars, predicted[rule]), line, color=colour, label=RULES[rule])
        right.set(xlabel="held-out model year", ylabel="buyers sent to the wrong car, %", ylim=(0, None))
        right.set_title("Every year predicted from the others")
        right.xaxis.get_major_locator().set_params(integer=True)
        right.legend(frameon=False, loc="lower left")
        figure.savefig(path)
        plt.close(figure)


def draw_shares(axes: plt.Axes, true: np.ndarray, predicted: np.ndarray) -> None:
    ends = (0.8 * min(true.min(), predicted.min()), 1.2 * max(true.max(), predicted.max()))
    axes.loglog(true, predicted, ".", color=INK, markersize=3, alpha=0.35)
    axes.plot(ends, ends, color=SECOND, linewidth=1)
    axes.set(
        xlim=ends, ylim=ends, xlabel="share of the year's sales, %", ylabel="predicted while held out, %"
    )
    axes.set_title("Softmax regression of shares")


if __name__ == "__main__":
    main()
