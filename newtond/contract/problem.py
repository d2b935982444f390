"""One spec class a problem family, and their union ``ProblemSpec``.

A family's class holds its options as fields and, as class variables, what the catalogue
(``GET /problems``) says of it: formula, symbols, source, differences from the source, and the arrays
that go in and come out. Adding a family adds a class here and its arrays to ``ProblemArrays``.
"""

from collections.abc import Collection
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from newtond.contract.array import ArrayInput, ArrayRole
from newtond.contract.model import Model
from newtond.contract.prediction import PredictionForm

DESIGN = ArrayRole(shape=("n", "d"), sparse=True, meaning="design matrix")
TARGET = ArrayRole(shape=("n",), meaning="target")
SOLUTION = ArrayRole(shape=("d",), meaning="the minimiser, one coefficient a column of A")


OPTIONS: dict[str, str] = {
    "intercept": "/intercept",
    "column_names": "/column_names",
    "row_weights": "/row_weights",
    "warm_start": "/warm_start",
    "outputs": "/outputs",
    "standard_errors": "/outputs",
    "weights": "/regulariser/weights",
    "convex": "/regulariser/weights",
    "offset": "/regulariser/offset",
    "offset_target": "/regulariser/offset",
    "ridge": "/regulariser/ridge",
    "hessian": "/solver/hessian",
    "paper": "/solver/hessian",
    "sketch": "/solver/sketch",
    "audit": "/solver/audit",
}
"""The options of ``SolveSpec`` that a kind may not support, and where they stand.

"standard_errors" is one of the outputs, for kinds whose Hessian means a covariance of the coefficients;
"convex" is weights = "convex", "offset_target" is offset = "target", "paper" is hessian = "paper"; "weights",
"offset" and "hessian" are any other value that is not the default.
"""


COMMON = frozenset(OPTIONS)

INTERCEPT_ERRORS = {
    "intercept_errors": ArrayRole(
        shape=("2",), required=False, meaning="the intercept's classical and sandwich standard error"
    )
}


def errors_of(unknown: str, shape: tuple[str, ...], parts: str) -> dict[str, ArrayRole]:
    """Return what ``outputs: ["standard_errors"]`` adds to the results; ``parts`` of the data are independent."""
    ending = "" if unknown == "x" else f"_{unknown}"
    return {
        f"standard_errors{ending}": ArrayRole(
            shape=shape,
            required=False,
            meaning=f"classical standard errors of {unknown}, if asked for and identified",
        ),
        f"sandwich_errors{ending}": ArrayRole(
            shape=shape,
            required=False,
            meaning=f"standard errors of {unknown} robust to unequal variances, from independent {parts}",
        ),
    }


ERRORS = errors_of("x", ("d",), "rows") | INTERCEPT_ERRORS
GROUP_ERRORS = errors_of("x", ("d",), "groups; rows, if there is one group")


IN_UNITS = "those of b"
NEW_ROWS = ArrayRole(shape=("n", "d"), sparse=True, meaning="new rows of A")
NEW_GROUPS = ArrayRole(
    shape=("n",), required=False, meaning="the group of each new row; needed where the solve had groups"
)


def shares_of(u: str, units: str = "shares: they sum to 1 in each group of new rows") -> PredictionForm:
    """Return the form of predictions that are divided by their sum over a group."""
    formula = f"f = u/⟨u, 1⟩ in each group of new rows, u = {u}"
    return PredictionForm(formula=formula, units=units, arrays={"A": NEW_ROWS, "groups": NEW_GROUPS})


NO_ROW_BLOCKS = "an audit computes gradients of row blocks again, and this kind's is not a sum of them"


class Problem(Model):
    """The base of every family's spec; the class variables are its catalogue entry.

    ``supports`` names the ``OPTIONS`` that this kind takes; another one that is given is refused, with the
    reason in ``because`` where there is one to tell. ``prediction`` is what new rows get, None where
    ``because`` says why nothing. ``continues`` are the arrays to start from, each by the result that it goes on from.
    """

    title: ClassVar[str]
    formula: ClassVar[str]
    symbols: ClassVar[dict[str, str]]
    reference: ClassVar[str]
    differences: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[dict[str, ArrayRole]]
    results: ClassVar[dict[str, ArrayRole]]
    one_of: ClassVar[tuple[str, ...]] = ()
    supports: ClassVar[frozenset[str]] = COMMON
    because: ClassVar[dict[str, str]] = {}
    prediction: ClassVar[PredictionForm | None] = None
    continues: ClassVar[dict[str, str]] = {"warm_start": "x"}

    def no_prediction(self) -> str | None:
        """Return why there is nothing to predict, None where there is."""
        return None if self.prediction is not None else self.because["prediction"]

    def excluded(self) -> dict[str, str]:
        """Return the arrays that the options leave no place for, and why."""
        return {}

    def same_lengths(self, given: Collection[str]) -> dict[str, str]:
        """Return symbols of shapes that the options, or arrays that are not ``given``, make equal to others."""
        return {}


