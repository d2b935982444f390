"""The command ``newtond``: everything on one machine, or one part of it."""

import argparse
import os
import sys
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

FLAGS = {
    "host": ("HOST", "127.0.0.1", "address the API listens on"),
    "port": ("PORT", "8000", "port the API listens on; `up` takes a free one for 0"),
    "data-dir": ("DIR", "newtond-data", "where arrays and jobs are kept"),
    "redis-url": (
        "URL",
        "",
        "a Valkey or Redis: redis://host:6379/0, rediss://, unix:///path; `up` starts its own",
    ),
    "workers": ("N", "1", "worker processes; each solves one job at a time"),
    "threads": ("N", "", "threads of one solve; else the cores divided by the workers"),
}
SETTINGS = {
    "LOG_LEVEL": ("info", "debug, info, warning or error"),
    "JSON_BYTES": ("1000000", "largest JSON body"),
    "UPLOAD_BYTES": ("2000000000", "largest upload on the wire"),
    "INFLATED_BYTES": ("16000000000", "largest upload once decompressed"),
    "INFLATION_RATIO": ("200", "largest ratio of the two"),
    "NONZEROS": ("1000000000", "most entries of one array"),
    "QUEUED_JOBS": ("10000", "jobs that may wait; then submits get 503"),
    "JOB_SECONDS": ("21600.0", "largest solver.time_limit"),
    "WAIT_SECONDS": ("60.0", "longest Prefer: wait"),
    "PLAN_SECONDS": ("30.0", "how long a dry run is waited for"),
    "PAGE_SIZE": ("100", "most entries of one page of a list"),
    "PARALLEL_PARSES": ("", "uploads parsed at once; else the cores"),
    "LOW_WATER_BYTES": ("1000000000", "free disk space below which nothing new is taken"),
    "KEEP_ALIVE_SECONDS": ("15.0", "how often a silent event stream is heard of"),
    "SHUTDOWN_SECONDS": ("5.0", "how long open requests get to end"),
    "RECONCILE_SECONDS": ("15.0", "how often lost jobs are looked for"),
    "HEARTBEAT": ("2.0", "seconds between renewals of a job's lease, which lasts three"),
    "MAX_ATTEMPTS": ("5", "deaths of the worker at one job before the job fails"),
    "CHECKPOINT_SECONDS": ("1.0", "at most one checkpoint in this time"),
    "CANCEL_SECONDS": ("5.0", "how long an iteration may outlast a cancel or the time limit"),
    "CONCLUDE_SECONDS": ("3600.0", "longest computation of result and certificate"),
    "STOP_SECONDS": ("4.0", "how long a solve gets to checkpoint when its worker is stopped"),
    "KERNEL_CACHE": ("~/.cache", "where compiled kernels are kept"),
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
            metavar, default, meaning = FLAGS[flag]
            command.add_argument(f"--{flag}", metavar=metavar, help=described(default, meaning))
    return top


def variable(flag: str) -> str:
    """Return the setting of a flag: data-dir is DATA_DIR."""
    return flag.replace("-", "_").upper()


def described(default: str, meaning: str) -> str:
    """Return a meaning, with the default if there is one."""
    return f"{meaning} ({default})" if default else meaning


def settings_help() -> str:
    """Return the list of settings, in words."""
    flags = {variable(flag): (default, meaning) for flag, (_, default, meaning) in FLAGS.items()}
    lines = (f"  NEWTOND_{name:<20} {described(*known)}" for name, known in (flags | SETTINGS).items())
    return "settings, from the environment (a flag wins), with their defaults:\n" + "\n".join(lines)
