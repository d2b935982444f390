"""What the server takes and returns, as its OpenAPI document says it. Generated: see generate_models.py."""

from typing import Any, Literal, NotRequired, TypedDict


class ArrayInfo(TypedDict):
    """The resource of an uploaded array, as `GET /arrays/{id}` returns it."""

    id: str
    format: str
    shape: list[int]
    nnz: int
    dtype: str
    bytes: int
    empty_columns: NotRequired[int | None]
    column_norms: NotRequired[list[float] | None]
    created_at: str


class ArrayFile(TypedDict):
    """What an uploaded file of several arrays held, by the names that a solve gives them."""

    arrays: dict[str, ArrayInfo]


class ArrayPicture(TypedDict):
    """Where the nonzeros of a matrix lie, as `GET /arrays/{id}/picture` returns it; a vector is one column."""

    shape: list[int]
    nnz: int
    rows: list[int]
    columns: list[int]
    counts: list[list[int]]
    seen: int
    exact: bool


class ArrayRole(TypedDict):
    """What one input or result array of a problem means, and its shape in symbols such as ("n", "d")."""

    shape: list[str]
    meaning: str
    sparse: NotRequired[bool]
    required: NotRequired[bool]


class AttentionKernelProblem(TypedDict):
    """Ridge regression on the attention kernel exp(AAᵀ), exp taken of every entry."""

    kind: NotRequired[Literal["attention_kernel"]]
    method: NotRequired[Literal["auto", "cholesky", "pcg"]]
    rank: NotRequired[int | None]


class AttentionProblem(TypedDict):
    """One-layer attention regression: the weights and values of a layer from its inputs and outputs."""

    kind: NotRequired[Literal["attention"]]
    target: NotRequired[Literal["output", "map"]]
    causal: NotRequired[bool]
    ridge_x: NotRequired[float]
    ridge_y: NotRequired[float]
    starts: NotRequired[int]


class Shard(TypedDict):
    """One row block of one iterate, and which rows of A it holds (of A by groups, where there are groups)."""

    iteration: int
    block: int
    first_row: int
    rows: int


class AuditReport(TypedDict):
    """What an audit found: `held` of the `drawn` row-block gradients came out with the same bits."""

    job_id: str
    seal: str
    fraction: float
    seed: int
    iterates: int
    shards: int
    drawn: int
    held: int
    failed: list[Shard]
    faults: list[str]
    same_platform: bool
    verdict: Literal["held", "failed", "undetermined"]


class AuditRequest(TypedDict):
    """What `POST /jobs/{id}/audits` takes: every row block of every iterate is drawn with this probability."""

    fraction: float
    seed: int


class Member(TypedDict):
    """One job of a batch: what it has of its own, and what came of it."""

    job_id: str
    b: NotRequired[str | None]
    ridge: NotRequired[float | None]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"] | Literal["deleted"]
    termination: NotRequired[
        Literal["converged", "max_iterations", "time_limit", "stalled", "cancelled"] | None
    ]
    converged: NotRequired[bool | None]
    iterations: NotRequired[int | None]
    loss: NotRequired[float | None]
    gradient_norm: NotRequired[float | None]
    curvature: NotRequired[Literal["global_minimum", "strict_local_minimum", "saddle", "undetermined"] | None]
    seconds: NotRequired[float | None]
    error: NotRequired[str | None]
    links: dict[str, str]


class Batch(TypedDict):
    """The resource of `GET /batches/{id}`; members in the order asked for."""

    id: str
    kind: str
    varies: Literal["targets", "columns", "ridges"]
    finished: bool
    counts: dict[str, int]
    total: int
    tags: list[str]
    created_at: str
    links: dict[str, str]
    members: list[Member]


class BatchSummary(TypedDict):
    """A batch as `GET /batches` lists it."""

    id: str
    kind: str
    varies: Literal["targets", "columns", "ridges"]
    finished: bool
    counts: dict[str, int]
    total: int
    tags: list[str]
    created_at: str
    links: dict[str, str]


