"""``SolveSpec``: what ``POST /solve`` takes: problem, arrays, regulariser, solver, stopping rule."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from newtond.contract.array import ArrayInput, ArrayRole
from newtond.contract.ids import JobId
from newtond.contract.model import Model
from newtond.contract.problem import OPTIONS, PROBLEMS, ProblemArrays, ProblemSpec

SketchKind = Literal["sparse_sign", "srht", "gaussian", "leverage", "count_sketch", "uniform"]
HessianChoice = Literal["auto", "exact", "sketch", "paper"]
Output = Literal["fitted", "residual", "standard_errors"]


def _unique(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("names must be unique")
    return names


Tag = Annotated[str, Field(min_length=1, max_length=64)]
ColumnNames = Annotated[list[Annotated[str, Field(max_length=200)]], AfterValidator(_unique)]


class Regulariser(Model):
    """½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖².

    ``weights`` is w (not its square), or "convex": the smallest wᵢ that make the loss convex row by row,
    wᵢ² = max(vᵢ τᵢ, 0) + margin. ``offset`` is z̄; "target" is f⁻¹(b). ``ridge`` is λ; an intercept is free of it.
    """

    weights: Annotated[float, Field(ge=0)] | Literal["convex"] | ArrayInput = 0.0
    margin: Annotated[float, Field(ge=0)] = 0.0
    offset: Literal["zero", "target"] | ArrayInput = "zero"
    ridge: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _margin_needs_convex(self) -> Self:
        if self.margin > 0 and self.weights != "convex":
            raise ValueError("margin is added to the convex threshold: it needs weights = 'convex'")
        return self


class SketchSpec(Model):
    """Which sketch S·J·A preconditions (for 'paper': replaces) the Hessian; rows null lets the plan choose."""

    kind: SketchKind = "sparse_sign"
    rows: Annotated[int, Field(ge=1)] | None = None


class Solver(Model):
    """How to iterate and when to stop: λ = √(gᵀH⁻¹g) ≤ tolerance · √(2F), from an exact gradient."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-10
    max_iterations: Annotated[int, Field(ge=0, le=1_000_000)] = 200
    time_limit: Annotated[float, Field(gt=0, description="seconds")] = 600.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    hessian: HessianChoice = "auto"
    sketch: SketchSpec = SketchSpec()
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    audit: Annotated[bool, Field(description="keep every iterate, for POST /jobs/{id}/audits")] = False


class FromJob(Model):
    """Where a finished job ended: of the same kind and shapes, with an intercept where this has one."""

    job: JobId


