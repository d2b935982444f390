"""The command ``newtond``: everything on one machine, or one part of it."""

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import NoReturn

from pydantic import ValidationError

from newtond import __version__
from newtond.contract.errors import SetupError

DESCRIPTION = """\
newtond solves regressions over HTTP, by sketching and approximate Newton.

  newtond up                            everything on this machine: Valkey, API, one worker
  newtond up --workers 2 --port 9000    two workers, another port
  newtond service                       the API alone (needs NEWTOND_REDIS_URL)
  newtond worker                        one worker alone (needs NEWTOND_REDIS_URL)

With the server up:

  curl -s localhost:8000/problems                       what it solves, each with an example to send
  curl -s localhost:8000/solve -H 'Prefer: wait=30' -H 'Content-Type: application/json' \\
       -d '{"problem": {"kind": "hyperbolic", "function": "exp"},
            "A": [[0, 1], [1, 1], [2, 1], [3, 1]], "b": [1.1, 2.6, 7.5, 20.1]}'
"""

SETTINGS: dict[str, str] = {}

FLAGS = {
    "host": ("HOST", "address the API listens on (127.0.0.1)"),
    "port": ("PORT", "port the API listens on (8000; 0 takes a free one)"),
    "data-dir": ("DIR", "where arrays and jobs are kept (./newtond-data)"),
    "redis-url": ("URL", "a Valkey or Redis to use: redis://host:port/0, rediss://, unix:///path"),
    "workers": ("N", "worker processes, one solve each at a time (1)"),
    "threads": ("N", "threads of each worker (its share of the cores)"),
}
COMMANDS = {
    "up": ("run everything on this machine until Ctrl-C", tuple(FLAGS)),
    "service": ("run the API alone", ("host", "port", "data-dir", "redis-url")),
    "worker": ("run one worker alone", ("data-dir", "redis-url", "threads")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; flags win over NEWTOND_* settings."""
    options = vars(parser().parse_args(arguments))
    command = options.pop("command")
    os.environ.update(
        {f"NEWTOND_{name.upper()}": value for name, value in options.items() if value is not None}
    )
    if command != "up":
        become(command)
    return up()


def up() -> int:
    """Run everything on this machine; 1 when it cannot start, 2 when a setting is wrong."""
    from newtond.supervisor import UpSettings, run  # so that --help and --version answer at once

    try:
        run(UpSettings(), say=lambda line: print(line, flush=True))
    except SetupError as error:
        print(f"newtond: {error.detail}", file=sys.stderr)
        return 1
    except ValidationError as error:
        for flaw in error.errors(include_url=False):
            print(f"newtond: NEWTOND_{str(flaw['loc'][0]).upper()}: {flaw['msg']}", file=sys.stderr)
        return 2
    return 0


def become(module: str) -> NoReturn:
    """Replace this process by a package that is started by its name."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606 (our own module)


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command and flag."""
    layout = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        "newtond", description=DESCRIPTION, epilog=settings_help(), formatter_class=layout
    )
    top.add_argument("--version", action="version", version=f"newtond {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (purpose, flags) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose, formatter_class=layout)
        for flag in flags:
            metavar, meaning = FLAGS[flag]
            command.add_argument(f"--{flag}", metavar=metavar, help=f"{meaning} [NEWTOND_{variable(flag)}]")
    return top


def variable(flag: str) -> str:
    """Return the setting of a flag: data-dir is DATA_DIR."""
    return flag.replace("-", "_").upper()


def settings_help() -> str:
    """Return the list of settings, in words."""
    known = {variable(flag): meaning for flag, (_, meaning) in FLAGS.items()} | SETTINGS
    lines = (f"  NEWTOND_{name:<24} {meaning}" for name, meaning in known.items())
    return textwrap.dedent("settings (environment; a flag wins):\n") + "\n".join(lines)