class HyperbolicProblem(Problem):
    """Regularised exponential, hyperbolic cosine or hyperbolic sine regression."""

    title = "Exponential, cosh and sinh regression"
    formula = "min over x of ½ Σ vᵢ (f(aᵢ·x) − bᵢ)² + ½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖²,  f = exp, cosh or sinh"
    symbols = {
        "A": "design matrix (n × d), sparse or dense; aᵢ is its row i",
        "b": "target (n)",
        "x": "coefficients (d)",
        "v": "row_weights, 1 unless given",
        "w": "regulariser.weights (w itself, not its square)",
        "z̄": "regulariser.offset: 0, f⁻¹(b) or a vector",
        "λ": "regulariser.ridge",
    }
    reference = (
        "Li, Song, Zhou: Solving Regularized Exp, Cosh and Sinh Regression Problems, arXiv:2303.15725 (2023)"
    )
    differences = (
        "the paper's weights w are optional: they pull predictions to f(0), and the default is w = 0",
        "the iteration is globalised and uses the sketch as a preconditioner; the paper's own sampled "
        "Hessian is solver.hessian = 'paper'",
        "the convexity threshold is the tightest row-wise one, a quarter of the paper's for exp",
        "row weights, an intercept, a ridge and a row offset are added",
    )
    inputs = {"A": DESIGN, "b": TARGET}
    results = {"x": SOLUTION, **ERRORS}
    prediction = PredictionForm(
        formula="f(Ax + intercept), f = exp, cosh or sinh", units=IN_UNITS, arrays={"A": NEW_ROWS}
    )

    kind: Literal["hyperbolic"] = "hyperbolic"
    function: Literal["exp", "cosh", "sinh"]


class Linf(Model):
    """‖x − x*‖∞ ≤ linf/√d ‖Ax* − b‖ ‖A⁺‖, by one sketched solve."""

    linf: Annotated[float, Field(gt=0, le=1)]


class Epsilon(Model):
    """‖Ax − b‖² ≤ (1 + epsilon) times the least, by one solve on sampled rows."""

    epsilon: Annotated[float, Field(gt=0, le=1)]


class LeastSquaresProblem(Problem):
    """Linear least squares."""

    title = "Linear least squares"
    formula = "min over x of ½ Σ vᵢ (aᵢ·x − bᵢ)² + ½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖²"
    symbols = {**HyperbolicProblem.symbols, "z̄": "regulariser.offset: 0, b or a vector"}
    reference = (
        "Song, Yin, Zhang: Solving Attention Kernel Regression Problem via Pre-conditioner, "
        "arXiv:2308.14304 (2023), whose linear solves are of this form"
    )
    differences = (
        "the way is chosen by size and by measured conditioning: pivoted QR, sketched QR with refinement, or "
        "one Newton step refined by exact gradients",
        "row weights, an intercept, a ridge and a row offset are added",
    )
    inputs = {
        "A": DESIGN,
        "b": ArrayRole(shape=("n",), required=False, meaning="target; this or B"),
        "B": ArrayRole(shape=("n", "k"), required=False, meaning="targets, one a column; this or b"),
    }
    one_of = ("b", "B")
    results = {
        "x": SOLUTION,
        "X": ArrayRole(shape=("d", "k"), required=False, meaning="the minimisers, one a column of B"),
        "intercepts": ArrayRole(shape=("k",), required=False, meaning="the intercept of each column of B"),
        **ERRORS,
    }
    prediction = PredictionForm(
        formula="Ax + intercept; of several targets AX + intercepts, one a column",
        units=IN_UNITS,
        arrays={"A": NEW_ROWS},
        solution=("x", "X", "intercepts"),
    )

    kind: Literal["least_squares"] = "least_squares"
    guarantee: Linf | Epsilon | None = None


