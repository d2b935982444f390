"""Pure numerics: what is minimised, how it iterates, and what is proven of the answer.

Four functions serve every family, a fifth those whose loss is a sum over rows, a sixth those that predict; each
looks up ``newtond.engine.problems.<kind>``:

- ``plan(spec, inputs)``: what a solve would do, and why.
- ``steps(spec, inputs, threads, state)``: a generator of iterations; give a state back to resume.
- ``solution(spec, inputs, state)``: the result arrays and warnings of a state, converged or not.
- ``certify(spec, inputs, solution)``: what is proven of it, by code apart from the solver.
- ``prepare(matrix)``: what is counted of a matrix once, whatever is solved with it.
- ``row_gradients(spec, inputs)``: the gradient of the loss, row block by row block, for audits.
- ``predict(spec, inputs, solution, rows)``: what a solution says of new rows.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.design import DesignMatrix
from newtond.engine.objective import RowGradients
from newtond.engine.problems import audited, family, predicting
from newtond.engine.state import Csr, Inputs, Measured, Prepared, Share, Solution, State, Step

__all__ = [
    "Csr",
    "Inputs",
    "Measured",
    "Prepared",
    "RowGradients",
    "Share",
    "Solution",
    "State",
    "Step",
    "certify",
    "plan",
    "predict",
    "prepare",
    "row_gradients",
    "solution",
    "steps",
]


def plan(spec: SolveSpec, inputs: Inputs, threads: int = 1) -> Plan:
    """Return what ``steps`` would do, and why; raises InvalidSpec where spec and arrays disagree."""
    return family(spec).plan(spec, inputs, threads)


def steps(spec: SolveSpec, inputs: Inputs, threads: int = 1, state: State | None = None) -> Iterator[Step]:
    """Iterate from ``state`` (or the start), a ``Step`` an iteration; the last one has a termination.

    Raises InvalidSpec where spec and arrays disagree, NonFinite where no finite start exists.
    """
    return family(spec).steps(spec, inputs, threads, state)


def solution(spec: SolveSpec, inputs: Inputs, state: State, threads: int = 1) -> Solution:
    """Return the result arrays, intercept and warnings that ``state`` stands for."""
    return family(spec).solution(spec, inputs, state, threads)


def prepare(matrix: Csr, threads: int = 1) -> Prepared:
    """Return what is counted of a matrix once: give it back in ``Csr.prepared`` and solves start at once."""
    return DesignMatrix(matrix, threads=threads).prepared


def row_gradients(spec: SolveSpec, inputs: Inputs, threads: int = 1) -> RowGradients:
    """Return the gradient of the loss, row block by row block, of a kind that supports ``solver.audit``."""
    return audited(spec).row_gradients(spec, inputs, threads)


def predict(
    spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs, threads: int = 1
) -> NDArray[np.float64]:
    """Return what ``solution`` says of ``rows`` (n) or (n, k), new arrays by the names of the kind's ``prediction``.

    ``inputs`` are the arrays of the solve that it names in ``solved``. Where float64 has no value for a row it is
    infinite or not a number. Raises InvalidSpec where arrays disagree.
    """
    return predicting(spec).predict(spec, inputs, solution, rows, threads)


def certify(spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate:
    """Return what is proven of ``solution``, recomputed from the input arrays."""
    return family(spec).certify(spec, inputs, solution)
