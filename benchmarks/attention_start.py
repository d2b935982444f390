"""One start of attention where its Hessian is too large to form: n = 4096 tokens in d = 64 dimensions.

    python -m benchmarks.attention_start planted-1 [--seconds 1150] [--threads 2]

Inputs are normal, X has scores of the given standard deviation, B = P A₃ Y and, where noise is named, half as much
noise. A line an iteration: processor seconds, products so far, the loss of its stage by ½‖B‖² of all rows. Ends
with the start, or with the first iteration beyond ``--seconds`` of processor time.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtond import engine
from newtond.contract.solve import SolveSpec
from newtond.engine.state import Step

ID = "sha256:" + "0" * 64
Arrays = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Case:
    """Scores of standard deviation ``std``; self-attention has the queries for keys and values."""

    std: float
    noise: float = 0.0
    own: bool = False

    def arrays(self, n: int, d: int, seed: int) -> tuple[Arrays, float]:
        """Return the arrays and what the planted (X, Y) leaves of ½‖B‖²."""
        rng = np.random.default_rng(seed)
        A1, A2, A3 = (rng.normal(size=(n, d)) for _ in range(3))
        if self.own:
            A2 = A3 = A1
        X, Y = rng.normal(size=(d, d)) * (self.std / d), rng.normal(size=(d, d))
        scores = A1 @ X @ A2.T
        P = np.exp(scores - scores.max(axis=1, keepdims=True))
        true = (P / P.sum(axis=1, keepdims=True)) @ A3 @ Y
        B = true + self.noise * true.std() * rng.normal(size=true.shape)
        arrays = {"A1": A1, "B": B} if self.own else {"A1": A1, "A2": A2, "A3": A3, "B": B}
        return arrays, float(np.sum((true - B) ** 2) / np.sum(B**2))


CASES = {
    "planted-1": Case(1.0),
    "planted-2": Case(2.0),
    "noisy-1": Case(1.0, noise=0.5),
    "self-1": Case(1.0, noise=0.5, own=True),
}


def main() -> None:
    given = parsed()
    arrays, floor = CASES[given.case].arrays(given.n, given.d, given.seed)
    print(f"{given.case}, n = {given.n}, d = {given.d}: the planted layer leaves {floor:.4f}", flush=True)
    solver = {"max_iterations": 200, "seed": given.seed}
    request = {"problem": {"kind": "attention", "starts": 1}, "solver": solver} | dict.fromkeys(arrays, ID)
    spec, half = SolveSpec.model_validate(request), 0.5 * float(np.sum(arrays["B"] ** 2))
    began, products, step = time.process_time(), 0, None
    for step in engine.steps(spec, arrays, given.threads):
        products += step.record.cg_iterations or 0
        spent = time.process_time() - began
        say(step, spent, products, half)
        if spent > given.seconds:
            break
    assert step is not None
    last = engine.solution(spec, arrays, step.state)
    loss = float(engine.certify(spec, arrays, last).loss)
    print(
        f"{step.termination or 'cut off'}: {spent:.0f} s, {products} products, loss {loss / half:.5f} of ½‖B‖²"
    )


def say(step: Step, spent: float, products: int, half: float) -> None:
    """Print where the solve is."""
    record = step.record
    where = f"{record.iteration:3} {spent:7.1f} s {products:5} products"
    print(f"{where}  loss {(record.loss or 0.0) / half:.6f}  {record.note or ''}", flush=True)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--d", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1150.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
