"""``hessian: auto``: which way to solve, decided from counts and never from clocks, and said in words.

The constants are rough costs of a basic operation in nanoseconds on one core; only their ratios decide.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.contract.result import Plan
from newtond.contract.solve import SolveSpec
from newtond.engine.design import DesignMatrix
from newtond.engine.hessians import Hessian
from newtond.engine.hessians.arrow import arrow_hessian
from newtond.engine.hessians.dense import dense_hessian
from newtond.engine.hessians.frozen import HEAVIEST
from newtond.engine.hessians.krylov import FreeHessian, SketchedHessian
from newtond.engine.hessians.sampled import SampledHessian, default_rows
from newtond.engine.methods.standard_errors import errors_memory
from newtond.engine.objective import Objective
from newtond.engine.sketches import sketch
from newtond.engine.state import Vector

Choice = Literal["exact", "arrow", "partial", "sketch", "paper", "free"]
LARGEST_DENSE = 5000
MANY_ROWS, FEW = 20_000, 60
PRODUCT, FLOP, ENTRY = 1.0, 0.05, 1.0
PRODUCTS_A_STEP = 13
STEPS = 8
PARTIAL_STEPS = 9
GIGA = 1e9


def make_plan(
    spec: SolveSpec, objective: Objective, floor: Vector, start: str, convexity: str | None = None
) -> Plan:
    """Return the plan; raises InvalidSpec where the papers' method is asked for and D > 0 is not certain.

    ``floor`` bounds the curvature of each row from below, anywhere; ``convexity`` says more of it in words.
    """
    convex = bool((floor >= 0.0).all())
    choice, why = choose(spec, objective, lambda: floor)
    design = objective.design
    rows = _sketch_rows(spec, choice, design.rows, design.width)
    cost = _cost(choice, objective, rows)
    return Plan(
        hessian=choice,
        why=why,
        start="the warm start given" if spec.warm_start is not None else start,
        sketch_rows=rows,
        convex=convex,
        convexity=convexity or _convexity(floor, convex),
        memory_bytes=_memory(choice, objective, rows) + errors_memory(spec, design.width),
        full_passes=_passes(choice),
        seconds=float(f"{STEPS * cost / GIGA / design.threads:.2g}"),
        warnings=_warnings(choice, spec, objective),
    )


def choose(spec: SolveSpec, objective: Objective, floor: Callable[[], Vector]) -> tuple[Choice, str]:
    """Return the Hessian and why; raises InvalidSpec where it is the papers' and D > 0 is not certain.

    ``floor`` costs a pass over the rows, so that it is asked for only where the choice depends on it.
    """
    choice, why = _choice(spec, objective)
    if choice == "paper":
        _require_separable(objective)
        _require_positive(floor())
    return choice, why


def make_hessian(choice: Choice, spec: SolveSpec, design: DesignMatrix) -> Hessian:
    """Return the Hessian of a choice."""
    match choice:
        case "exact" | "partial":
            return dense_hessian()
        case "arrow":
            assert design.arrow is not None
            return arrow_hessian(design.arrow)
        case "sketch":
            return SketchedHessian(spec.solver.sketch.kind, spec.solver.sketch.rows)
        case "paper":
            return SampledHessian(spec.solver.sketch.rows)
        case "free":
            return FreeHessian()


def _choice(spec: SolveSpec, objective: Objective) -> tuple[Choice, str]:
    asked, width = spec.solver.hessian, objective.design.width
    if asked == "paper":
        return "paper", "asked for: the papers' sampled Hessian, whole steps"
    if asked == "sketch":
        return "sketch", f"asked for: {spec.solver.sketch.kind} preconditioner, exact Hessian products"
    if asked == "exact":
        if width > 4 * LARGEST_DENSE:
            raise InvalidSpec(
                f"an exact Hessian of {width} columns needs {8 * width**2 / GIGA:.0f} GB twice; use 'auto'",
                source={"pointer": "/solver/hessian"},
            )
        return "exact", "asked for: AᵀDA and its Cholesky factor"
    if objective.loss.fused is not None and (arrow := objective.design.arrow) is not None:
        return "arrow", (
            f"no row holds two of {len(arrow.head)} of the {width} columns, so that these are eliminated exactly "
            f"and a Schur complement of {len(arrow.tail)} is factorised"
        )
    if width > LARGEST_DENSE:
        return "free", f"{width} columns: no d × d array; conjugate gradients scaled by the diagonal"
    exact, drawn = _cost("exact", objective, None), _cost("sketch", objective, 4 * width)
    if _samples_well(objective):
        return (
            "partial",
            "from the solution on a sample of the rows, one kept Hessian that costs little is enough: "
            f"an exact one would cost {gram_price(objective):.1f} passes over A each time",
        )
    if exact <= drawn:
        return (
            "exact",
            f"the Gram's {objective.design.gram_products.sum():.2g} products cost less than a sketch",
        )
    return "sketch", (
        f"the Gram's {objective.design.gram_products.sum():.2g} products cost {exact / drawn:.1f} times "
        "a sketched preconditioner and its products"
    )


def _samples_well(objective: Objective) -> bool:
    """Whether a sample of 20 rows a column is a small part of the rows, and these many enough to matter.

    A loss that is trusted at any distance is quadratic: one exact Hessian solves it.
    """
    design, loss = objective.design, objective.loss
    enough = design.rows >= max(MANY_ROWS, FEW * design.width)
    return enough and loss.fused is not None and bool(np.isfinite(loss.reach))


def partial_price(objective: Objective) -> float:
    """Return what a partial Hessian (`hessians.frozen`) and its single-precision factor cost, in passes over A."""
    design = objective.design
    sweep = 2 * ENTRY * design.nnz + 5 * design.rows
    product = PRODUCT if design.sparse else FLOP * 2
    gram = HEAVIEST * product * float(design.gram_products.sum())
    return 1.0 + (gram + FLOP * design.width**3 / 6) / sweep


def gram_price(objective: Objective) -> float:
    """Return what an exact Hessian and its factor cost, in passes over A."""
    sweep = 2 * ENTRY * objective.design.nnz + 5 * objective.design.rows
    return _cost("exact" if objective.design.arrow is None else "arrow", objective, None) / sweep


def _sketch_rows(spec: SolveSpec, choice: Choice, n: int, width: int) -> int | None:
    if choice == "sketch":
        return spec.solver.sketch.rows or sketch(spec.solver.sketch.kind).default_rows(n, width)
    if choice == "paper":
        return spec.solver.sketch.rows or default_rows(n, width)
    return None


def _cost(choice: Choice, objective: Objective, rows: int | None) -> float:
    """Return rough nanoseconds of one iteration."""
    design = objective.design
    sweep = 2 * ENTRY * design.nnz + 5 * design.rows
    coupling = objective.loss.coupled * design.width
    if choice == "partial":
        return sweep
    if choice == "arrow" and (arrow := design.arrow) is not None:
        head, tail = len(arrow.head), len(arrow.tail)
        gram = PRODUCT * float(design.gram_products.sum())
        return sweep + gram + FLOP * (head + tail / 3) * tail**2
    if choice == "exact":
        product = PRODUCT if design.sparse else FLOP * 2
        gram = product * float(design.gram_products.sum()) + 4 * FLOP * coupling * design.width
        return sweep + gram + FLOP * design.width**3 / 3
    if choice == "sketch":
        sweep += 2 * ENTRY * coupling
        factor = 2 * FLOP * (rows or 0) * design.width**2
        return sweep * (1 + PRODUCTS_A_STEP) + 8 * ENTRY * design.nnz + factor
    if choice == "paper":
        return sweep * 32 + FLOP * (rows or 0) * design.width**2
    return sweep * 50


def _memory(choice: Choice, objective: Objective, rows: int | None) -> int:
    design = objective.design
    vectors = 8 * 12 * design.rows + 16 * min(objective.loss.coupled * design.width, 1 << 27)
    if choice == "arrow" and (arrow := design.arrow) is not None:
        return vectors + 3 * 8 * (len(arrow.head) + len(arrow.tail)) * len(arrow.tail)
    if choice == "exact":
        return vectors + 3 * 8 * design.width**2
    if choice in ("sketch", "paper"):
        return vectors + 3 * 8 * (rows or 0) * design.width
    return vectors + 8 * 64 * design.width


def _passes(choice: Choice) -> str:
    if choice == "partial":
        return f"about {PARTIAL_STEPS}, and 2 for the kept Hessian"
    each = {
        "exact": "2 and a Gram",
        "arrow": "2 and a Gram",
        "sketch": f"2, a sketch and about {PRODUCTS_A_STEP} products",
    }
    return f"about {STEPS} iterations of " + each.get(
        choice, "2 and 33 for the scores" if choice == "paper" else "2 and up to some hundred products"
    )


def _require_separable(objective: Objective) -> None:
    if objective.loss.coupled:
        raise InvalidSpec(
            "hessian 'paper' samples the rows of √D A for a diagonal D; this loss couples the rows of a group, "
            "so its Hessian has no such D; 'exact' and 'sketch' take all of it",
            source={"pointer": "/solver/hessian"},
        )


def _require_positive(floor: Vector) -> None:
    bad = np.flatnonzero(floor <= 0.0)
    if bad.size:
        raise InvalidSpec(
            "hessian 'paper' samples the diagonal D of the Hessian and needs D > 0 everywhere: "
            f"{bad.size} rows are not strictly convex (the first is row {bad[0]}); "
            "use regulariser.weights 'convex' with a margin",
            source={"pointer": "/solver/hessian", "rows": bad[:100].tolist()},
        )


def _convexity(floor: Vector, convex: bool) -> str:
    if convex:
        return "convex: every row's curvature is non-negative everywhere, so a minimum is the global one"
    count = int(np.count_nonzero(floor < 0.0))
    return f"not known to be convex: {count} rows have negative curvature somewhere; answers are local"


def _warnings(choice: Choice, spec: SolveSpec, objective: Objective) -> list[str]:
    if choice == "free" and spec.regulariser.ridge == 0.0:
        return ["matrix-free: slow where the columns are ill-conditioned beyond their scales; a ridge helps"]
    return []