class BatchList(TypedDict):
    """A page of batches, newest first; `after` is the cursor of the next page."""

    batches: list[BatchSummary]
    after: NotRequired[str | None]


class Coordinates(TypedDict):
    """A sparse matrix as lists: entry k stands at (row[k], col[k]), counted from 0."""

    shape: list[int]
    row: list[int]
    col: list[int]
    value: list[float]


class BatchRequest(TypedDict):
    """What `POST /batches` takes: the body of a solve, and one of what its members have each of its own."""

    solve: dict[str, Any]
    targets: NotRequired[list[str] | None]
    columns: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    ridges: NotRequired[list[float] | None]


class ProblemSummary(TypedDict):
    """One kind in the list: what it minimises, and which arrays go in and come out."""

    kind: str
    title: str
    formula: str
    symbols: dict[str, str]
    inputs: dict[str, ArrayRole]
    results: dict[str, ArrayRole]
    outputs: list[str]
    href: str


class Catalogue(TypedDict):
    """Every kind there is."""

    problems: list[ProblemSummary]


class Certificate(TypedDict):
    """What is proven of the returned point, recomputed from the input arrays apart from the solver."""

    loss: float | None
    gradient_norm: float | None
    relative_gradient_norm: float | None
    curvature: Literal["global_minimum", "strict_local_minimum", "saddle", "undetermined"]
    scope: Literal["global", "local", "none"]
    strong_convexity: NotRequired[float | None]
    distance_bound: NotRequired[float | None]
    nullity: NotRequired[int | None]
    backward_error: NotRequired[float | None]
    estimates: NotRequired[dict[str, float | None]]
    statements: NotRequired[list[str]]
    seconds: NotRequired[float]


class Epsilon(TypedDict):
    """‖Ax − b‖² ≤ (1 + epsilon) times the least, by one solve on sampled rows."""

    epsilon: float


class FromJob(TypedDict):
    """Where a finished job ended: of the same kind and shapes, with an intercept where this has one."""

    job: str


class GramExponentialProblem(TypedDict):
    """Ridge regression on the matrix exponential of the Gram matrix, or on its series cut after some terms."""

    kind: NotRequired[Literal["gram_exponential"]]
    terms: NotRequired[int | None]
    method: NotRequired[Literal["auto", "eigen", "lanczos"]]


class GramPowerProblem(TypedDict):
    """Least squares on a power of the Gram matrix."""

    kind: NotRequired[Literal["gram_power"]]
    power: int
    form: NotRequired[Literal["gram", "design"]]
    method: NotRequired[Literal["auto", "qr", "pcg"]]


class Health(TypedDict):
    """The service lives, or is ready."""

    status: NotRequired[Literal["ok"]]


class HyperbolicProblem(TypedDict):
    """Regularised exponential, hyperbolic cosine or hyperbolic sine regression."""

    kind: NotRequired[Literal["hyperbolic"]]
    function: Literal["exp", "cosh", "sinh"]


class Linf(TypedDict):
    """‖x − x*‖∞ ≤ linf/√d ‖Ax* − b‖ ‖A⁺‖, by one sketched solve."""

    linf: float


class LeastSquaresProblem(TypedDict):
    """Linear least squares."""

    kind: NotRequired[Literal["least_squares"]]
    guarantee: NotRequired[Linf | Epsilon | None]


class Plan(TypedDict):
    """What `hessian: auto` chose and why; decided from counts, never from clocks."""

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
    sketch_rows: NotRequired[int | None]
    convex: NotRequired[bool | None]
    convexity: str
    memory_bytes: int
    full_passes: str
    seconds: float
    warnings: NotRequired[list[str]]
    estimates: NotRequired[dict[str, float]]


class PowerProblem(TypedDict):
    """Polynomial attention: powers of the predictors, divided by their sum over a group or not."""

    kind: NotRequired[Literal["power"]]
    degree: int
    normalised: NotRequired[bool]


class Provenance(TypedDict):
    """What the bits depend on besides the spec."""

    newtond: str
    python: str
    numpy: str
    scipy: str
    numba: str
    cpu: str
    threads: int
    blas_threads: int


