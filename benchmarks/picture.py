"""The races in one picture: a panel an instance, a bar a solver, seconds on one logarithmic scale for all.

Drawn on a card of its own, so that it reads on a light page and on a dark one.
"""

from math import floor, log10
from pathlib import Path
from textwrap import fill
from typing import Any

from benchmarks.competitor import given_up_after

Result = dict[str, Any]
PATH = Path("docs/images/benchmark.svg")
PEERS, ACROSS = 3, 2
OURS, THEIRS, INK, FAINT, CARD = "#0b5a94", "#aeb6bf", "#1d2126", "#d6d3cb", "#fbfaf7"
CAPTION = f"""Seconds to the answer, on a logarithmic scale: newtond and the {PEERS} fastest peers of each instance,
with the accuracy that each reached. A hatched bar gave no answer in that time. The tables below hold every solver.
"""


def draw(results: dict[str, Result], path: Path = PATH) -> None:
    """Draw the instances that newtond has answered, as SVG whose bytes depend on the results alone."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    known = {f"{each['instance'].upper()}: {each['title']}": racers(each) for each in results.values()}
    titled = {title: race for title, race in known.items() if race}
    races = list(titled.values())
    down = -(-len(races) // ACROSS)
    style = {"svg.hashsalt": "newtond", "font.size": 9, "axes.edgecolor": FAINT, "hatch.color": CARD}
    with mpl.rc_context(style):
        size = (10.5, 0.4 + down * (0.5 + 0.24 * max(map(len, races))))
        figure, grid = plt.subplots(
            down, ACROSS, figsize=size, sharex=True, squeeze=False, layout="constrained", facecolor=CARD
        )
        for plot, (title, race) in zip(grid.flat, titled.items(), strict=False):
            _panel(plot, race, title, span(races))
            plot.set_ylim(max(map(len, races)) - 0.4, -0.6)
        for plot in grid.flat[len(races) :]:
            plot.set_axis_off()
        figure.get_layout_engine().set(h_pad=0.09, w_pad=0.09)
        figure.supxlabel("seconds, logarithmic: shorter is faster", fontsize=9, color=INK)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def racers(result: Result) -> list[Result]:
    """Return newtond's row and those of its fastest peers, the fastest first; none where newtond has no answer."""
    rows = [row for row in result["results"] if taken(row) is not None]
    ours = [row for row in rows if row["adapter"] == "newtond" and row["seconds"]]
    peers = [row for row in rows if not row["adapter"].startswith("newtond")]
    fastest = sorted(peers, key=lambda row: (row["seconds"] is None, taken(row)))[:PEERS]
    return sorted(ours + fastest, key=lambda row: taken(row) or 0.0) if ours else []


def taken(row: Result) -> float | None:
    """Return the seconds to an answer, or those after which it was given up; None of any other failure."""
    return float(row["seconds"]) if row["seconds"] else given_up_after(row["error"])


def span(races: list[list[Result]]) -> tuple[float, float]:
    """Return the axis for all: from the decade below the shortest bar, with room for words right of the longest."""
    times = [taken(row) or 0.0 for race in races for row in race]
    left = 10.0 ** floor(log10(min(times) / 1.5))
    return left, max(times) * (max(times) / left) ** 0.45


def _panel(plot: Any, race: list[Result], title: str, limits: tuple[float, float]) -> None:
    for k, row in enumerate(race):
        ours, seconds = row["adapter"] == "newtond", taken(row) or 0.0
        hatch = None if row["seconds"] else "///"
        plot.barh(
            k, seconds - limits[0], left=limits[0], height=0.72, color=OURS if ours else THEIRS, hatch=hatch
        )
        weight = "bold" if ours else "normal"
        plot.text(seconds * 1.06, k, label(row), va="center", fontsize=8, color=INK, weight=weight)
    plot.set(xscale="log", xlim=limits, facecolor=CARD)
    plot.set_title(fill(title, 58), fontsize=9, loc="left", color=INK)
    plot.set_yticks(range(len(race)), [row["adapter"] for row in race], color=INK)
    plot.xaxis.set_major_formatter("{x:g}")
    plot.tick_params(axis="both", which="both", length=0, labelcolor=INK)
    plot.grid(axis="x", color=FAINT, linewidth=0.7)
    plot.set_axisbelow(True)
    plot.spines[["top", "right", "bottom"]].set_visible(False)


def label(row: Result) -> str:
    """Return what stands at the end of a bar: the seconds and the accuracy reached."""
    if not row["seconds"]:
        return f"> {taken(row):g} s"
    reached = "" if row["accuracy"] is None else f" to {row['accuracy']:.0e}"
    return f"{row['seconds']:.3g} s{reached}"