class AttentionProblem(Problem):
    """One-layer attention regression: the weights and values of a layer from its inputs and outputs."""

    title = "One-layer attention"
    formula = (
        "min over X, Y of ½‖P A₃ Y − B‖² + ½ λ_X‖X‖² + ½ λ_Y‖Y‖²,  P = softmax of each row of A₁ X A₂ᵀ; "
        "target 'map': min over X of ½‖P − B‖² + ½ λ_X‖X‖²"
    )
    symbols = {
        "A1": "queries (n × d)",
        "A2": "keys (s × c); A1 unless given",
        "A3": "values (s × e); A2 unless given; none where target is 'map'",
        "B": "target (n × m); (n × s) where target is 'map'",
        "X": "the weights that make scores of queries and keys (d × c), W_Q W_Kᵀ with its scale",
        "Y": "the weights of the values (e × m)",
        "λ_X": "ridge_x",
        "λ_Y": "ridge_y",
        "causal": "row i of P sees columns 0 … i only",
    }
    reference = (
        "Gao, Song, Wang, Yin: A Fast Optimization View: Reformulating Single Layer Attention in LLM Based on "
        "Tensor and SVM Trick, and Solving It in Matrix Multiplication Time, arXiv:2309.07418 (2023); target "
        "'map': Gao, Song, Xie: In-Context Learning for Attention Scheme: from Single Softmax Regression to "
        "Multiple Softmax Regression via a Tensor Trick, arXiv:2307.02419 (2023)"
    )
    differences = (
        "the loss carries a factor ½",
        "Y is projected out: for each X it is the solution of a linear least-squares problem",
        "the paper's dense d² × d² Hessian is used only where d is small; beyond, its products are exact",
        "several starts, of which the best is returned: the problem is not convex, and the answer is local",
        "ridges instead of the paper's weights; self-attention, a causal mask and other shapes are added",
    )
    inputs = {
        "A1": ArrayRole(shape=("n", "d"), sparse=True, meaning="queries"),
        "A2": ArrayRole(shape=("s", "c"), sparse=True, required=False, meaning="keys; A1 unless given"),
        "A3": ArrayRole(shape=("s", "e"), sparse=True, required=False, meaning="values; A2 unless given"),
        "B": ArrayRole(shape=("n", "m"), sparse=True, meaning="output of the layer, or its attention map"),
        "X0": ArrayRole(shape=("d", "c"), required=False, meaning="X to start from first"),
    }
    results = {
        "X": ArrayRole(shape=("d", "c"), meaning="the weights of the scores, of least norm"),
        "Y": ArrayRole(
            shape=("e", "m"), required=False, meaning="the weights of the values; none where target is 'map'"
        ),
        "losses": ArrayRole(shape=("k",), meaning="the loss at which each start ended, in order"),
        **errors_of("X", ("d", "c"), "rows of A1"),
        **errors_of("Y", ("e", "m"), "rows of A1"),
    }
    continues: ClassVar[dict[str, str]] = {"X0": "X"}
    supports = frozenset({"outputs", "standard_errors"})
    because = {
        "audit": NO_ROW_BLOCKS,
        "ridge": "it has one of its own for X and one for Y: problem.ridge_x, problem.ridge_y",
        "warm_start": "X to start from is the array X0",
    }
    prediction = PredictionForm(
        formula="P A₃ Y for new tokens, P = softmax of each row of A₁ X A₂ᵀ; target 'map': P",
        units="those of B; target 'map': weights that sum to 1 in each row",
        solution=("X", "Y"),
        arrays={
            "A1": ArrayRole(shape=("n", "d"), sparse=True, meaning="queries of the new tokens"),
            "A2": ArrayRole(
                shape=("s", "c"),
                sparse=True,
                required=False,
                meaning="their keys; unless given those of the solve, or A1 where the solve had none",
            ),
            "A3": ArrayRole(
                shape=("s", "e"),
                sparse=True,
                required=False,
                meaning="their values; unless given those of the solve, or A2 where the solve had none",
            ),
        },
    )

    kind: Literal["attention"] = "attention"
    target: Literal["output", "map"] = "output"
    causal: bool = False
    ridge_x: Annotated[float, Field(ge=0)] = 0.0
    ridge_y: Annotated[float, Field(ge=0)] = 0.0
    starts: Annotated[int, Field(ge=1, le=100)] = 5

    @model_validator(mode="after")
    def _a_map_has_no_values(self) -> Self:
        if self.target == "map" and self.ridge_y > 0.0:
            raise ValueError("ridge_y is of Y, and there is no Y where target is 'map'")
        return self

    def excluded(self) -> dict[str, str]:
        """A map has no values."""
        return {"A3": "there are no values where target is 'map'"} if self.target == "map" else {}

    def same_lengths(self, given: Collection[str]) -> dict[str, str]:
        """A2 is A1 unless given, A3 is A2; a map has a column a key, and a mask as many keys as queries."""
        own = {"s": "n", "c": "d"} if "A2" not in given else {"s": "n"} if self.causal else {}
        if self.target == "map":
            return own | {"m": "s"}
        return own if "A3" in given else own | {"e": "c"}


