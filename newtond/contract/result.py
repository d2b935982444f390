"""What a finished solve says: the plan, the solution's scalars, the certificate."""

from typing import Annotated, Literal

from pydantic import Field

from newtond.contract.array import ArrayId, ArrayRole
from newtond.contract.model import Model

Termination = Literal["converged", "max_iterations", "time_limit", "stalled", "cancelled"]
Curvature = Literal["global_minimum", "strict_local_minimum", "saddle", "undetermined"]


class Plan(Model):
    """What ``hessian: auto`` chose and why; decided from counts, never from clocks."""

    hessian: Literal[
        "exact",
        "arrow",
        "partial",
        "sketch",
        "paper",
        "free",
        "qr",
        "sketched_qr",
        "dual",
        "sketch_and_solve",
    ]
    why: str
    start: str
    sketch_rows: int | None = None
    convex: bool | None = None
    convexity: str
    memory_bytes: int
    full_passes: str
    seconds: Annotated[float, Field(description="a rough estimate")]
    warnings: list[str] = []
    estimates: Annotated[dict[str, float], Field(description="measured on a sketch before the solve")] = {}


class Certificate(Model):
    """What is proven of the returned point, recomputed from the input arrays apart from the solver.

    A bound that is not proven is null; a figure that is only estimated is in ``estimates``.
    """

    loss: float | None
    gradient_norm: float | None
    relative_gradient_norm: float | None = Field(
        description="‖g(x)‖ / ‖g(0)‖, of the exact gradient of the whole objective"
    )
    curvature: Curvature
    scope: Literal["global", "local", "none"]
    strong_convexity: float | None = Field(None, description="μ > 0 with F μ-strongly convex in the scope")
    distance_bound: float | None = Field(None, description="‖x − x*‖ ≤ this, proven")
    nullity: int | None = None
    backward_error: float | None = None
    estimates: dict[str, float | None] = {}
    statements: list[str] = []
    seconds: float = 0.0


class ResultArray(Model):
    """One array of the result and where to fetch it."""

    id: ArrayId
    shape: tuple[int, ...]
    meaning: str
    href: str


class Provenance(Model):
    """What the bits depend on besides the spec."""

    newtond: str
    python: str
    numpy: str
    scipy: str
    numba: str
    cpu: str
    threads: int
    blas_threads: int


class Result(Model):
    """The resource of ``GET /jobs/{id}/result``."""

    job_id: str
    termination: Termination
    converged: bool
    stopping_rule: str
    iterations: int
    loss: float | None
    gradient_norm: float | None
    newton_decrement: float | None
    intercept: float | None = None
    column_names: list[str] | None = None
    arrays: dict[str, ResultArray]
    certificate: Certificate
    plan: Plan
    warnings: list[str]
    provenance: Provenance


__all__ = [
    "ArrayRole",
    "Certificate",
    "Curvature",
    "Plan",
    "Provenance",
    "Result",
    "ResultArray",
    "Termination",
]
