"""The bars that newtond is to reach, each judged from the results: a ratio, a count, a size."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.competitor import given_up_after

Result = dict[str, Any]
Results = dict[str, Result]
DENSE_ARRAYS, VECTORS = 4, 12


class Bar(NamedTuple):
    """What was asked of an instance, what was reached and whether that is enough (None: not measured)."""

    of: str
    asked: str
    reached: str
    met: bool | None


def judged(results: Results) -> Iterator[Bar]:
    """Yield every bar."""
    for name, peer, times in RATIOS:
        yield _ratio(results.get(name), name, peer, times)
    for name, most in FULL_PASSES.items():
        yield _passes(results.get(name), name, most)
    for name, most in PASSES_TIME.items():
        yield _time(results.get(name), name, most)
    if "a" in results and "a2" in results:
        yield _as_many(results)
    for name in FIXED:
        yield _fixed(results.get(name), name)
    for name in FULL_PASSES:
        yield _accuracy(results.get(name), name)
        yield _memory(results.get(name), name)
    yield _of_x(results.get("e_spectrum"))
    if "curves" in results:
        yield from _scaling(results["curves"])
    if "service" in results:
        yield from _service(results["service"])


RATIOS = (
    ("a", "scipy_lbfgsb", 5.0),
    ("a2", "sklearn_newton_cholesky", 80.0),
    ("b", "scipy_lbfgsb", 3.0),
    ("c", "", 4.0),
    ("f", "glum_categorical", 30.0),
    ("e_spectrum", "suitesparseqr", 50.0),
    ("e_scaled", "scipy_lsmr_scaled", 1.0),
)
"""Instance, peer ('' is the fastest) and how many times its time is to be ours."""
FULL_PASSES = {"a": 8, "b": 10, "c": 8}
PASSES_TIME = {"a": 10, "b": 20}
FIXED = ("a", "b", "b_correlated", "b_zipf", "b_unit", "c")
WITHIN = 1.25
GOAL = 1e-10


def _row(result: Result | None, adapter: str) -> Result | None:
    rows = result["results"] if result else []
    return next((row for row in rows if row["adapter"] == adapter and row["seconds"]), None)


def _ratio(result: Result | None, name: str, peer: str, times: float) -> Bar:
    asked = f"≥ {times:g} × faster than {peer or 'the fastest peer'}"
    ours = _row(result, "newtond")
    theirs = _row(result, peer) if peer else _fastest(result)
    if ours is None:
        return Bar(name, asked, "–", None)
    if theirs is None:
        return _no_answer(result, name, asked, peer, times, ours)
    ratio = theirs["seconds"] / ours["seconds"]
    return Bar(name, asked, f"{ratio:.1f} × ({theirs['adapter']})", ratio >= times)


def _no_answer(result: Result | None, name: str, asked: str, peer: str, times: float, ours: Result) -> Bar:
    """Judge by the time after which a peer was given up, where that alone is enough."""
    rows = result["results"] if result else []
    words = next((row["error"] or "" for row in rows if row["adapter"] == peer), "")
    if (seconds := given_up_after(words)) is None:
        return Bar(name, asked, words or "–", None)
    least = seconds / ours["seconds"]
    return Bar(name, asked, f"> {least:.1f} × ({words})", True if least >= times else None)


def _fastest(result: Result | None) -> Result | None:
    rows = [row for row in result["results"] if row["seconds"]] if result else []
    peers = [row for row in rows if not row["adapter"].startswith("newtond") and row["accuracy"]]
    good = [row for row in peers if row["accuracy"] <= 1e-7]
    return min(good, key=lambda row: row["seconds"], default=None)


def _passes(result: Result | None, name: str, most: int) -> Bar:
    asked, ours = f"≤ {most} full passes", _row(result, "newtond")
    if ours is None:
        return Bar(name, asked, "–", None)
    count = ours["operations"]["passes"]
    return Bar(name, asked, str(count), count <= most)


def _time(result: Result | None, name: str, most: int) -> Bar:
    asked, ours = f"≤ {most} passes' time", _row(result, "newtond")
    if ours is None:
        return Bar(name, asked, "–", None)
    passes = ours["seconds"] / ours["pass_seconds"]
    return Bar(name, asked, f"{passes:.1f}", passes <= most)


def _as_many(results: Results) -> Bar:
    counts = [_row(results[name], "newtond") for name in ("a", "a2")]
    known = [row["operations"]["passes"] for row in counts if row is not None]
    met = None if len(known) < 2 else known[1] <= known[0]
    return Bar("a2", "as many passes as A", " against ".join(str(k) for k in reversed(known)), met)


def _fixed(result: Result | None, name: str) -> Bar:
    asked = "within 25 % of the best fixed choice"
    ours = _row(result, "newtond")
    fixed = [row for row in (_row(result, f"newtond_{h}") for h in ("exact", "sketch")) if row is not None]
    if ours is None or not fixed:
        return Bar(name, asked, "–", None)
    best = min(fixed, key=lambda row: row["seconds"])
    ratio = ours["seconds"] / best["seconds"]
    return Bar(name, asked, f"{ratio:.2f} × {best['adapter']}", ratio <= WITHIN)


def _accuracy(result: Result | None, name: str) -> Bar:
    asked, ours = f"a relative gradient of {GOAL:g}", _row(result, "newtond")
    if ours is None:
        return Bar(name, asked, "–", None)
    return Bar(name, asked, f"{ours['accuracy']:.0e}", ours["accuracy"] <= GOAL)


def _memory(result: Result | None, name: str) -> Bar:
    asked = f"peak ≤ 1.5 × A + {DENSE_ARRAYS} d² + {VECTORS} n doubles"
    ours = _row(result, "newtond")
    if result is None or ours is None:
        return Bar(name, asked, "–", None)
    size, n, d = result["bytes"], result["rows"], result["columns"]
    allowed = (1.5 * size + 8.0 * (DENSE_ARRAYS * d * d + VECTORS * n)) / 2**20
    peak = size / 2**20 + ours["peak_mb"]
    return Bar(name, asked, f"{peak:.0f} MB of {allowed:.0f}", peak <= allowed)


def _of_x(result: Result | None) -> Bar:
    asked, ours = "x within 1e-6 of QR's, backward error as small as SuiteSparseQR's", _row(result, "newtond")
    theirs = _row(result, "suitesparseqr")
    if ours is None or theirs is None:
        return Bar("e_spectrum", asked, "–", None)
    errors = [row["backward_error"] for row in (ours, theirs)]
    reached = f"{ours['accuracy']:.0e}; {errors[0]:.0e} against {errors[1]:.0e}"
    met = ours["accuracy"] <= 1e-6 and errors[0] <= max(errors[1], 2.0**-52)
    return Bar("e_spectrum", asked, reached, met)


def _scaling(curves: Result) -> Iterator[Bar]:
    ratios = curves["doublings"]
    words = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    met = all(1.8 <= ratio <= 2.2 for ratio in ratios)
    yield Bar("scaling", f"doubling n costs 1.8–2.2 × up to n = {curves['most_rows']:.0e}", words, met)


def _service(service: Result) -> Iterator[Bar]:
    overhead = 1e3 * service["overhead"]["median_seconds"]
    yield Bar(
        "service", "POST to finished ≤ 150 ms over the bare solve", f"{overhead:.0f} ms", overhead <= 150.0
    )