class TwoLayerProblem(Problem):
    """Two-layer regression: a softmax and an activation, in either order, with one unknown vector."""

    title = "Two-layer regression"
    formula = (
        "min over x of ½‖h(x) − b‖² + ½‖diag(w)(A₁x − z̄)‖² + ½ λ‖x‖², h(x) = φ(A₂ softmax(A₁ x)) "
        "(order 'softmax_first') or softmax(A₂ φ(A₁ x)) (order 'softmax_last')"
    )
    symbols = {
        "A1": "first layer (n × d), sparse or dense",
        "A2": "second layer (m × n), sparse or dense",
        "b": "target (m)",
        "x": "coefficients (d)",
        "φ": "activation: relu, softplus ln(1 + e^{βt})/β or identity",
        "w": "regulariser.weights (w itself, not its square), one a row of A1",
        "z̄": "regulariser.offset: 0 or a vector",
        "λ": "regulariser.ridge",
    }
    reference = (
        "order 'softmax_first': Li, Song, Wang, Yin: Local Convergence of Approximate Newton Method for Two "
        "Layer Nonlinear Regression, arXiv:2311.15390 (2023); order 'softmax_last': Deng, Song, Xie: "
        "Convergence of Two-Layer Regression with Nonlinear Units, arXiv:2308.08358 (2023)"
    )
    differences = (
        "of the papers only the abstracts were at hand: both readings of the layers' order are offered",
        "the weights w are optional and are no guarantee: no finite w makes the problem convex",
        "several starts; with relu inside the softmax each comes to it through softplus of growing β",
        "at a kink of relu there is no gradient: such a point is never called converged",
    )
    inputs = {
        "A1": ArrayRole(shape=("n", "d"), sparse=True, meaning="first layer"),
        "A2": ArrayRole(shape=("m", "n"), sparse=True, meaning="second layer"),
        "b": ArrayRole(shape=("m",), meaning="target"),
    }
    results = {
        "x": ArrayRole(shape=("d",), meaning="the minimiser, one coefficient a column of A1"),
        "losses": ArrayRole(shape=("k",), meaning="the loss at which each start ended, in order"),
        **errors_of("x", ("d",), "rows of b"),
    }
    supports = frozenset(
        {"column_names", "warm_start", "outputs", "standard_errors", "weights", "offset", "ridge"}
    )
    because = {
        "audit": NO_ROW_BLOCKS,
        "convex": "no weights make it convex everywhere",
        "offset_target": "b is not a target of A1 x",
    }
    prediction = PredictionForm(
        formula="φ(A₂ softmax(A₁x)), or softmax(A₂ φ(A₁x)) over the new rows of A₂",
        units=IN_UNITS,
        arrays={
            "A1": ArrayRole(
                shape=("n", "d"), sparse=True, required=False, meaning="first layer; the solve's unless given"
            ),
            "A2": ArrayRole(shape=("m", "n"), sparse=True, meaning="second layer, a row for each prediction"),
        },
    )

    kind: Literal["two_layer"] = "two_layer"
    order: Literal["softmax_first", "softmax_last"]
    activation: Literal["relu", "softplus", "identity"] = "relu"
    beta: Annotated[float, Field(gt=0, le=1e6)] | None = None
    starts: Annotated[int, Field(ge=1, le=100)] = 5

    @model_validator(mode="after")
    def _beta_is_of_softplus(self) -> Self:
        if self.beta is not None and self.activation != "softplus":
            raise ValueError("beta is of softplus; 1 unless given")
        return self


