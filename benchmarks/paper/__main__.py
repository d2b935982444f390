"""``python -m benchmarks.paper``: writes docs/paper.md with its three tables, and the plots beside it."""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.paper.studies import (
    iterations_against_accuracy,
    rate_against_distortion,
    time_against_nonzeros,
)

mpl.use("Agg")

ROWS = [100, 200, 400, 800, 1_600, 3_200]
SIZES = [25_000, 50_000, 100_000, 200_000, 400_000, 800_000]
HEAD = """# The papers' claims, measured

Written by `python -m benchmarks.paper`. The iteration is the papers' own (`solver.hessian: "paper"`): a
leverage-score sample of the rows stands in for the Hessian, steps are whole. The problem is exponential
regression, sparse, made convex by `regulariser.weights: "convex"` with a margin.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper")
    parser.add_argument("--output", type=Path, default=Path("docs"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    accuracy = iterations_against_accuracy(ROWS)
    rates = rate_against_distortion(ROWS)
    times = time_against_nonzeros(SIZES)
    slope = float(np.polyfit(np.log([t["nnz"] for t in times]), np.log([t["seconds"] for t in times]), 1)[0])
    plot(accuracy, rates, times, slope, options.output / "paper.png")
    (options.output / "paper.md").write_text(page(accuracy, rates, times, slope))


def page(accuracy: list[dict], rates: list[dict], times: list[dict], slope: float) -> str:
    """Return the page."""
    digits = range(2, 13, 2)
    lines = [
        HEAD,
        "![Three plots: iterations, rate, time](paper.png)",
        "",
        "## Iterations against log(1/ε)",
        "",
    ]
    lines += [
        "Iterations until ‖x − x*‖_H has fallen by 10⁻ᵏ (n = 20,000, d = 20), for several sample sizes. They grow",
        "in a straight line with the digits, as claimed; more rows give fewer iterations a digit.",
        "",
        "| rows sampled | " + " | ".join(f"10⁻{k}" for k in digits) + " | iterations a digit |",
        "|---|" + "---|" * (len(digits) + 1),
    ]
    lines += [
        f"| {t['rows']} | "
        + " | ".join(str(t["iterations"].get(k, "–")) for k in digits)
        + f" | {t['iterations_a_digit']:.2f} |"
        for t in accuracy
    ]
    lines += ["", "## Rate against the sample's distortion", ""]
    lines += [
        "ε₀ is the measured distortion at x*: the spectrum of H̃ relative to H lies in [1 − ε₀, 1 + ε₀] (median",
        "of 10 draws). The theory's bound on the rate is ε₀/(1 − ε₀); the iteration does better.",
        "",
        "| rows sampled | ε₀ | rate a step | ε₀/(1 − ε₀) |",
        "|---|---|---|---|",
    ]
    lines += [f"| {t['rows']} | {t['distortion']:.2f} | {t['rate']:.3f} | {t['bound']:.2f} |" for t in rates]
    lines += ["", "## Time of an iteration against nnz(A)", ""]
    lines += [
        f"d = 50, 10 entries a row, 4,000 rows sampled. Slope of log time against log nnz: {slope:.2f}.",
        "",
        "| n | nnz(A) | seconds an iteration |",
        "|---|---|---|",
    ]
    lines += [f"| {t['n']:,} | {t['nnz']:,} | {t['seconds']:.4f} |" for t in times]
    return "\n".join(lines) + "\n"


def plot(accuracy: list[dict], rates: list[dict], times: list[dict], slope: float, path: Path) -> None:
    """Draw the three studies side by side."""
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.2), constrained_layout=True)
    for row in accuracy:
        left.plot(
            list(row["iterations"]), list(row["iterations"].values()), "o-", label=f"{row['rows']:,} rows"
        )
    left.set(xlabel="digits gained, log₁₀(1/ε)", ylabel="iterations", title="Iterations against accuracy")
    left.legend(title="sampled", fontsize=8)
    known = [row for row in rates if np.isfinite(row["bound"])]
    epsilon = [row["distortion"] for row in known]
    middle.plot(epsilon, [row["bound"] for row in known], "--", color="gray", label="bound ε₀/(1 − ε₀)")
    middle.plot([r["distortion"] for r in rates], [r["rate"] for r in rates], "o-", label="measured")
    middle.set(xlabel="distortion ε₀ of the sample", ylabel="error ratio a step", yscale="log", title="Rate")
    middle.legend()
    nonzeros = np.array([row["nnz"] for row in times])
    right.loglog(nonzeros, [row["seconds"] for row in times], "o-", label=f"measured, slope {slope:.2f}")
    right.loglog(
        nonzeros, times[-1]["seconds"] * nonzeros / nonzeros[-1], "--", color="gray", label="slope 1"
    )
    right.set(xlabel="nnz(A)", ylabel="seconds an iteration", title="Cost of an iteration")
    right.legend()
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