class ResultArray(TypedDict):
    """One array of the result and where to fetch it."""

    id: str
    shape: list[int]
    meaning: str
    href: str


class PredictionReport(TypedDict):
    """What came out: `arrays` holds the one array `prediction`, a row for each new row."""

    job_id: str
    formula: str
    units: str
    arrays: dict[str, ResultArray]
    provenance: Provenance


class ProblemDetail(TypedDict):
    """An error as data (RFC 9457): `type` is stable, `source` says where in the input."""

    type: str
    title: str
    status: int
    detail: str
    source: NotRequired[dict[str, Any] | None]
    request_id: NotRequired[str | None]


class RescaledProblem(TypedDict):
    """Rescaled exp, cosh and sinh regression: u against its sum times b, or u divided by its sum against b."""

    kind: NotRequired[Literal["rescaled"]]
    function: Literal["exp", "cosh", "sinh"]
    normalised: NotRequired[bool]


class Seal(TypedDict):
    """What `finished.json` says of the whole chain; its `digest` is of the other three."""

    inputs: str
    chain: str
    result: str
    digest: str


class SoftmaxProblem(TypedDict):
    """Softmax regression, in groups of rows that share x."""

    kind: NotRequired[Literal["softmax"]]


class SoftmaxResnetProblem(TypedDict):
    """Softmax regression with a residual connection: u = exp(z) + z, divided by its sum."""

    kind: NotRequired[Literal["softmax_resnet"]]


class TwoLayerProblem(TypedDict):
    """Two-layer regression: a softmax and an activation, in either order, with one unknown vector."""

    kind: NotRequired[Literal["two_layer"]]
    order: Literal["softmax_first", "softmax_last"]
    activation: NotRequired[Literal["relu", "softplus", "identity"]]
    beta: NotRequired[float | None]
    starts: NotRequired[int]


class Job(TypedDict):
    """The resource of `GET /jobs/{id}`."""

    id: str
    task: Literal["solve", "plan", "audit", "predict"]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    termination: NotRequired[
        Literal["converged", "max_iterations", "time_limit", "stalled", "cancelled"] | None
    ]
    converged: NotRequired[bool | None]
    kind: str
    problem: NotRequired[
        HyperbolicProblem
        | LeastSquaresProblem
        | AttentionProblem
        | TwoLayerProblem
        | SoftmaxProblem
        | SoftmaxResnetProblem
        | PowerProblem
        | RescaledProblem
        | AttentionKernelProblem
        | GramPowerProblem
        | GramExponentialProblem
        | None
    ]
    tags: NotRequired[list[str]]
    batch: NotRequired[str | None]
    attempt: NotRequired[int]
    resumed_from_iteration: NotRequired[int | None]
    iteration: NotRequired[int | None]
    loss: NotRequired[float | None]
    gradient_norm: NotRequired[float | None]
    queue_position: NotRequired[int | None]
    cancel_requested: NotRequired[bool]
    created_at: str
    started_at: NotRequired[str | None]
    heartbeat_at: NotRequired[str | None]
    finished_at: NotRequired[str | None]
    phases: NotRequired[dict[str, float]]
    shapes: NotRequired[dict[str, list[int]]]
    inputs: NotRequired[dict[str, str]]
    warnings: NotRequired[list[str]]
    error: NotRequired[ProblemDetail | None]
    plan: NotRequired[Plan | None]
    seal: NotRequired[Seal | None]
    audit: NotRequired[AuditReport | None]
    prediction: NotRequired[PredictionReport | None]
    links: NotRequired[dict[str, str]]


class JobList(TypedDict):
    """A page of jobs, newest first; `after` is the cursor of the next page."""

    jobs: list[Job]
    after: NotRequired[str | None]


class Limits(TypedDict):
    """The resource of `GET /limits`: every bound that a request is held to."""

    json_bytes: int
    upload_bytes: int
    inflated_bytes: int
    inflation_ratio: int
    nonzeros: int
    job_seconds: float
    queued_jobs: int
    tenant_queued_jobs: int
    tenant_running_jobs: int
    tenant_stored_bytes: int
    tenant_requests_per_second: float
    tenant_streams: int
    retention_seconds: float
    batch_jobs: int
    wait_seconds: float
    plan_seconds: float
    page_size: int
    parallel_parses: int


