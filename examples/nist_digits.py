"""How many digits of NIST's certified coefficients come back from a least-squares solve over HTTP, and from LAPACK.

``python examples/nist_digits.py`` starts a newtond of its own, ``--url`` takes a running one; it prints the table that
stands in docs/maths/least_squares.md, and what it was made on.
"""

import argparse
import platform
from pathlib import Path
from typing import Any

import calls
import nist_sets as nist
import numpy as np
import scipy

HEAD = (
    "set",
    "newtond",
    "LAPACK QR",
    "LAPACK SVD",
    "exact",
    "newtond against exact",
    "LAPACK QR against exact",
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--url", help="a running newtond; without it, one is started and stopped")
    given = arguments.parse_args()
    with calls.connection(given.url) as client:
        print(line(HEAD), line(["---"] * len(HEAD)), sep="\n")
        for name in nist.SETS:
            A, b, certified = nist.problem(name)
            result = calls.solve(client, {"problem": {"kind": "least_squares"}, "tags": [name]}, A=A, b=b)
            print(row(name, calls.fetch(client, result, "x"), A, b, certified))
        version = calls.checked(client.get("/version")).json()["newtond"]
    print(f"\nnewtond {version}, NumPy {np.__version__}, SciPy {scipy.__version__} with {lapack()}, {cpu()}")


def row(name: str, found: np.ndarray, A: np.ndarray, b: np.ndarray, certified: np.ndarray) -> str:
    """Return a line of the table: correct digits of the worst coefficient, of LAPACK's the better."""
    best, qr, svd = nist.exact(A, b), nist.householder(A, b), nist.singular_values(A, b)
    answers: list[tuple[list[np.ndarray], np.ndarray]] = [
        ([found], certified),
        (qr, certified),
        (svd, certified),
        ([best], certified),
        ([found], best),
        (qr, best),
    ]
    return line([name, *(f"{max(nist.digits(x, truth) for x in xs):.1f}" for xs, truth in answers)])


def line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def lapack() -> str:
    """Return the name and version of the LAPACK that SciPy was built with."""
    about = scipy.show_config(mode="dicts")["Build Dependencies"]["lapack"]
    return f"{about['name']} {about['version']}"


def cpu() -> str:
    """Return the processor's name, as far as the system says it."""
    try:
        told = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        told = []
    names = [text.split(":")[1].strip() for text in told if text.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
