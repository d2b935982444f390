"""One competitor's process: started, told to run, stopped when it takes too long."""

import argparse
import json
import os
import subprocess
import sys
import threading
from typing import Any

BUILDS_IN = 900.0
NO_ANSWER = "no answer in "
PINNED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def given_up_after(error: str | None) -> float | None:
    """Return the seconds after which there was no answer; None of any other error, or none."""
    words = error or ""
    return float(words.removeprefix(NO_ANSWER).split()[0]) if words.startswith(NO_ANSWER) else None


class Competitor:
    """A runner process, pinned to its threads; its runs are a part of the answer that it gave."""

    def __init__(self, adapter: str, instance: str, options: argparse.Namespace) -> None:
        self.adapter, self.limit, self.budget = adapter, options.limit, options.budget
        words = [f"--{k}={v}" for k, v in (("seed", options.seed), ("scale", options.scale))]
        words += [f"--adapter={adapter}", f"--instance={instance}", f"--threads={options.threads}"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runner", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **dict.fromkeys(PINNED, str(options.threads))},
        )
        self.hello = self._read(BUILDS_IN)
        self.error: str | None = self.hello.get("error")
        if not self.hello.get("takes"):
            self.close()
        self.runs: list[dict[str, Any]] = []
        self.first: dict[str, Any] = {}

    def _read(self, limit: float) -> dict[str, Any]:
        late = threading.Event()

        def end() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(limit, end)
        timer.start()
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        timer.cancel()
        if line:
            return json.loads(line)
        if late.is_set():
            return {"error": f"{NO_ANSWER}{limit:.0f} s"}
        return {"error": f"ended with {self.process.wait()}"}

    def _run(self) -> dict[str, Any]:
        self.process.stdin.write("run\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        answer = self._read(self.limit)
        self.error = answer.get("error")
        return answer

    def warm_up(self) -> None:
        """Run once, apart from the others."""
        self.first = self._run()

    def run(self, number: int, of: int) -> None:
        """Run, unless it has failed, or its share of the budget is used up by longer runs than were planned."""
        spent = sum(run.get("seconds", self.limit) for run in self.runs)
        if self.error is None and (number == 0 or spent <= self.budget * number / of):
            self.runs.append(self._run())

    def told(self) -> str:
        """Return what came of the warm-up, in words."""
        if self.error is not None:
            return self.error
        return f"first run {self.first['seconds']:.2f} s, accuracy {self.first['accuracy']}"

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
