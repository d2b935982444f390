"""The sizing table of docs/operations.md, from benchmarks/results: written with every report."""

import json
from pathlib import Path

from benchmarks.marks import between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "operations.md"
MARKS = ("<!-- sizing: begin -->\n", "<!-- sizing: end -->")


def table(results: list[dict]) -> str:
    """Return seconds and memory of newtond's own solves, one benchmark a line."""
    lines = ["| job | machine | seconds | memory, MB |", "|---|---|---|---|"]
    for result in results:
        where = result["machine"]
        machine = f"{where['cpu']}, {where['threads']} threads, {where['date']}"
        lines += [
            f"| {result['title']} | {machine} | {row['seconds']:.2f} | {row['peak_mb']:.0f} |"
            for row in result["results"]
            if row["adapter"] == "newtond" and row["seconds"] is not None
        ]
    return "\n".join(lines) + "\n"


def results() -> list[dict]:
    """Return the results of single instances; families, curves and the service have files of another shape."""
    found = [json.loads(path.read_text()) for path in sorted((ROOT / "benchmarks/results").glob("*.json"))]
    return [result for result in found if "results" in result]


def main() -> None:
    PAGE.write_text(between(PAGE.read_text(), MARKS, table(results())))


if __name__ == "__main__":
    main()