GROUPS = ArrayRole(
    shape=("n",),
    required=False,
    meaning="a number for each row: equal ones are one group; all rows unless given",
)
SHARES = ArrayRole(
    shape=("n",), meaning="target; a share of its group in every row, and not negative, to be met"
)
COUPLED = COMMON - {"offset_target", "paper"}
NOT_DIAGONAL = (
    "rows of a group are coupled, so the Hessian has no diagonal D to sample; 'exact' and 'sketch' do"
)


class SoftmaxProblem(Problem):
    """Softmax regression, in groups of rows that share x."""

    title = "Softmax regression"
    formula = (
        "min over x of Σ over groups of ½ Σ vᵢ (fᵢ − bᵢ)² + ½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖², "
        "f = exp(Ax) divided by its sum over the group"
    )
    symbols = {
        "A": "design matrix (n × d), sparse or dense; aᵢ is its row i",
        "b": "target (n)",
        "x": "coefficients (d)",
        "v": "row_weights, 1 unless given",
        "w": "regulariser.weights (w itself, not its square)",
        "z̄": "regulariser.offset: 0 or a vector",
        "λ": "regulariser.ridge",
        "groups": "a number a row; rows of equal number are one group",
    }
    reference = "Deng, Li, Song: Attention Scheme Inspired Softmax Regression, arXiv:2304.10411 (2023)"
    differences = (
        "rows may form groups, each a softmax of its own, that share x",
        "the paper's weights w are optional: they pull predictions to equal shares, and the default is w = 0",
        "the convexity threshold is the tightest known (0.2405 instead of 4 and more)",
        "the iteration is globalised and uses the sketch as a preconditioner of the exact Hessian",
        "row weights, a ridge and a row offset are added",
    )
    inputs = {"A": DESIGN, "b": SHARES, "groups": GROUPS}
    results = {"x": SOLUTION, **GROUP_ERRORS}
    supports = COUPLED - {"intercept"}
    because = {
        "intercept": "adding a constant to every predictor of a group changes no share, so none is identified",
        "paper": NOT_DIAGONAL,
        "offset_target": "shares determine Ax only up to a constant in each group; give the offset as a vector",
    }
    prediction = shares_of("exp(Ax)")

    kind: Literal["softmax"] = "softmax"


class SoftmaxResnetProblem(Problem):
    """Softmax regression with a residual connection: u = exp(z) + z, divided by its sum."""

    title = "Softmax-ResNet regression"
    formula = (
        "min over x of Σ over groups of ½ Σ vᵢ (fᵢ − bᵢ)² + ½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖², "
        "f = exp(Ax) + Ax divided by its sum over the group"
    )
    symbols = SoftmaxProblem.symbols
    reference = (
        "Song, Wang, Yin: A Unified Scheme of ResNet and Softmax, arXiv:2309.13482 (2023), from its abstract"
    )
    differences = (
        "rows may form groups, each with a sum of its own, that share x",
        "only points where every group's sum is positive are admitted: the loss is unbounded where it is 0",
        "the Hessian is not positive semidefinite everywhere, with no finite w: it is exact, and globalised",
        "row weights, w, an intercept, a ridge and a row offset are added",
    )
    inputs = {"A": DESIGN, "b": SHARES, "groups": GROUPS}
    results = {"x": SOLUTION, **GROUP_ERRORS, **INTERCEPT_ERRORS}
    supports = COUPLED - {"convex"}
    because = {
        "convex": "no finite w makes it convex: the loss is unbounded where the sum of exp(z) + z passes 0",
        "paper": NOT_DIAGONAL,
        "offset_target": "shares determine no predictor of their own; give the offset as a vector",
    }
    prediction = shares_of("exp(z) + z, z = Ax + intercept")

    kind: Literal["softmax_resnet"] = "softmax_resnet"


