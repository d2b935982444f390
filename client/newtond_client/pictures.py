"""The picture of a fit: how loss and gradient fell."""

from typing import TYPE_CHECKING, Any

import numpy as np

from newtond_client.optional import needed

if TYPE_CHECKING:
    from newtond_client.fit import Fit

LOSS, GRADIENT = "#0b62a4", "#c0392b"


def convergence(fit: "Fit", path: Any = None) -> Any:
    """Return a figure with the loss above its least value, and the gradient's norm, by iteration; both log."""
    figure = needed("matplotlib.figure", "to plot a fit").Figure(figsize=(7.0, 5.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    steps = fit.trace["iteration"]
    best = float(np.nanmin(fit.trace["loss"]))
    _draw(upper, steps, fit.trace["loss"] - best, LOSS, f"loss − {best:.6g}")
    _draw(lower, steps, fit.trace["gradient_norm"], GRADIENT, "‖gradient‖")
    lower.set_xlabel("iteration")
    lower.xaxis.get_major_locator().set_params(integer=True)
    upper.set_title(
        f"{fit.job['kind']}: {fit.result['termination']} after {fit.result['iterations']} iterations"
    )
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _draw(axes: Any, steps: Any, values: Any, colour: str, label: str) -> None:
    """Draw the positive values; a log scale has no place for the others."""
    axes.plot(steps, np.where(values > 0, values, np.nan), marker="o", markersize=3, color=colour)
    axes.set_yscale("log")
    axes.set_ylabel(label)
    axes.grid(visible=True, alpha=0.3)
