"""The command ``newtond``: everything on one machine, or one part of it."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from newtond import __version__
from newtond.contract.errors import NewtondError, SetupError

DESCRIPTION = """\
newtond solves regressions over HTTP, by sketching and approximate Newton.

  newtond up                            everything on this machine: Valkey, API, one worker
  newtond up --workers 2 --port 9000    two workers, another port
  newtond service                       the API alone (needs NEWTOND_REDIS_URL)
  newtond worker                        one worker alone (needs NEWTOND_REDIS_URL)
  newtond keys create --tenant acme     an API key; from the first one on, every caller needs one
  newtond backup FILE                   the data directory as one file, while all runs; restore FILE
  newtond doctor                        what is wrong with this installation, and what mends it

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
        "Valkey or Redis: redis://host:6379/0, rediss://, unix:///path; `up` starts one",
    ),
    "workers": ("N", "1", "worker processes; each solves one job at a time"),
    "threads": ("N", "", "threads of one solve; else the cores divided by the workers"),
    "allow-anonymous-from-anywhere": (
        None,
        "False",
        "without API keys, listen beyond loopback and let anyone in",
    ),
}
SETTINGS = {
    "LOG_LEVEL": ("info", "debug, info, warning or error"),
    "JSON_BYTES": ("1000000", "largest JSON body"),
    "UPLOAD_BYTES": ("2000000000", "largest upload on the wire"),
    "INFLATED_BYTES": ("16000000000", "largest upload once decompressed"),
    "INFLATION_RATIO": ("200", "largest ratio of the two"),
    "NONZEROS": ("1000000000", "most entries of one array"),
    "BATCH_JOBS": ("500", "most members of one batch"),
    "QUEUED_JOBS": ("10000", "jobs that may wait; then submits get 503"),
    "TENANT_QUEUED_JOBS": ("1000", "jobs of one tenant that may wait; then its submits get 429"),
    "TENANT_RUNNING_JOBS": ("64", "solves of one tenant that run at once; the others wait"),
    "TENANT_STORED_BYTES": ("100000000000", "bytes of one tenant's arrays; then its uploads get 429"),
    "TENANT_REQUESTS_PER_SECOND": ("500.0", "requests of one tenant; then it gets 429"),
    "TENANT_STREAMS": ("100", "open event streams of one tenant; then it gets 429"),
    "PUBLISHED": ("", "host:port where a container's port is reached; it decides on keys"),
    "JOB_SECONDS": ("21600.0", "largest solver.time_limit"),
    "RETENTION_SECONDS": ("604800.0", "how long a finished job is kept, and an array that no job names"),
    "COLLECT_SECONDS": ("60.0", "how often what expired is removed"),
    "WAIT_SECONDS": ("60.0", "longest Prefer: wait"),
    "PLAN_SECONDS": ("30.0", "how long a dry run is waited for"),
    "PAGE_SIZE": ("100", "most entries of one page of a list"),
    "PARALLEL_PARSES": ("", "uploads parsed at once; else the cores"),
    "LOW_WATER_BYTES": ("1000000000", "free disk space below which nothing new is taken"),
    "KEEP_ALIVE_SECONDS": ("15.0", "how often a silent event stream is heard of"),
    "HEADER_SECONDS": ("15.0", "how long a request's head may take; then 408"),
    "BODY_SECONDS": ("30.0", "how long a body may stall in all; then 408"),
    "BODY_BYTES_PER_SECOND": ("1000", "the speed that a body must come at, and an answer be taken at"),
    "ANSWER_SECONDS": ("30.0", "how long an answer may be taken more slowly; then the connection is cut"),
    "CONNECTIONS": ("1000", "open connections; more are closed at once"),
    "ADDRESS_CONNECTIONS": ("500", "open connections of one address (IPv6: /64); more are closed at once"),
    "DRAIN_SECONDS": ("0.0", "how long /readyz says 503 before a stopped API stops listening"),
    "SHUTDOWN_SECONDS": ("5.0", "how long open requests get to end after that"),
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
    "service": (
        "run the API alone",
        ("host", "port", "data-dir", "redis-url", "allow-anonymous-from-anywhere"),
    ),
    "worker": ("run one worker alone", ("data-dir", "redis-url", "threads")),
    "doctor": ("say what is wrong here, and what mends it", ("data-dir", "redis-url", "host", "port")),
    "backup": ("write the data directory to a file, while all runs", ("data-dir",)),
    "restore": ("make a data directory of a backup", ("data-dir",)),
    "restart-workers": ("have `newtond up` restart its workers, one by one", ("data-dir",)),
}
FILES = {"backup": "to write", "restore": "to read"}
KEYS: Mapping[str, tuple[str, Mapping[str, tuple[str, str | None, str]]]] = {
    "create": (
        "make an API key and print it",
        {
            "--tenant": ("NAME", "default", "whose arrays and jobs it opens"),
            "--scopes": ("LIST", "solve,read", "what it may: solve, read, admin"),
            "--days": ("N", None, "how long it is valid; else until it is revoked"),
            "--label": ("TEXT", "", "a note for `newtond keys list`"),
        },
    ),
    "list": ("list the keys, without their secrets", {}),
    "revoke": ("revoke a key for good", {"id": ("ID", None, "as `newtond keys list` shows it")}),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; flags win over NEWTOND_* settings.

    1 when it cannot do what it was told to, 2 when a setting is wrong.
    """
    options = vars(parser().parse_args(arguments))
    command = options.pop("command")
    settings = {name: options.pop(name) for name in map(_attribute, FLAGS) if name in options}
    os.environ.update({f"NEWTOND_{name.upper()}": str(value) for name, value in settings.items() if value})
    if command in ("service", "worker"):
        become(command)
    try:
        RUN[command](options)
    except NewtondError as error:
        remark(f"newtond: {error.detail}")
        return 1
    except ValidationError as error:
        for flaw in error.errors(include_url=False):
            remark(f"newtond: NEWTOND_{str(flaw['loc'][0]).upper()}: {flaw['msg']}")
        return 2
    return 0


def up(options: Mapping[str, str]) -> None:
    """Run everything on this machine until a signal."""
    from newtond.output import Output  # so that --help and --version answer at once
    from newtond.supervisor import UpSettings, run

    run(UpSettings(), Output(sys.stdout).say)


def keys(options: Mapping[str, str]) -> None:
    """Make, list or revoke keys."""
    from newtond import keys
    from newtond.supervisor import UpSettings

    data, options = UpSettings().data_dir.resolve(), dict(options)
    action = options.pop("action")
    if action == "create":
        keys.create(data, say=say, remark=remark, **options)
    elif action == "list":
        keys.show(data, say)
    else:
        keys.revoke(data, options["id"], remark)


def backup(options: Mapping[str, str]) -> None:
    """Write the data directory to a file."""
    from newtond.backup import backup
    from newtond.supervisor import UpSettings

    backup(UpSettings().data_dir.resolve(), Path(options["file"]), remark)


def restore(options: Mapping[str, str]) -> None:
    """Make a data directory of a backup."""
    from newtond.backup import restore
    from newtond.supervisor import UpSettings

    restore(Path(options["file"]), UpSettings().data_dir.resolve(), remark)


def doctor(options: Mapping[str, str]) -> None:
    """Say what is wrong; raises SetupError where something is."""
    from newtond.doctor import Patient, examine
    from newtond.supervisor import UpSettings

    settings = UpSettings()
    low = int(os.environ.get("NEWTOND_LOW_WATER_BYTES", SETTINGS["LOW_WATER_BYTES"][0]))
    data = settings.data_dir.resolve()
    if not examine(Patient(data, settings.redis_url, settings.host, settings.port, low), say):
        raise SetupError("something is wrong, see above")


def restart_workers(options: Mapping[str, str]) -> None:
    """Have a running `newtond up` restart its workers one by one."""
    from newtond.supervisor import UpSettings, ask_to_roll

    ask_to_roll(UpSettings().data_dir.resolve())


RUN: Mapping[str, Callable[[Mapping[str, str]], None]] = {
    "up": up,
    "keys": keys,
    "backup": backup,
    "restore": restore,
    "doctor": doctor,
    "restart-workers": restart_workers,
}


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def remark(line: str) -> None:
    """Print a line beside what the command answers."""
    print(line, file=sys.stderr, flush=True)


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
            add_flag(command, flag)
        if name in FILES:
            command.add_argument("file", metavar="FILE", help=f"the backup {FILES[name]}")
    add_keys(commands)
    return top


def add_flag(command: argparse.ArgumentParser, flag: str) -> None:
    """Add the flag of a setting; one without a value says yes."""
    metavar, default, meaning = FLAGS[flag]
    if metavar is None:
        command.add_argument(f"--{flag}", action="store_const", const="true", help=meaning)
    else:
        command.add_argument(f"--{flag}", metavar=metavar, help=described(default, meaning))


def add_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``keys`` and what can be done with them."""
    actions = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    for name, (purpose, flags) in KEYS.items():
        action = actions.add_parser(name, help=purpose, description=purpose)
        add_flag(action, "data-dir")
        for flag, (metavar, default, meaning) in flags.items():
            action.add_argument(
                flag, metavar=metavar, default=default, help=described(default or "", meaning)
            )


def variable(flag: str) -> str:
    """Return the setting of a flag: data-dir is DATA_DIR."""
    return _attribute(flag).upper()


def _attribute(flag: str) -> str:
    return flag.replace("-", "_")


def described(default: str, meaning: str) -> str:
    """Return a meaning, with the default if there is one."""
    return f"{meaning} ({default})" if default else meaning


def settings_help() -> str:
    """Return the list of settings, in words."""
    flags = {variable(flag): (default, meaning) for flag, (_, default, meaning) in FLAGS.items()}
    lines = (f"  NEWTOND_{name:<30} {described(*known)}" for name, known in (flags | SETTINGS).items())
    return "settings, from the environment (a flag wins), with their defaults:\n" + "\n".join(lines)
