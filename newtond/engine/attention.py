"""One layer of attention in white coordinates: A₁ = U₁S₁W₁ᵀ, A₂ less its mean row = U₂S₂W₂ᵀ, and

    X = W₁ √n S₁⁻¹ X̃ √s S₂⁻¹ W₂ᵀ

Nothing is lost: adding a row to A₂ changes no softmax, and what A₁ or A₂ less its mean do not see of X is
null (where A₂ t = 1, X + v tᵀ has the loss of X); so X is of least norm and the ridge stays diagonal.
"""

from functools import cached_property

import numpy as np

from newtond.contract.errors import InvalidSpec
from newtond.contract.problem import AttentionProblem
from newtond.engine.arrays import dense_of
from newtond.engine.methods.matrix_softmax import Maps
from newtond.engine.methods.variable_projection import Layer
from newtond.engine.methods.white import White
from newtond.engine.rowblocks.scores import Scores
from newtond.engine.state import Inputs, Matrix, Vector

DENSE_UNKNOWNS = 2000


class WhiteAttention:
    """A problem with its arrays, read and checked, and its loss as a function of vec(X̃)."""

    def __init__(self, problem: AttentionProblem, inputs: Inputs, threads: int) -> None:
        """Raise InvalidSpec where the shapes do not fit."""
        self.problem, self.threads = problem, threads
        self.A1 = dense_of(inputs, "A1")
        self.A2 = dense_of(inputs, "A2") if "A2" in inputs else self.A1
        self.B = dense_of(inputs, "B")
        self.A3 = self._values(inputs)
        self._check_shapes()
        self.X0 = self._first(inputs)

    @property
    def is_map(self) -> bool:
        return self.problem.target == "map"

    def _values(self, inputs: Inputs) -> Matrix:
        if self.is_map:
            return np.empty((len(self.A2), 0))
        return dense_of(inputs, "A3") if "A3" in inputs else self.A2

    def _check_shapes(self) -> None:
        n, s = len(self.A1), len(self.A2)
        if len(self.A3) != s:
            raise _misfit("A3", f"A3 has {len(self.A3)} rows, but there are {s} keys, the rows of A2")
        if len(self.B) != n:
            raise _misfit("B", f"B has {len(self.B)} rows, A1 has {n}")
        if self.is_map and self.B.shape[1] != s:
            raise _misfit(
                "B", f"a map is {n} by {s}, one column a row of A2; B has {self.B.shape[1]} columns"
            )
        if self.problem.causal and n != s:
            raise _misfit("A2", f"a causal mask needs as many keys as queries; A2 has {s} rows, A1 {n}")

    def _first(self, inputs: Inputs) -> Matrix | None:
        if "X0" not in inputs:
            return None
        X0 = dense_of(inputs, "X0")
        expected = (self.A1.shape[1], self.A2.shape[1])
        if X0.shape != expected:
            raise _misfit("X0", f"X0 has shape {X0.shape}, expected {expected}")
        return X0

    @cached_property
    def rows(self) -> White:
        """A₁ in white coordinates."""
        return White.of(self.A1, centred=False)

    @cached_property
    def columns(self) -> White:
        """A₂ less its mean row, in white coordinates."""
        return White.of(self.A2, centred=True)

    @property
    def unknowns(self) -> int:
        """The entries of X̃ and of Y."""
        values = self.A3.shape[1] * self.B.shape[1]
        return self.rows.design.shape[1] * self.columns.design.shape[1] + (0 if self.is_map else values)

    @property
    def dense(self) -> bool:
        """Whether Hessians are formed as matrices."""
        return self.unknowns <= (DENSE_UNKNOWNS // 2 if self.is_map else DENSE_UNKNOWNS)

    @cached_property
    def terrain(self) -> Layer | Maps:
        """F as a function of vec(X̃), Y projected out."""
        keys = np.ascontiguousarray(self.columns.design)
        places = np.arange(len(self.A1))
        scores = Scores(keys, places, causal=self.problem.causal, threads=self.threads)
        ridge = self.problem.ridge_x * np.outer(self.rows.squares, self.columns.squares)
        if self.is_map:
            return Maps(self.rows.design, scores, self.B, ridge, self.dense)
        return Layer(self.rows.design, scores, self.A3, self.B, ridge, self.problem.ridge_y, self.dense)

    @property
    def identified(self) -> bool:
        """Whether a ridge or the scores determine all of X."""
        return self.problem.ridge_x > 0.0 or not (self.rows.nullity or self.columns.nullity)

    def inward(self, X: Matrix) -> Vector:
        """Return vec(X̃) of X, but for what no score sees."""
        return self.columns.coordinates(self.rows.coordinates(X).T).T.ravel()

    def outward(self, x: Vector) -> Matrix:
        """Return X of vec(X̃)."""
        return self.rows.back @ x.reshape(self.terrain.shape) @ self.columns.back.T


def _misfit(name: str, detail: str) -> InvalidSpec:
    return InvalidSpec(detail, source={"pointer": f"/{name}"})
