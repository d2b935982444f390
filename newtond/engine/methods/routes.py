"""Which way a linear least-squares problem goes: QR, sketched QR or Newton, by its size and its conditioning.

Conditioning is measured, on the triangular factor of a sketch of the column-scaled M: within a factor 3 of κ,
whatever κ is. Up to 1e6 a Gram matrix and refinement keep every digit that matters; beyond, they do not.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from newtond.contract.result import Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.methods.dual import ROWS_AN_UNKNOWN, DualRidge
from newtond.engine.methods.linear_system import LinearSystem, rank_tolerance
from newtond.engine.methods.pivoted_qr import PivotedQr
from newtond.engine.methods.sketched_qr import SketchedQr
from newtond.engine.state import Csr, Matrix

SMALL, LARGEST, SQUARISH = 5e7, 2e10, 12
WIDEST, MEASURED = 2000, 1000
GRAM = 1e6
FLOP_NS, ENTRY_NS, PASSES = 0.2, 1.0, 60

Name = Literal["qr", "sketched_qr", "dual", "newton"]


@dataclass(frozen=True)
class Route:
    """The way one spec goes, and why."""

    system: LinearSystem
    spec: SolveSpec
    matrix: Csr | Matrix

    @cached_property
    def name(self) -> Name:
        if not self._open:
            return "newton"
        if self._direct:
            return "qr"
        if self._wide:
            return "dual"
        return "sketched_qr" if self._measurable and self.sketched.condition > GRAM else "newton"

    @property
    def _open(self) -> bool:
        """Whether the spec leaves the choice."""
        solver = self.spec.solver
        return solver.hessian == "auto" and solver.sketch.kind == "sparse_sign"

    @property
    def _flops(self) -> float:
        rows, width = self.system.rows, self.system.design.width
        return 2.0 * rows * width * min(rows, width)

    @property
    def _direct(self) -> bool:
        rows, width = self.system.rows, self.system.design.width
        squarish = rows < SQUARISH * width and self._flops <= LARGEST
        return width <= WIDEST and (self._flops <= SMALL or squarish)

    @property
    def _wide(self) -> bool:
        """Whether it is a ridge problem of fewer rows than columns, few enough for an n × n factor."""
        design, spec = self.system.design, self.spec
        fits = design.rows < design.columns and design.rows <= WIDEST
        return fits and spec.regulariser.ridge > 0.0 and spec.warm_start is None

    @property
    def _measurable(self) -> bool:
        rows, width = self.system.rows, self.system.design.width
        return width <= MEASURED and rows >= SQUARISH * width

    @cached_property
    def sketched(self) -> SketchedQr:
        return SketchedQr(self.system, self.spec.solver.seed, self.spec.solver.sketch.rows)

    def factor(self) -> PivotedQr | SketchedQr | DualRidge:
        """Return the factorisation that corrects; of the routes that have one."""
        if self.name == "dual":
            return DualRidge(self.system, self.matrix, self.spec.solver.seed)
        return PivotedQr(self.system) if self.name == "qr" else self.sketched

    def why(self) -> str:
        """Return what decided, in words."""
        rows, width = self.system.rows, self.system.design.width
        if self.name == "qr":
            return (
                f"{rows} by {width}: LAPACK's pivoted QR of the scaled columns, least norm where deficient; rank "
                f"by pivots above {rank_tolerance(rows, width):.1e} of the first"
            )
        if self.name == "sketched_qr":
            return (
                f"condition number about {self.sketched.condition:.1e} after scaling the columns, measured on a "
                f"sketch, where a Gram matrix loses digits beyond {GRAM:.0e}: sketched QR start and refinement, as "
                f"backward stable as QR (numerical rank {self.sketched.rank} of {width})"
            )
        if self.name == "dual":
            return (
                f"{self.system.design.rows} rows, fewer than the {width} columns, and a ridge: conjugate gradients on "
                "(AAᵀ + λI) u = b, preconditioned by the QR factor of a sketch of Aᵀ, x = Aᵀu"
            )
        if not self._open:
            return ""
        if not self._measurable:
            return f"conditioning not measured: {rows} by {width} is past the sketch's reach"
        return f"condition number about {self.sketched.condition:.1e} after scaling the columns, measured on a sketch"

    def amend(self, plan: Plan) -> Plan:
        """Return the plan of Newton's way with what this route changes and what was measured."""
        why = "; ".join(part for part in (self.why(), plan.why if self.name == "newton" else "") if part)
        changes: dict[str, object] = {"why": why, "estimates": self._estimates()}
        if self.name == "qr":
            changes |= self._of_direct()
        if self.name == "sketched_qr":
            changes |= self._of_sketched()
        if self.name == "dual":
            changes |= self._of_dual()
        return plan.model_copy(update=changes)

    def _estimates(self) -> dict[str, float]:
        if not (self._open and self._measurable) or self._direct or self._wide:
            return {}
        return {
            "condition_number": float(f"{self.sketched.condition:.2g}"),
            "residual_norm": float(f"{self.sketched.residual_norm:.3g}"),
        }

    def _of_direct(self) -> dict[str, object]:
        entries = self.system.rows * self.system.design.width
        return {
            "hessian": "qr",
            "sketch_rows": None,
            "memory_bytes": 3 * 8 * entries,
            "full_passes": "1 factorisation of the whole matrix, and a pass a correction",
            "seconds": float(f"{2 * self._flops * FLOP_NS / 1e9:.2g}"),
            "warnings": [],
        }

    def _of_dual(self) -> dict[str, object]:
        design = self.system.design
        rows = min(ROWS_AN_UNKNOWN * design.rows, design.columns)
        cost = 2 * (rows + design.rows) * design.rows**2 * FLOP_NS + PASSES * ENTRY_NS * 2 * design.nnz
        return {
            "hessian": "dual",
            "sketch_rows": rows,
            "start": "x = 0",
            "memory_bytes": 8 * 8 * design.columns + 3 * 8 * rows * design.rows + 16 * design.nnz,
            "full_passes": f"a sketch and about {PASSES}",
            "seconds": float(f"{cost / 1e9 / design.threads:.2g}"),
            "warnings": [],
        }

    def _of_sketched(self) -> dict[str, object]:
        design, rows = self.system.design, self.sketched.rows
        cost = 2 * rows * design.width**2 * FLOP_NS + PASSES * ENTRY_NS * 2 * design.nnz
        start = (
            "the warm start given" if self.spec.warm_start is not None else "the sketched problem's solution"
        )
        return {
            "hessian": "sketched_qr",
            "sketch_rows": rows,
            "start": start,
            "memory_bytes": 8 * 12 * design.rows + 3 * 8 * rows * design.width,
            "full_passes": f"a sketch and about {PASSES}",
            "seconds": float(f"{cost / 1e9 / design.threads:.2g}"),
            "warnings": [],
        }
