"""How the examples' figures look."""

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

INK, ACCENT, SECOND = "#22303c", "#0b6e8a", "#d1603d"
STYLE = {
    "figure.figsize": (7.2, 4.8),
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "font.size": 10.5,
    "grid.alpha": 0.25,
}

__all__ = ["ACCENT", "INK", "SECOND", "STYLE", "plt"]
