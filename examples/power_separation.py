"""Draw which degrees tell two data sets apart: one row a little larger than 63 equal ones, and no row larger.

The polynomial attention of the larger row is (1 + δ)^β / (63 + (1 + δ)^β); without it every row has 1/64. Run it
as ``python examples/power_separation.py``: it rewrites docs/maths/power.svg.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from newtond.contract.solve import SolveSpec
from newtond.engine.problems import power
from newtond.engine.regression import Regression

FIGURE = Path(__file__).parent.parent / "docs" / "maths" / "power.svg"
ROWS = 64
DEGREES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
STYLES = {0.1: (0, (1, 1)), 0.25: "--", 0.5: "-"}


def weight(degree: int, excess: float) -> float:
    """Return the attention of the one row 1 + excess, as the engine's own loss predicts it."""
    rows = np.ones((ROWS, 1))
    rows[0] += excess
    inputs = {"A": rows, "b": np.full(ROWS, 1.0 / ROWS)}
    request = {"problem": {"kind": "power", "degree": degree}, "A": rows.tolist(), "b": inputs["b"].tolist()}
    spec = SolveSpec.model_validate(request)
    return float(Regression(spec, inputs, power.link(spec), 1).loss.fit(rows[:, 0])[0][0])


def draw() -> None:
    """Write the figure."""
    mpl.rcParams["svg.hashsalt"] = "power"
    figure, axes = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
    for excess, style in STYLES.items():
        heights = [weight(degree, excess) for degree in DEGREES]
        axes.plot(
            DEGREES, heights, marker="o", markersize=3.5, linestyle=style, label=f"one row {1 + excess:g}"
        )
    axes.plot(DEGREES, [weight(degree, 0.0) for degree in DEGREES], color="grey", label="all rows 1")
    axes.set_xscale("log", base=2)
    axes.set_xticks(DEGREES[::2], [str(degree) for degree in DEGREES[::2]])
    axes.set(xlabel="degree β", ylabel="attention of that row", ylim=(0.0, 1.02))
    axes.legend(frameon=False)
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    draw()
