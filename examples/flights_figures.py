"""The demo's two figures: how the solve converged, and what the fit predicts."""

from pathlib import Path
from typing import Any

import numpy as np
from style import ACCENT, SECOND, STYLE, plt


def convergence(trace: list[dict[str, Any]], path: Path) -> None:
    """Draw the exact gradient's norm and the Newton decrement against the iteration."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        for name, label, colour in (
            ("gradient_norm", "‖gradient‖, exact", ACCENT),
            ("newton_decrement", "Newton decrement", SECOND),
        ):
            points = [(record["iteration"], record[name]) for record in trace if record.get(name)]
            if points:
                axes.semilogy(*zip(*points, strict=True), "o-", color=colour, label=label, markersize=4)
        axes.set(xlabel="iteration", title="Convergence on 327,346 flights")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        figure.savefig(path)
        plt.close(figure)


def fitted(predicted: np.ndarray, observed: np.ndarray, path: Path) -> None:
    """Draw how many flights have each pair of predicted and observed minutes."""
    end = float(max(predicted.max(), observed.max()))
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(figsize=(6.4, 5.6))
        cells = axes.hexbin(
            predicted, observed, gridsize=90, bins="log", cmap="viridis", mincnt=1, linewidths=0.1
        )
        axes.plot([0, end], [0, end], color=SECOND, linewidth=1, label="predicted = observed")
        figure.colorbar(cells, label="flights in a cell (log scale)")
        axes.set(xlabel="predicted air time, minutes", ylabel="observed air time, minutes")
        axes.set(title="Exponential regression of the air time", xlim=(0, end), ylim=(0, end), aspect="equal")
        axes.legend(frameon=False, loc="upper left")
        figure.savefig(path)
        plt.close(figure)
