"""``python -m drills``: drill, write what came of it, and end in 1 if a promise was broken."""

import argparse
import sys
from pathlib import Path

from drills import drill, report


def main() -> int:
    """Run what the arguments ask for; return the exit status."""
    arguments = _arguments()
    found = drill.run(arguments.seed, arguments.rounds, arguments.jobs, arguments.workers)
    text = report.section(found)
    if arguments.report:
        report.write_section(arguments.report, "drill", text)
    print(text)
    return 1 if any(each.violations or each.late for each in found.rounds) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m drills", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=20, help="jobs a round")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--report", type=Path, help="also write the figures into this page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
