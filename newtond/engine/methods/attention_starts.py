"""The starts of attention and the stages of each: few rows before all of them, a ridge on Y before none.

Rows are independent given X, so many queries need not all be asked while X is far off; where X is small or of
low rank, a free Y would make up for it by its size.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from newtond.engine.methods.matrix_softmax import Maps
from newtond.engine.methods.multistart import Search, Stage
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.methods.variable_projection import Layer
from newtond.engine.sketches import Key, stratified
from newtond.engine.state import Vector

RESTRAINT = 1e-3
SAMPLE = 512
RESTRAINED, RESTRAINED_ITERATIONS, SAMPLED_ITERATIONS = 1e-2, 20, 40
OWN_NOISE = 0.5
"""A sample is left where the decrement is this share of what the noise of its rows alone would make it."""
STREAM = 7
STEEPNESS = (1.0, 3.0)
"""The standard deviations of the scores at random starts, in turn: soft maps and sharp ones."""


@dataclass(frozen=True)
class Starts:
    """``count`` starts of a terrain, random by the seed but for the first: X0 or 0, and 0.1 I.

    ``own`` and ``tenth`` are vec(X̃) of X0, where there is one, and of 0.1 I; ``unknowns`` those of X̃ and Y together.
    """

    terrain: Layer | Maps
    rule: StoppingRule
    count: int
    seed: int
    unknowns: int
    own: Vector | None
    tenth: Vector

    @property
    def search(self) -> Search:
        """The starts, and when each has ended."""
        return Search(self.start, self.count, self.stages, warm=self.own is not None)

    def stages(self, start: int) -> list[Stage]:
        """Return the functions that a start descends on: a sample of the rows before all of them."""
        rule, rows = self.rule, self.sample(start)
        few = self.terrain if rows is None else self.terrain.of_rows(rows)
        where = "" if rows is None else f"on {len(rows)} rows"
        stages, enough = [Stage(self.terrain, rule)], RESTRAINED
        if rows is not None:
            noise = float(np.sqrt(self.unknowns / (len(rows) * self.terrain.target.shape[1])))
            enough = max(RESTRAINED, OWN_NOISE * noise)
            stages.insert(0, Stage(few, _early(rule, enough, SAMPLED_ITERATIONS), where))
        if isinstance(few, Layer):
            name = ", ".join(part for part in (where, "with a ridge on Y") if part)
            stages.insert(0, Stage(self._restrained(few), _early(rule, enough, RESTRAINED_ITERATIONS), name))
        return stages

    @property
    def sampled(self) -> int:
        """How many rows a start descends on before it takes all of them; n where a sample would save little."""
        n, outputs = self.terrain.target.shape
        rows = max(SAMPLE, 8 * self.terrain.queries.shape[1], -(-4 * self.unknowns // outputs))
        return rows if 4 * rows <= n else n

    @property
    def large(self) -> bool:
        """Whether starts descend on a sample of the rows first."""
        return self.sampled < len(self.terrain.target)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The names of the first starts; of many unknowns and rows only X0, since 0 and 0.1 I lead nowhere there."""
        if self.large and not self.terrain.dense:
            return ("X0",) if self.own is not None else ()
        return ("X0" if self.own is not None else "0", "0.1 I")

    @property
    def words(self) -> str:
        """The starts in words."""
        random = ("then random by the seed",) if self.fixed else ("random by the seed",)
        first = f"; each on {self.sampled} rows by the seed first" if self.large else ""
        return ", ".join((*self.fixed, *random)) + first

    def sample(self, start: int) -> NDArray[np.int64] | None:
        """Return the rows that a start descends on first, drawn by the seed and its number."""
        n = len(self.terrain.target)
        return stratified(n, self.sampled, Key(self.seed, start)) if self.large else None

    def _restrained(self, layer: Layer) -> Layer:
        """Return the layer with a ridge on Y: where X is small or of low rank, Y would make up for it by size."""
        size = float(np.mean(layer.values**2)) * len(layer.queries)
        return replace(layer, ridge_y=layer.ridge_y + RESTRAINT * size)

    def start(self, number: int) -> Vector:
        """Return vec(X̃) of a start."""
        shape, name = self.terrain.shape, dict(enumerate(self.fixed)).get(number)
        if name == "X0" and self.own is not None:
            return self.own
        if name == "0":
            return np.zeros(shape).ravel()
        if name == "0.1 I":
            return self.tenth
        random = Key(self.seed, number).generator(STREAM).standard_normal(shape)
        return (STEEPNESS[number % len(STEEPNESS)] / np.sqrt(random.size) * random).ravel()


def _early(rule: StoppingRule, tolerance: float, iterations: int) -> StoppingRule:
    """Return the rule of a stage that only leads to the next."""
    return replace(
        rule,
        tolerance=max(tolerance, rule.tolerance),
        max_iterations=min(iterations, rule.max_iterations),
    )