class Link(TypedDict):
    """What a line carries besides its numbers, and what the next line's `previous` is a digest of with them."""

    previous: str
    inputs: str
    x: str
    point: NotRequired[str | None]
    gradients: NotRequired[str | None]


class NewRows(TypedDict):
    """What `POST /jobs/{id}/predict` takes; `prediction` of `GET /problems/{kind}` says which and what for."""

    A: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    A1: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    A2: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    A3: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    groups: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]


class PredictionForm(TypedDict):
    """What a kind predicts: by which formula, in which units, from which new arrays."""

    formula: str
    units: str
    arrays: dict[str, ArrayRole]
    solution: NotRequired[list[str]]
    solved: NotRequired[list[str]]


class ProblemEntry(TypedDict):
    """All of one kind: also its source, the JSON Schema of its body, and a body to send as it is."""

    kind: str
    title: str
    formula: str
    symbols: dict[str, str]
    inputs: dict[str, ArrayRole]
    results: dict[str, ArrayRole]
    outputs: list[str]
    href: str
    prediction: PredictionForm | None
    reference: str
    differences: list[str]
    refuses: dict[str, str]
    schema: dict[str, Any]
    example: dict[str, Any]
    variants: dict[str, dict[str, Any]]


class Regulariser(TypedDict):
    """½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖²."""

    weights: NotRequired[float | Literal["convex"] | str | list[float] | list[list[float]] | Coordinates]
    margin: NotRequired[float]
    offset: NotRequired[Literal["zero", "target"] | str | list[float] | list[list[float]] | Coordinates]
    ridge: NotRequired[float]


class Result(TypedDict):
    """The resource of `GET /jobs/{id}/result`."""

    job_id: str
    termination: Literal["converged", "max_iterations", "time_limit", "stalled", "cancelled"]
    converged: bool
    stopping_rule: str
    iterations: int
    loss: float | None
    gradient_norm: float | None
    newton_decrement: float | None
    intercept: NotRequired[float | None]
    column_names: NotRequired[list[str] | None]
    arrays: dict[str, ResultArray]
    certificate: Certificate
    plan: Plan
    warnings: list[str]
    provenance: Provenance


class SketchSpec(TypedDict):
    """Which sketch S·J·A preconditions (for 'paper': replaces) the Hessian; rows null lets the plan choose."""

    kind: NotRequired[Literal["sparse_sign", "srht", "gaussian", "leverage", "count_sketch", "uniform"]]
    rows: NotRequired[int | None]


class SketchUse(TypedDict):
    """The sketch that an iteration drew; its randomness is the key (seed, iteration)."""

    kind: Literal["sparse_sign", "srht", "gaussian", "leverage", "count_sketch", "uniform"]
    rows: int
    seed: NotRequired[int | None]
    iteration: NotRequired[int | None]


class Solver(TypedDict):
    """How to iterate and when to stop: λ = √(gᵀH⁻¹g) ≤ tolerance · √(2F), from an exact gradient."""

    tolerance: NotRequired[float]
    max_iterations: NotRequired[int]
    time_limit: NotRequired[float]
    seed: NotRequired[int]
    hessian: NotRequired[Literal["auto", "exact", "sketch", "paper"]]
    sketch: NotRequired[SketchSpec]
    threads: NotRequired[int | None]
    audit: NotRequired[bool]


