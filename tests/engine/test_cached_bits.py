"""A kernel that was compiled in this process and the same kernel loaded from the cache give the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import hashlib, sys
import numpy as np
from newtond import engine
from newtond.contract.solve import SolveSpec
rng = np.random.default_rng(3)
A = rng.normal(size=(4000, 8))
b = np.abs(rng.normal(size=4000)) + 1.1
problem = {problem}
if problem["kind"] != "hyperbolic":
    b /= b.sum()
spec = SolveSpec.model_validate({{"problem": problem, "A": "sha256:" + "0" * 64, "b": "sha256:" + "0" * 64,
                                 "solver": {{"max_iterations": 3}}}})
digest = hashlib.sha256()
for step in engine.steps(spec, {{"A": A, "b": b}}):
    digest.update(step.state.arrays["x"].tobytes())
print(digest.hexdigest())
"""


@pytest.mark.parametrize(
    "problem",
    [
        {"kind": "hyperbolic", "function": "exp"},
        {"kind": "hyperbolic", "function": "sinh"},
        {"kind": "softmax"},
        {"kind": "softmax_resnet"},
    ],
    ids=lambda problem: "-".join(problem.values()),
)
def test_compiled_and_loaded_kernels_give_the_same_bits(problem: dict[str, str], tmp_path: Path) -> None:
    environment = {**os.environ, "NEWTOND_KERNEL_CACHE": str(tmp_path)}

    def digest() -> str:
        script = PROBE.format(problem=problem)
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    compiled = digest()
    assert digest() == compiled
