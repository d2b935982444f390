"""SuiteSparseQR, the sparse direct QR, by the package sparseqr; it keeps every column (tolerance 0)."""

import numpy as np
import scipy.sparse as sp

from benchmarks.problem import Instance, Vector

TOLERANCE = "direct"
HOW = "sparseqr is not installed: apt-get install libsuitesparse-dev, then pip install sparseqr"


def takes(instance: Instance) -> bool:
    return instance.link == "identity" and sp.issparse(instance.A)


def solve(instance: Instance, threads: int) -> Vector:
    try:
        import sparseqr
    except ImportError as missing:
        raise RuntimeError(HOW) from missing
    return np.asarray(sparseqr.solve(instance.A.tocoo(), instance.b, tolerance=0))