class SolveSpec(TypedDict):
    """One regression to solve. Arrays are ids of uploads or, when small, the arrays themselves."""

    A: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    A1: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    A2: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    A3: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    B: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    X0: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    b: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    groups: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    problem: (
        HyperbolicProblem
        | LeastSquaresProblem
        | AttentionProblem
        | TwoLayerProblem
        | SoftmaxProblem
        | SoftmaxResnetProblem
        | PowerProblem
        | RescaledProblem
        | AttentionKernelProblem
        | GramPowerProblem
        | GramExponentialProblem
    )
    intercept: NotRequired[bool]
    column_names: NotRequired[list[str] | None]
    regulariser: NotRequired[Regulariser]
    row_weights: NotRequired[str | list[float] | list[list[float]] | Coordinates | None]
    outputs: NotRequired[list[Literal["fitted", "residual", "standard_errors"]]]
    solver: NotRequired[Solver]
    warm_start: NotRequired[str | list[float] | list[list[float]] | Coordinates | FromJob | None]
    tags: NotRequired[list[str]]


class TraceRecord(TypedDict):
    """One line of `trace.ndjson`: an iteration, its link to the line before, and where and when it ran."""

    iteration: int
    loss: NotRequired[float | None]
    gradient_norm: NotRequired[float | None]
    newton_decrement: NotRequired[float | None]
    step_size: NotRequired[float | None]
    line_search_evaluations: NotRequired[int]
    sketch: NotRequired[SketchUse | None]
    cg_iterations: NotRequired[int | None]
    damping: NotRequired[float | None]
    note: NotRequired[str | None]
    phases: NotRequired[dict[str, float]]
    link: NotRequired[Link | None]
    seconds: float
    attempt: int
    peak_memory: int


class TracePage(TypedDict):
    """A page of a trace; `after` is the last iteration seen, to ask for what follows."""

    records: list[TraceRecord]
    after: NotRequired[int | None]
    finished: bool


class Version(TypedDict):
    """What runs here."""

    newtond: str
    python: str


ARRAYS: dict[str, tuple[str, ...]] = {
    "A": ("A",),
    "A1": ("A1",),
    "A2": ("A2",),
    "A3": ("A3",),
    "B": ("B",),
    "X0": ("X0",),
    "b": ("b",),
    "groups": ("groups",),
    "weights": ("regulariser", "weights"),
    "offset": ("regulariser", "offset"),
    "row_weights": ("row_weights",),
    "warm_start": ("warm_start",),
}
"""Where each array stands in a spec."""


OPTIONS: dict[str, tuple[str, ...]] = {
    "intercept": ("intercept",),
    "column_names": ("column_names",),
    "margin": ("regulariser", "margin"),
    "ridge": ("regulariser", "ridge"),
    "outputs": ("outputs",),
    "tolerance": ("solver", "tolerance"),
    "max_iterations": ("solver", "max_iterations"),
    "time_limit": ("solver", "time_limit"),
    "seed": ("solver", "seed"),
    "hessian": ("solver", "hessian"),
    "sketch": ("solver", "sketch"),
    "threads": ("solver", "threads"),
    "audit": ("solver", "audit"),
    "tags": ("tags",),
}
"""Where each other option stands in a spec."""


PROBLEMS: dict[str, tuple[str, ...]] = {
    "attention": ("target", "causal", "ridge_x", "ridge_y", "starts"),
    "attention_kernel": ("method", "rank"),
    "gram_exponential": ("terms", "method"),
    "gram_power": ("power", "form", "method"),
    "hyperbolic": ("function",),
    "least_squares": ("guarantee",),
    "power": ("degree", "normalised"),
    "rescaled": ("function", "normalised"),
    "softmax": (),
    "softmax_resnet": (),
    "two_layer": ("order", "activation", "beta", "starts"),
}
"""The options of each kind's problem."""


DEFAULTS: dict[str, Any] = {
    "A": None,
    "A1": None,
    "A2": None,
    "A3": None,
    "B": None,
    "X0": None,
    "b": None,
    "groups": None,
    "intercept": False,
    "column_names": None,
    "weights": 0.0,
    "margin": 0.0,
    "offset": "zero",
    "ridge": 0.0,
    "row_weights": None,
    "outputs": [],
    "tolerance": 1e-10,
    "max_iterations": 200,
    "time_limit": 600.0,
    "seed": 0,
    "hessian": "auto",
    "sketch": {"kind": "sparse_sign", "rows": None},
    "threads": None,
    "audit": False,
    "warm_start": None,
    "tags": [],
}
"""What the server takes where an option is not given."""
