"""How long a new user takes, without the reading: runs docs/start.md in an empty copy of the repository.

    python -m benchmarks.first_fit [--compose] [--write]

Each heading of the page is a step. Its `console` and `python` blocks run one after another, as they stand, in a clean
copy of what git has; the `sh` block is the server, beside them until the end; the `bash` block is the stack of
containers, run with --compose, on a free port. --write puts the table into the page.
"""

import argparse
import contextlib
import os
import platform
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.marks import between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "start.md"
MARKS = ("<!-- first fit: begin -->\n", "<!-- first fit: end -->")
ADDRESS = "localhost:8000"
READY_SECONDS = 60.0
SERVER, STACK = "sh", "bash"
SHELL = ["bash", "-euo", "pipefail", "-c"]
RUN = {"console": SHELL, "python": ["python", "-c"]}


@dataclass(frozen=True)
class Step:
    """One heading of the page and its blocks, each with its language."""

    title: str
    blocks: list[tuple[str, str]]

    def has(self, language: str) -> bool:
        return any(language == each for each, _ in self.blocks)


def steps(page: str) -> list[Step]:
    """Return the steps of a page, those without a block left out."""
    parts = re.split(r"^## (?:\d+\. )?(.*)$", page, flags=re.MULTILINE)[1:]
    found = [Step(title, blocks(text)) for title, text in zip(parts[::2], parts[1::2], strict=True)]
    return [step for step in found if step.blocks]


def blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


class Walk:
    """One walk through the page: a directory, a port, and the commands that are found."""

    def __init__(self, directory: Path, path: str, **settings: str) -> None:
        self.directory, self.port = directory, free_port()
        server = {"NEWTOND_PORT": str(self.port), "NEWTOND_DATA_DIR": str(directory / "data")}
        client = {"NEWTOND_URL": f"http://localhost:{self.port}"}
        self.environment = {**os.environ, **server, **client, "PATH": path, **settings}

    def run(self, step: Step, stack: bool = False) -> str:
        """Run the console and Python blocks of a step (of containers only on demand); return what they print.

        Raises RuntimeError with what was said where one fails.
        """
        run = RUN | {STACK: SHELL} if stack else RUN
        return "".join(self._run(run[language], text) for language, text in step.blocks if language in run)

    def _run(self, program: list[str], text: str) -> str:
        here = text.replace(ADDRESS, f"localhost:{self.port}")
        command = [*program, here]
        ran = subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise RuntimeError(f"{here}\nended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    @contextlib.contextmanager
    def served(self, step: Step) -> Iterator[None]:
        """Have the server of a step running, ready when this begins."""
        command = shlex.split(next(text for language, text in step.blocks if language == SERVER))
        with (self.directory / "server.log").open("wb") as log:
            server = subprocess.Popen(
                command, cwd=self.directory, env=self.environment, stdout=log, stderr=log
            )
        try:
            self._await()
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)

    def _await(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not answers(f"http://localhost:{self.port}/readyz"):
            if time.monotonic() > deadline:
                raise RuntimeError((self.directory / "server.log").read_text())
            time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def walk(directory: Path, compose: bool) -> Iterator[tuple[str, float]]:
    """Walk through the page in a clean copy of the repository; return each step's seconds."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(directory)], check=True)
    path = os.pathsep.join([str(directory / ".venv" / "bin"), os.environ["PATH"]])
    there = Walk(directory, path, PYTHONPATH="")
    with contextlib.ExitStack() as stack:
        for step in steps(PAGE.read_text()):
            began = time.monotonic()
            if step.has(STACK):
                stack.close()
                if not compose:
                    continue
                enter_compose(there, stack)
            if step.has(SERVER):
                stack.enter_context(there.served(step))
            there.run(step, stack=compose)
            yield step.title, time.monotonic() - began


def enter_compose(there: Walk, stack: contextlib.ExitStack) -> None:
    """Give the stack a name and a port of its own, and take it down at the end."""
    names = {"COMPOSE_PROJECT_NAME": "newtond-first-fit", "NEWTOND_PUBLISH": f"127.0.0.1:{there.port}"}
    there.environment |= names
    down = Step("down", [(STACK, "docker-compose down --volumes")])
    stack.callback(there.run, down, stack=True)


def table(found: list[tuple[str, float]]) -> str:
    """Return the seconds as Markdown, with what they sum up to, the date and the machine."""
    lines = [machine(), "", "| step | seconds | since the start |", "|---|---|---|"]
    total = 0.0
    for title, seconds in found:
        total += seconds
        lines.append(f"| {title} | {seconds:.1f} | {total:.1f} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    cpus = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    today = datetime.now(UTC).date()
    python = platform.python_version()
    return f"Measured on {today}: {cpus[0].strip()}, {len(cpus)} cores, Python {python}."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compose", action="store_true", help="the stack of containers too")
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="first-fit-") as directory:
        measured = table(list(walk(Path(directory) / "newtond", options.compose)))
    print(measured)
    if options.write:
        PAGE.write_text(between(PAGE.read_text(), MARKS, measured))


if __name__ == "__main__":
    main()
