"""``python -m fuzzing``: both campaigns and the page of what came of them; ends in 1 at a finding."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from service.formats.sandbox import kernel_cache

MEMORY = Path("/dev/shm")
"""Files that live for a millisecond need no disk."""


def main() -> int:
    """Run what the arguments ask for; return the exit status."""
    arguments = _arguments()
    # before numba is imported: it reads these once, and checked kernels must not mix with others
    os.environ |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": f"{kernel_cache()}-checked"}
    from fuzzing import child, report, scanner

    text = report.of_scanner(scanner.campaign(arguments.scanner, arguments.seed))
    _keep(text, arguments.report)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        parsed = child.campaign(arguments.child, arguments.seed, Path(directory))
    text += report.of_child(parsed)
    _keep(text, arguments.report)
    print(text)
    return 1 if parsed.findings else 0


def _keep(text: str, page: Path | None) -> None:
    if page:
        page.write_text(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__)
    parser.add_argument("--scanner", type=int, default=10_000_000, help="inputs for the compiled scanners")
    parser.add_argument("--child", type=int, default=100_000, help="inputs for the parsing child")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="also write the page to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