class RescaledProblem(Problem):
    """Rescaled exp, cosh and sinh regression: u against its sum times b, or u divided by its sum against b."""

    title = "Rescaled exp, cosh and sinh regression"
    formula = (
        "min over x of Σ over groups of ½ Σ vᵢ (uᵢ − ⟨u, 1⟩bᵢ)² + ½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖², "
        "u = exp, cosh or sinh of Ax; normalised: ½ Σ vᵢ (uᵢ/⟨u, 1⟩ − bᵢ)² instead"
    )
    symbols = SoftmaxProblem.symbols
    reference = "Gao, Song, Yin: An Iterative Algorithm for Rescaled Hyperbolic Functions Regression, arXiv:2305.00660"
    differences = (
        "rows may form groups, each with a sum of its own, that share x",
        "sinh without division is refused: x = 0 makes its loss 0 whatever b is",
        "the form divided by ⟨u, 1⟩ is added for cosh and sinh; that of exp is softmax",
        "no finite w makes the loss convex everywhere; w is optional, the iteration globalised",
        "row weights, a ridge and a row offset are added",
    )
    inputs = {"A": DESIGN, "b": SHARES, "groups": GROUPS}
    results = {"x": SOLUTION, **GROUP_ERRORS}
    supports = COUPLED - {"convex", "intercept"}
    because = {
        "convex": (
            "no finite w makes it convex everywhere: curvature grows with the square of u; and cosh is even, so "
            "where it is convex x = 0 is the answer for every b"
        ),
        "intercept": "of exp it would scale the loss to 0 by sending the sum there, and b cannot fix it",
        "paper": NOT_DIAGONAL,
        "offset_target": "b determines no predictor of its own; give the offset as a vector",
    }
    prediction = shares_of(
        "exp, cosh or sinh of Ax, where normalised; else f = u itself, b times the sum over its group where it fits",
        "shares where normalised; else those of αb, α the sum over the group",
    )

    kind: Literal["rescaled"] = "rescaled"
    function: Literal["exp", "cosh", "sinh"]
    normalised: bool = False

    @model_validator(mode="after")
    def _has_an_answer_that_depends_on_b(self) -> Self:
        if self.function == "exp" and self.normalised:
            raise ValueError("exp divided by its sum is the softmax: use the kind 'softmax'")
        if self.function == "sinh" and not self.normalised:
            raise ValueError(
                "sinh without division has loss 0 at x = 0 whatever b is, so its answer says nothing of b; "
                "normalised: true divides by the sum and has no such point"
            )
        return self


class PowerProblem(Problem):
    """Polynomial attention: powers of the predictors, divided by their sum over a group or not."""

    title = "Power regression"
    formula = (
        "min over x of Σ over groups of ½ Σ vᵢ (fᵢ − bᵢ)² + ½ γ log²(α₁/n₁) + ½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖², "
        "f = (Ax)^β divided by its sum α over the group; not normalised: f = (Ax)^β and γ = 0"
    )
    symbols = {
        **SoftmaxProblem.symbols,
        "β": "degree",
        "α₁, n₁": "the sum and the number of rows of the first group",
        "γ": "the mean of v over n₁: shares do not depend on the length of x, and this term, 0 at the answer, sets it",
    }
    reference = (
        "Song, Xu, Yin: The Expressibility of Polynomial based Attention Scheme, arXiv:2310.20051 (2023)"
    )
    differences = (
        "the paper compares what attention of low and of high degree can tell apart; here x is fitted to data",
        "the length of x, on which no share depends, is set by the sum of the first group",
        "an odd degree is admitted where every predictor is at least 0",
        "groups, row weights, w, an intercept and a row offset are added; a ridge where nothing is divided",
    )
    inputs = {"A": DESIGN, "b": TARGET, "groups": GROUPS}
    results = {"x": SOLUTION, **GROUP_ERRORS, **INTERCEPT_ERRORS}
    prediction = shares_of(
        "(Ax + intercept)^β, where normalised; else f = u itself", "shares where normalised; else those of b"
    )

    kind: Literal["power"] = "power"
    degree: Annotated[int, Field(ge=2, le=512)]
    normalised: bool = True


