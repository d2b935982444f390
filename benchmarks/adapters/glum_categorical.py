"""glum told of the categories: tabmat's categorical blocks in place of the one-hot columns."""

import numpy as np

from benchmarks.adapters.glum import TOLERANCE, fit
from benchmarks.problem import Instance, Vector

__all__ = ["TOLERANCE", "solve", "takes"]


def takes(instance: Instance) -> bool:
    return bool(instance.codes)


def solve(instance: Instance, threads: int) -> Vector:
    import tabmat

    blocks = [tabmat.CategoricalMatrix(np.asarray(code)) for code in instance.codes.values()]
    return fit(instance, tabmat.SplitMatrix(blocks))
