"""SciPy's LSMR on columns scaled to norm 1, as a careful user would."""

import numpy as np
import scipy.sparse as sp

from benchmarks.adapters import scipy_lsmr
from benchmarks.adapters.scipy_lsmr import TOLERANCE, takes
from benchmarks.problem import Instance, Vector

__all__ = ["TOLERANCE", "solve", "takes"]


def solve(instance: Instance, threads: int) -> Vector:
    A = instance.A
    scale = 1.0 / np.sqrt(np.asarray((A * A).sum(axis=0)).ravel())
    return scale * scipy_lsmr.fit(sp.csr_array(A @ sp.diags_array(scale)), instance.b)
