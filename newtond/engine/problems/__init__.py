"""What is minimised: one file a kind, named as it, with ``plan``, ``steps``, ``solution`` and ``certify``."""

from collections.abc import Iterator
from importlib import import_module
from typing import Protocol, cast

from newtond.contract.result import Certificate, Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.objective import RowGradients
from newtond.engine.state import Inputs, Matrix, Solution, State, Step, Vector


class Family(Protocol):
    """The four functions of ``newtond.engine``, for one kind."""

    def plan(self, spec: SolveSpec, inputs: Inputs, threads: int) -> Plan: ...

    def steps(self, spec: SolveSpec, inputs: Inputs, threads: int, state: State | None) -> Iterator[Step]: ...

    def solution(self, spec: SolveSpec, inputs: Inputs, state: State, threads: int) -> Solution: ...

    def certify(self, spec: SolveSpec, inputs: Inputs, solution: Solution) -> Certificate: ...


def family(spec: SolveSpec) -> Family:
    """Return the module of the spec's kind."""
    return cast(Family, import_module(f"{__name__}.{spec.problem.kind}"))


class Audited(Family, Protocol):
    """A kind whose loss is summed over row blocks of A: those that support ``solver.audit``."""

    def row_gradients(self, spec: SolveSpec, inputs: Inputs, threads: int) -> RowGradients: ...


def audited(spec: SolveSpec) -> Audited:
    """Return the module of the spec's kind, which supports audits."""
    return cast(Audited, family(spec))


class Predicting(Family, Protocol):
    """A kind that predicts: those whose ``no_prediction`` is None."""

    def predict(
        self, spec: SolveSpec, inputs: Inputs, solution: Solution, rows: Inputs, threads: int
    ) -> Vector | Matrix: ...


def predicting(spec: SolveSpec) -> Predicting:
    """Return the module of the spec's kind, which predicts."""
    return cast(Predicting, family(spec))
