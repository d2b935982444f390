"""One spec class a problem family, and their union ``ProblemSpec``.

A family's class holds its options as fields and, as class variables, what the catalogue
(``GET /problems``) says of it: formula, symbols, source, differences from the source, and the arrays
that go in and come out. Adding a family adds a class here and its arrays to ``ProblemArrays``.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from newtond.contract.array import ArrayInput, ArrayRole
from newtond.contract.model import Model

DESIGN = ArrayRole(shape=("n", "d"), sparse=True, meaning="design matrix")
TARGET = ArrayRole(shape=("n",), meaning="target")
SOLUTION = ArrayRole(shape=("d",), meaning="the minimiser, one coefficient a column of A")


OPTIONS: dict[str, str] = {
    "intercept": "/intercept",
    "column_names": "/column_names",
    "row_weights": "/row_weights",
    "warm_start": "/warm_start",
    "outputs": "/outputs",
    "weights": "/regulariser/weights",
    "convex": "/regulariser/weights",
    "offset": "/regulariser/offset",
    "offset_target": "/regulariser/offset",
    "ridge": "/regulariser/ridge",
    "hessian": "/solver/hessian",
    "paper": "/solver/hessian",
    "sketch": "/solver/sketch",
}
"""The options of ``SolveSpec`` that a kind may not support, and where they stand.

"convex" is weights = "convex", "offset_target" is offset = "target", "paper" is hessian = "paper"; "weights",
"offset" and "hessian" are any other value that is not the default.
"""


class Problem(Model):
    """The base of every family's spec; the class variables are its catalogue entry.

    ``supports`` names the ``OPTIONS`` that this kind takes; another one that is given is refused, with the
    reason in ``because`` where there is one to tell.
    """

    title: ClassVar[str]
    formula: ClassVar[str]
    symbols: ClassVar[dict[str, str]]
    reference: ClassVar[str]
    differences: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[dict[str, ArrayRole]]
    results: ClassVar[dict[str, ArrayRole]]
    supports: ClassVar[frozenset[str]] = frozenset(OPTIONS)
    because: ClassVar[dict[str, str]] = {}


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
    results = {"x": SOLUTION}

    kind: Literal["hyperbolic"] = "hyperbolic"
    function: Literal["exp", "cosh", "sinh"]


class LeastSquaresProblem(Problem):
    """Linear least squares."""

    title = "Linear least squares"
    formula = "min over x of ½ Σ vᵢ (aᵢ·x − bᵢ)² + ½‖diag(w)(Ax − z̄)‖² + ½ λ‖x‖²"
    symbols = {**HyperbolicProblem.symbols, "z̄": "regulariser.offset: 0, b or a vector"}
    reference = (
        "Song, Yin, Zhang: Solving Attention Kernel Regression Problem via Pre-conditioner, "
        "arXiv:2308.14304 (2023), whose linear solves are of this form"
    )
    differences = ("solved as one Newton step with refinement by exact gradients",)
    inputs = {"A": DESIGN, "b": TARGET}
    results = {"x": SOLUTION}

    kind: Literal["least_squares"] = "least_squares"


GROUPS = ArrayRole(
    shape=("n",),
    required=False,
    meaning="a number for each row: equal ones are one group; all rows unless given",
)
SHARES = ArrayRole(
    shape=("n",), meaning="target; a share of its group in every row, and not negative, to be met"
)
COUPLED = frozenset(OPTIONS) - {"offset_target", "paper"}
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
    results = {"x": SOLUTION}
    supports = COUPLED - {"intercept"}
    because = {
        "intercept": "adding a constant to every predictor of a group changes no share, so none is identified",
        "paper": NOT_DIAGONAL,
        "offset_target": "shares determine Ax only up to a constant in each group; give the offset as a vector",
    }

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
    results = {"x": SOLUTION}
    supports = COUPLED - {"convex"}
    because = {
        "convex": "no finite w makes it convex: the loss is unbounded where the sum of exp(z) + z passes 0",
        "paper": NOT_DIAGONAL,
        "offset_target": "shares determine no predictor of their own; give the offset as a vector",
    }

    kind: Literal["softmax_resnet"] = "softmax_resnet"


ProblemSpec = Annotated[
    HyperbolicProblem | LeastSquaresProblem | SoftmaxProblem | SoftmaxResnetProblem,
    Field(discriminator="kind"),
]

PROBLEMS: dict[str, type[Problem]] = {
    "hyperbolic": HyperbolicProblem,
    "least_squares": LeastSquaresProblem,
    "softmax": SoftmaxProblem,
    "softmax_resnet": SoftmaxResnetProblem,
}


class ProblemArrays(Model):
    """Every array that some family takes; which of them a solve needs is its family's ``inputs``."""

    A: ArrayInput | None = None
    b: ArrayInput | None = None
    groups: ArrayInput | None = None
