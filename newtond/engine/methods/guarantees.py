"""Sketch and solve with as many rows as a stated accuracy needs: one solve, no iteration.

``linf`` ε: ‖x′ − x*‖∞ ≤ ε/√d ‖Ax* − b‖ ‖A⁺‖ by an SRHT of m rows. Of a Gaussian sketch each entry of x′ − x* has
standard deviation at most ‖Ax* − b‖ ‖A⁺‖/√m, so m = 2 d ln(2d/δ)/ε² + d rows fail with probability δ; an
SRHT, which is dense too, was measured to behave as one. Source: Song, Ye, Yin, Zhang, arXiv:2302.00248, whose
d ε⁻² log³(n/δ) has no stated constant.

``epsilon`` ε: ‖Ax′ − b‖² ≤ (1 + ε) min by leverage-score sampling of m rows: the excess is about χ²/m of d degrees
of freedom, whose upper quantile is below d + 3√(2d) + 6, and 4 d ln(d + 1) + d rows keep the sample regular. The
classical part of arXiv:2311.14823, whose quantum algorithm asks Õ(√n d^{3/2}/ε) queries.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil, log, log2, sqrt

import numpy as np
from scipy.linalg import lstsq

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import Epsilon, Linf
from newtond.contract.result import Plan
from newtond.contract.solve import SketchSpec, SolveSpec
from newtond.contract.trace import Iteration, SketchUse
from newtond.engine.design import DesignMatrix
from newtond.engine.methods.linear_system import LinearSystem, powers_of_two, rank_tolerance
from newtond.engine.sketches import Key, leverage, srht
from newtond.engine.state import Csr, Matrix, State, Step, Vector

FAILURE = 0.01
MOST_PRODUCTS = 1e11


@dataclass(frozen=True)
class Guaranteed:
    """The sketched problem of one spec; ``matrix`` is A as it was given."""

    system: LinearSystem
    spec: SolveSpec
    matrix: Csr | Matrix
    guarantee: Linf | Epsilon

    def __post_init__(self) -> None:
        solver = self.spec.solver
        for pointer, given in (
            ("/solver/hessian", solver.hessian != "auto"),
            ("/solver/sketch", solver.sketch != SketchSpec()),
            ("/warm_start", self.spec.warm_start is not None),
        ):
            if given:
                raise InvalidSpec(
                    "a guarantee chooses the sketch itself and does not iterate", source={"pointer": pointer}
                )

    @cached_property
    def rows(self) -> int:
        """The rows that the guarantee needs."""
        d = self.system.design.width
        if isinstance(self.guarantee, Linf):
            return ceil(2.0 * d * log(2.0 * d / FAILURE) / self.guarantee.linf**2) + d
        spread = d + 3.0 * sqrt(2.0 * d) + 6.0
        return ceil(spread / self.guarantee.epsilon) + ceil(4.0 * d * log(d + 1.0)) + d

    @property
    def sketches(self) -> bool:
        """Whether that is fewer rows than A has: else the exact solution meets the guarantee at less cost."""
        if 2 * self.rows >= self.system.design.rows:
            return False
        if isinstance(self.guarantee, Linf) and self._products > MOST_PRODUCTS:
            raise InvalidSpec(
                f"an SRHT of {self.rows} rows costs {self._products:.1e} products, past {MOST_PRODUCTS:.0e}: it is "
                "dense whatever A is; without a guarantee the solution is exact at less cost",
                source={"pointer": "/problem/guarantee/linf"},
            )
        return True

    @property
    def _products(self) -> float:
        return self.system.design.rows * self.system.design.width * (log2(2.0 * self.rows) + 2.0)

    def words(self) -> str:
        """Return what is promised."""
        if isinstance(self.guarantee, Linf):
            return (
                f"‖x − x*‖∞ ≤ {self.guarantee.linf:g}/√d ‖Ax* − b‖ ‖A⁺‖ but for a probability of {FAILURE:g}"
            )
        return f"‖Ax − b‖² ≤ {1.0 + self.guarantee.epsilon:g} times the least, but for a probability of {FAILURE:g}"

    def amend(self, plan: Plan) -> Plan:
        """Return the plan with what the guarantee means for it."""
        n, d = self.system.design.rows, self.system.design.width
        estimates, why = (
            dict(plan.estimates),
            f"{self.words()} would take {self.rows} rows of {n}: solved exactly",
        )
        if isinstance(self.guarantee, Epsilon):
            estimates["quantum_query_model"] = sqrt(n) * d**1.5 / self.guarantee.epsilon
            why += (
                "; quantum_query_model is √n d^1.5/ε, constants and logarithms 1: a model, not a measurement"
            )
        if not self.sketches:
            return plan.model_copy(update={"why": f"{why}; {plan.why}", "estimates": estimates})
        kind = "an SRHT" if isinstance(self.guarantee, Linf) else "leverage-score sampling"
        return plan.model_copy(
            update={
                "hessian": "sketch_and_solve",
                "why": why.replace("would take", "by").replace(": solved exactly", f", drawn by {kind}"),
                "start": "x = 0",
                "sketch_rows": self.rows,
                "memory_bytes": 8 * 6 * n + 4 * 8 * self.rows * d,
                "full_passes": "a sketch" if isinstance(self.guarantee, Linf) else "the scores (33 at most)",
                "estimates": estimates,
                "warnings": [],
            }
        )

    def _drawn(self) -> tuple[Matrix, Vector]:
        """Return S M and S β, of the rows of A; the ridge's rows stay as they are."""
        system, key = self.system, Key(self.spec.solver.seed, 0)
        if isinstance(self.guarantee, Linf):
            target = DesignMatrix(np.ascontiguousarray(system.target[:, None]))
            right = srht.apply(target, system.root, self.rows, key)[:, 0]
            return srht.apply(system.design, system.root, self.rows, key), right
        scores = leverage.scores(system.design, system.root, key)
        kept, probabilities = leverage.sample(scores, self.rows, key)
        scale = system.root[kept] / np.sqrt(probabilities)
        return system.design.take(kept) * scale[:, None], scale * system.target[kept]

    def solve(self) -> tuple[Vector, int, int]:
        """Return x (width), the numerical rank and the rows drawn."""
        above, right = self._drawn()
        image = self.system.stacked(above)
        right = np.concatenate([right, np.zeros(len(image) - len(above))])
        scale = powers_of_two(np.linalg.norm(image, axis=0))
        x, _, rank, _ = lstsq(
            image * scale, right, cond=rank_tolerance(*image.shape), lapack_driver="gelsy", check_finite=False
        )
        return scale * x, int(rank), len(above)

    def steps(self, state: State) -> Iterator[Step]:
        """Yield the one solve and the point it leads to."""
        k = state.iteration
        if k == 0 and self.spec.solver.max_iterations > 0:
            x, rank, drawn = self.solve()
            kind = "srht" if isinstance(self.guarantee, Linf) else "leverage"
            about: dict[str, float | int | str] = {
                "route": "sketch_and_solve",
                "rank": rank,
                "condition": 1.0,
            }
            after = State(1, {"x": x}, about)
            used = SketchUse(kind=kind, rows=drawn, seed=self.spec.solver.seed, iteration=0)
            yield Step(self._record(state, used), after)
            state = after
        if state.iteration == 0:
            yield Step(self._record(state, None), state, "max_iterations", "0 iterations")
        else:
            yield Step(self._record(state, None), state, "converged", f"one sketched solve: {self.words()}")

    def _record(self, state: State, used: SketchUse | None) -> Iteration:
        here = self.system.objective.expand(state.arrays["x"])
        return Iteration(
            iteration=state.iteration,
            loss=here.value,
            gradient_norm=float(np.linalg.norm(here.gradient)),
            step_size=1.0 if used else None,
            sketch=used,
        )