class AttentionKernelProblem(Problem):
    """Ridge regression on the attention kernel exp(AAᵀ), exp taken of every entry."""

    title = "Attention kernel regression"
    formula = "min over x of ½‖Kx − b‖² + ½ λ xᵀKx,  Kᵢⱼ = exp(⟨aᵢ, aⱼ⟩);  that is (K + λI) x = b"
    symbols = {
        "A": "points (n × d), sparse or dense; aᵢ is row i",
        "b": "target (n)",
        "x": "one coefficient a point (n)",
        "y": "y = Dx, D = diag(exp(‖aᵢ‖²/2)): a new point a is predicted as exp(‖a‖²/2) Σⱼ exp(−‖a − aⱼ‖²/2) yⱼ",
        "λ": "regulariser.ridge",
    }
    reference = (
        "Song, Yin, Zhang: Solving Attention Kernel Regression Problem via Pre-conditioner, "
        "arXiv:2308.14304 (2023)"
    )
    differences = (
        "exp(AAᵀ) is never formed: it is DGD, D = diag(exp(‖aᵢ‖²/2)) and G the Gaussian kernel of unit width",
        "a ridge λ, the kernel method's own: without it the residual is 0 wherever the points are distinct, "
        "and the condition number soon passes float64",
        "the preconditioner is a randomly pivoted Cholesky factor of rank r, not a sketch of the polynomial kernel; "
        "where n is small the system is factorised instead",
    )
    inputs = {"A": ArrayRole(shape=("n", "d"), sparse=True, meaning="points, one a row"), "b": TARGET}
    results = {
        "x": ArrayRole(shape=("n",), meaning="the minimiser, one coefficient a row of A"),
        "y": ArrayRole(shape=("n",), meaning="exp(‖aᵢ‖²/2) xᵢ, which predicts without overflow"),
        "fitted": ArrayRole(shape=("n",), required=False, meaning="Kx"),
        "residual": ArrayRole(shape=("n",), required=False, meaning="Kx − b"),
    }
    continues: ClassVar[dict[str, str]] = {}
    supports = frozenset({"ridge", "outputs"})
    because = {
        "audit": NO_ROW_BLOCKS,
        "hessian": "problem.method says how to solve",
        "paper": "problem.method says how to solve",
        "sketch": "problem.rank is the size of the preconditioner",
        "weights": "the kernel's regulariser is ridge",
        "convex": "the problem is convex already",
        "standard_errors": (
            "x has a coefficient a row: without the ridge n targets leave nothing to estimate a variance from, and "
            "with it the fit's bias, which no standard error holds, is as large as its error"
        ),
    }
    prediction = PredictionForm(
        formula="K(a, A) x = exp(‖a‖²/2) Σⱼ exp(−‖a − aⱼ‖²/2) yⱼ for each new row a, aⱼ the solve's",
        units=IN_UNITS,
        arrays={"A": ArrayRole(shape=("p", "d"), sparse=True, meaning="new points, one a row")},
        solution=("y",),
        solved=("A",),
    )

    kind: Literal["attention_kernel"] = "attention_kernel"
    method: Literal["auto", "cholesky", "pcg"] = "auto"
    rank: Annotated[int, Field(ge=1, description="rank of the preconditioner of pcg")] | None = None

    @model_validator(mode="after")
    def _rank_is_of_pcg(self) -> Self:
        if self.rank is not None and self.method == "cholesky":
            raise ValueError("rank is of pcg, and method is 'cholesky'")
        return self


class GramPowerProblem(Problem):
    """Least squares on a power of the Gram matrix."""

    title = "Powers of the Gram matrix"
    formula = "min over x of ½‖(AᵀA)ʲ x − b‖² + ½ λ‖x‖²  (form gram)  or  ½‖A (AᵀA)ʲ x − b‖² + ½ λ‖x‖²  (form design)"
    symbols = {
        "A": "matrix (n × d), sparse or dense",
        "b": "target: d entries for form gram, n for form design",
        "x": "coefficients (d)",
        "j": "power, 0, 1, 2, …",
        "λ": "regulariser.ridge",
    }
    reference = AttentionKernelProblem.reference
    differences = (
        "the powers are never formed: one factor R of A = QR and j chains of triangular solves, refined by "
        "residuals; for large d a chain of least squares by conjugate gradients, preconditioned by a sketch",
        "a rank-deficient A has the answer of least norm",
        "a ridge is added where a factorisation fits",
    )
    inputs = {
        "A": DESIGN,
        "b": ArrayRole(shape=("m",), meaning="target: d entries for form gram, n for form design"),
    }
    results = {
        "x": SOLUTION,
        "fitted": ArrayRole(shape=("m",), required=False, meaning="the power of A times x"),
        "residual": ArrayRole(shape=("m",), required=False, meaning="the power of A times x, less b"),
    }
    continues: ClassVar[dict[str, str]] = {}
    supports = frozenset({"ridge", "outputs", "sketch"})
    because = {
        "audit": NO_ROW_BLOCKS,
        "hessian": "problem.method says how to solve",
        "paper": "problem.method says how to solve",
        "convex": "the problem is convex already",
        "standard_errors": (
            "form gram has as many equations as unknowns, which leaves nothing to estimate a variance from; form "
            "design is least_squares where power is 0, and else has errors that grow as A's condition to 2j + 1"
        ),
    }
    prediction = PredictionForm(
        formula="A′ (AᵀA)ʲ x for new rows A′, A the solve's (form design)",
        units=IN_UNITS,
        arrays={"A": ArrayRole(shape=("p", "d"), sparse=True, meaning="new rows of A")},
        solved=("A", "b"),
    )

    kind: Literal["gram_power"] = "gram_power"
    power: Annotated[int, Field(ge=0, le=64)]
    form: Literal["gram", "design"] = "gram"
    method: Literal["auto", "qr", "pcg"] = "auto"

    def same_lengths(self, given: Collection[str]) -> dict[str, str]:
        """The form says whether b has an entry a column of A or a row."""
        return {"m": "d" if self.form == "gram" else "n"}

    def no_prediction(self) -> str | None:
        """Form gram has no rows to predict."""
        if self.form == "gram":
            return "form gram has an entry of b for each column of A, and new rows of A have none"
        return None


