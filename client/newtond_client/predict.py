"""Predictions from coefficients, by the formulas that ``GET /problems`` lists; nothing is sent."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond_client.errors import InvalidInput

Vector = NDArray[np.float64]
FUNCTIONS: dict[str, Callable[[Vector], Vector]] = {"exp": np.exp, "cosh": np.cosh, "sinh": np.sinh}
KINDS = ("hyperbolic", "least_squares", "softmax")


def predicted(problem: Mapping[str, Any], z: Vector, groups: Any = None) -> Vector:
    """Return what a fit of ``problem`` predicts where its linear predictor is ``z`` (n,).

    Raises InvalidInput for a kind that has no formula here.
    """
    kind = problem["kind"]
    if groups is not None and kind != "softmax":
        raise InvalidInput(f"{kind} has no groups.")
    if kind == "least_squares":
        return z
    if kind == "hyperbolic":
        with np.errstate(over="ignore"):
            return FUNCTIONS[problem["function"]](z)
    if kind == "softmax":
        return shares(z, groups)
    raise InvalidInput(
        f"{kind} is not predicted here, only {', '.join(KINDS)}; client.predict asks the server."
    )


def shares(z: Vector, groups: Any = None) -> Vector:
    """Return exp(z) divided by its sum over each group (all rows unless ``groups`` is given), free of overflow."""
    labels = (
        np.zeros(len(z), dtype=int)
        if groups is None
        else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    if len(labels) != len(z):
        raise InvalidInput(f"There are {len(labels)} groups for {len(z)} rows.")
    highest = np.full(labels.max() + 1, -np.inf)
    np.maximum.at(highest, labels, z)
    u = np.exp(z - highest[labels])
    share: Vector = u / np.bincount(labels, weights=u)[labels]
    return share
