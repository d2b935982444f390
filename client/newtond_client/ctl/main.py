"""The command ``newtonctl``: a newtond server from the shell.

Exit status: 0 done; 1 refused, failed or not reachable; 2 a wrong command line; 3 the answer has not converged, the
job did not succeed, or (verify) not all could be checked; 4 something does not hold; 130 interrupted: the job goes on.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from newtond_client import Client, ClientError, Interrupted, NotConverged, __version__
from newtond_client.ctl import commands

DEFAULT_URL = "http://127.0.0.1:8000"
FAILED, INTERRUPTED, PIPE_CLOSED = 1, 130, 141
EPILOG = f"""\
The server is --url, else NEWTOND_URL, else {DEFAULT_URL}; --url embedded starts one for the command alone.
An API key is read from NEWTOND_KEY. --json prints JSON instead of text.

  newtonctl solve exp A.mtx b.npy --watch
  newtonctl solve least_squares houses.csv --formula 'log(price) ~ rooms + C(town)' -o ridge=0.1
  newtonctl jobs --status running
  newtonctl result job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG --name x --output x.npy

Exit status: 0 done; 1 refused, failed or not reachable; 2 a wrong command line; 3 not converged, not
succeeded, or (verify) not all checked; 4 something does not hold; 130 interrupted, the job goes on.
"""
Add = Callable[..., argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    asked = parser().parse_args(arguments)
    warnings.simplefilter("ignore", NotConverged)  # the summary and the exit status say so
    try:
        with Client(_url(asked.url), os.environ.get("NEWTOND_KEY"), patience=asked.patience) as client:
            status: int = asked.run(client, asked)
            return status
    except ClientError as error:
        commands.complain(error)
        return FAILED
    except Interrupted as error:
        print(f"\nnewtonctl: {error.job_id} goes on; newtonctl watch {error.job_id}", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has had enough; what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _url(given: str | None) -> str | None:
    url = given or os.environ.get("NEWTOND_URL") or DEFAULT_URL
    return None if url == "embedded" else url


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    layout = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        "newtonctl",
        description="Regressions solved by a newtond server.",
        epilog=EPILOG,
        formatter_class=layout,
    )
    top.add_argument("--version", action="version", version=f"newtonctl {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="the server's address")
    common.add_argument(
        "--patience", type=float, default=30.0, metavar="SECONDS", help="how long to retry (30)"
    )
    common.add_argument("--json", action="store_true", help="print JSON")
    group = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Client, argparse.Namespace], int]) -> argparse.ArgumentParser:
        words = (run.__doc__ or "").strip()
        command = group.add_parser(name, help=words, description=words, parents=[common])
        command.set_defaults(run=run)
        return command

    _add_solve(add)
    _add_looks(add)
    _add_answers(add)
    return top


def _add_solve(add: Add) -> None:
    solve = add("solve", commands.solve)
    solve.add_argument("kind", help="as `newtonctl problems` lists them; or exp, cosh, sinh")
    solve.add_argument("data", nargs="*", metavar="FILE", help="A and b (.mtx .npz .npy .json), or one table")
    solve.add_argument("--formula", help="which columns of the table: 'y ~ a + C(b) + log(c) - 1'")
    solve.add_argument("--array", action="append", default=[], metavar="NAME=FILE", help="any other array")
    solve.add_argument(
        "-o", "--option", action="append", default=[], metavar="NAME=VALUE", help="any field: ridge=0.1"
    )
    solve.add_argument("--tag", action="append", default=[], help="a tag of the job")
    solve.add_argument("--watch", action="store_true", help="show the iterations")
    solve.add_argument("--no-wait", action="store_true", help="print the job's id and go")
    solve.add_argument("--plan", action="store_true", help="say how it would be solved, and do not")
    _add_output(solve)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", help="the array to write, x unless given")
    command.add_argument("--output", metavar="FILE", help="where to write it: .npy or .csv")


def _add_looks(add: Add) -> None:
    jobs = add("jobs", commands.jobs)
    jobs.add_argument("--status", choices=["queued", "running", "succeeded", "failed", "cancelled"])
    jobs.add_argument("--tag")
    jobs.add_argument("--limit", type=int, default=20, help="at most so many (20)")
    batches = add("batches", commands.batches)
    batches.add_argument(
        "--finished", action=argparse.BooleanOptionalAction, help="only those that have ended"
    )
    batches.add_argument("--tag")
    batches.add_argument("--limit", type=int, default=20, help="at most so many (20)")
    for name, run in (("watch", commands.watch), ("trace", commands.trace)):
        add(name, run).add_argument("job")
    add("cancel", commands.cancel).add_argument("job", nargs="+")
    arrays = add("arrays", commands.arrays)
    arrays.add_argument("action", choices=["show", "upload", "delete"])
    arrays.add_argument("names", nargs="+", metavar="ID_OR_FILE")
    add("problems", commands.problems).add_argument("kind", nargs="?")


def _add_answers(add: Add) -> None:
    result = add("result", commands.result)
    result.add_argument("job")
    _add_output(result)
    predict = add("predict", commands.predict)
    predict.add_argument("job")
    predict.add_argument("A", nargs="?", help="new rows: a file, a table or an array id")
    predict.add_argument(
        "--groups", metavar="FILE", help="of shares: the group of each row, a file or an array id"
    )
    predict.add_argument(
        "--array", action="append", default=[], metavar="NAME=FILE", help="any other: A1=tokens.npy"
    )
    predict.add_argument("--output", metavar="FILE", help=".npy or .csv; else they are printed")
    verify = add("verify", commands.verify)
    verify.add_argument("job")
    verify.add_argument("data", nargs="*", metavar="FILE", help="A and b, as they were sent")
    verify.add_argument("--array", action="append", default=[], metavar="NAME=FILE", help="any other array")
    verify.add_argument("--seal", help="the seal's digest that you noted when the job finished")
    verify.add_argument("--bundle", metavar="FILE", help="where to keep the evidence, a .zip")


if __name__ == "__main__":
    sys.exit(main())