class GramExponentialProblem(Problem):
    """Ridge regression on the matrix exponential of the Gram matrix, or on its series cut after some terms."""

    title = "Exponential of the Gram matrix"
    formula = "min over x of ½‖E x − b‖² + ½ λ‖x‖²,  E = exp(AᵀA), or Σ (AᵀA)ʲ/j! over j = 0 … terms"
    symbols = {
        "A": "matrix (n × d), sparse or dense",
        "b": "target (d)",
        "x": "coefficients (d)",
        "J": "terms: the last power of the series; null is the exponential itself",
        "λ": "regulariser.ridge",
    }
    reference = AttentionKernelProblem.reference
    differences = (
        "the exponential itself, of which the paper studies the powers of its series one by one",
        "x = f(AᵀA) b, f(s) = e(s)/(e(s)² + λ), by eigenvalues or by Lanczos, scaled so that exp cannot overflow",
        "a ridge λ is added",
    )
    inputs = {"A": DESIGN, "b": ArrayRole(shape=("d",), meaning="target, one entry a column of A")}
    results = {"x": SOLUTION}
    continues: ClassVar[dict[str, str]] = {}
    supports = frozenset({"ridge"})
    because = {
        "audit": NO_ROW_BLOCKS,
        "hessian": "problem.method says how to solve",
        "paper": "problem.method says how to solve",
        "sketch": "nothing is sketched here",
        "convex": "the problem is convex already",
        "outputs": "exp(AᵀA) x is b up to the ridge, and past float64 where its condition number is",
        "standard_errors": "there are as many equations as unknowns: nothing is left to estimate a variance from",
        "prediction": "b has an entry for each column of A, and new rows of A have none: they would change exp(AᵀA)",
    }

    kind: Literal["gram_exponential"] = "gram_exponential"
    terms: Annotated[int, Field(ge=0, le=10_000)] | None = None
    method: Literal["auto", "eigen", "lanczos"] = "auto"


ProblemSpec = Annotated[
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
    | GramExponentialProblem,
    Field(discriminator="kind"),
]

PROBLEMS: dict[str, type[Problem]] = {
    "hyperbolic": HyperbolicProblem,
    "least_squares": LeastSquaresProblem,
    "attention": AttentionProblem,
    "two_layer": TwoLayerProblem,
    "softmax": SoftmaxProblem,
    "softmax_resnet": SoftmaxResnetProblem,
    "power": PowerProblem,
    "rescaled": RescaledProblem,
    "attention_kernel": AttentionKernelProblem,
    "gram_power": GramPowerProblem,
    "gram_exponential": GramExponentialProblem,
}


class ProblemArrays(Model):
    """Every array that some family takes; which of them a solve needs is its family's ``inputs``."""

    A: ArrayInput | None = None
    A1: ArrayInput | None = None
    A2: ArrayInput | None = None
    A3: ArrayInput | None = None
    B: ArrayInput | None = None
    X0: ArrayInput | None = None
    b: ArrayInput | None = None
    groups: ArrayInput | None = None