class SolveSpec(ProblemArrays):
    """One regression to solve. Arrays are ids of uploads or, when small, the arrays themselves."""

    problem: ProblemSpec
    intercept: bool = False
    column_names: ColumnNames | None = None
    regulariser: Regulariser = Regulariser()
    row_weights: ArrayInput | None = None
    outputs: list[Output] = []
    solver: Solver = Solver()
    warm_start: ArrayInput | FromJob | None = None
    tags: Annotated[list[Tag], Field(max_length=32)] = []

    @model_validator(mode="after")
    def _has_the_arrays_of_its_kind(self) -> Self:
        roles = PROBLEMS[self.problem.kind].inputs
        for name in ProblemArrays.model_fields:
            given = getattr(self, name) is not None
            if given and name not in roles:
                raise ValueError(f"{self.problem.kind} takes no array {name}")
            if not given and name in roles and roles[name].required:
                raise ValueError(f"{self.problem.kind} needs the array {name}")
        choice = PROBLEMS[self.problem.kind].one_of
        if choice and sum(getattr(self, name) is not None for name in choice) != 1:
            raise ValueError(f"{self.problem.kind} needs one of {' and '.join(choice)}")
        return self

    @model_validator(mode="after")
    def _gives_no_array_that_its_options_exclude(self) -> Self:
        excluded = self.problem.excluded()
        if errors := [
            _excluded(name, why) for name, why in excluded.items() if getattr(self, name) is not None
        ]:
            raise ValidationError.from_exception_data("SolveSpec", errors)
        return self

    @model_validator(mode="after")
    def _asks_only_for_what_its_kind_supports(self) -> Self:
        problem = PROBLEMS[self.problem.kind]
        refused = [name for name in self._options() if name not in problem.supports]
        if refused:
            raise ValidationError.from_exception_data(
                "SolveSpec",
                [_refusal(self.problem.kind, name, problem.because.get(name)) for name in refused],
            )
        return self

    def _options(self) -> Iterator[str]:
        """Yield the ``OPTIONS`` that are given, that is, differ from their defaults."""
        for name in ("intercept", "column_names", "row_weights", "warm_start", "outputs"):
            if getattr(self, name) != type(self).model_fields[name].default:
                yield from () if name == "warm_start" and self._starts_by_name() else (name,)
        if "standard_errors" in self.outputs:
            yield "standard_errors"
        if self.regulariser.weights != 0.0:
            yield "convex" if self.regulariser.weights == "convex" else "weights"
        if self.regulariser.offset != "zero":
            yield "offset_target" if self.regulariser.offset == "target" else "offset"
        if self.regulariser.ridge != 0.0:
            yield "ridge"
        if self.solver.hessian != "auto":
            yield "paper" if self.solver.hessian == "paper" else "hessian"
        if self.solver.sketch != SketchSpec():
            yield "sketch"
        if self.solver.audit:
            yield "audit"

    def _starts_by_name(self) -> bool:
        """Whether the start is a job's end, and the kind has an array for that, whatever its name."""
        return isinstance(self.warm_start, FromJob) and bool(PROBLEMS[self.problem.kind].continues)

    @property
    def continues(self) -> dict[str, str]:
        """The arrays to start from, each by the result array of an earlier solve that it goes on from."""
        problem = PROBLEMS[self.problem.kind]
        return {} if problem.one_of and self.b is None else problem.continues

    def arrays(self) -> dict[str, ArrayInput]:
        """Return every array of this spec by its name: problem arrays, weights, offset, row_weights, warm_start."""
        return dict(self._arrays())

    def _arrays(self) -> Iterator[tuple[str, ArrayInput]]:
        for name in ProblemArrays.model_fields:
            if (value := getattr(self, name)) is not None:
                yield name, value
        if not isinstance(self.regulariser.weights, float) and self.regulariser.weights != "convex":
            yield "weights", self.regulariser.weights
        if self.regulariser.offset not in ("zero", "target"):
            yield "offset", self.regulariser.offset
        for name in ("row_weights", "warm_start"):
            if (value := getattr(self, name)) is not None and not isinstance(value, FromJob):
                yield name, value

    def with_arrays(self, ids: Mapping[str, str]) -> Self:
        """Return this spec with the arrays named in ``ids`` given by id (names as in ``arrays``)."""
        regulariser: dict[str, Any] = {k: v for k, v in ids.items() if k in ("weights", "offset")}
        changes: dict[str, Any] = {k: v for k, v in ids.items() if k not in regulariser}
        if regulariser:
            changes["regulariser"] = self.regulariser.model_copy(update=regulariser)
        return self.model_copy(update=changes)


def _refusal(kind: str, option: str, reason: str | None) -> InitErrorDetails:
    what = {"convex": "weights 'convex'", "offset_target": "offset 'target'", "paper": "hessian 'paper'"}
    message = f"{kind} does not take {what.get(option, option)}" + (f": {reason}" if reason else "")
    place = tuple(OPTIONS[option].split("/")[1:])
    error = PydanticCustomError("unsupported_option", "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=place, input=option)


def _excluded(name: str, reason: str) -> InitErrorDetails:
    error = PydanticCustomError("excluded_array", "{message}", {"message": reason})
    return InitErrorDetails(type=error, loc=(name,), input=name)


ARRAY_POINTERS = {
    **{name: f"/{name}" for name in (*ProblemArrays.model_fields, "row_weights", "warm_start")},
    "weights": "/regulariser/weights",
    "offset": "/regulariser/offset",
}
"""The JSON pointer of each array name that ``SolveSpec.arrays`` yields, for errors."""

COMMON_INPUTS = {
    "row_weights": ArrayRole(shape=("n",), required=False, meaning="v, the weight of each row's residual"),
    "weights": ArrayRole(shape=("n",), required=False, meaning="w, the regulariser's weight of each row"),
    "offset": ArrayRole(shape=("n",), required=False, meaning="z̄, what the regulariser pulls Ax to"),
    "warm_start": ArrayRole(shape=("d",), required=False, meaning="x to start from, then its intercept"),
}
"""The arrays that a family may take besides its own ``inputs``, by the names that ``SolveSpec.arrays`` yields."""


def outputs_of(kind: str) -> list[str]:
    """Return the ``outputs`` that this kind makes."""
    supports = PROBLEMS[kind].supports
    if "outputs" not in supports:
        return []
    return [name for name in get_args(Output) if name not in OPTIONS or name in supports]


def array_roles(kind: str) -> dict[str, ArrayRole]:
    """Return what each array that this kind takes means, its own first."""
    problem = PROBLEMS[kind]
    return problem.inputs | {name: role for name, role in COMMON_INPUTS.items() if name in problem.supports}
