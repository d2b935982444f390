"""Newton in a trust region on a function whose Hessian is known by its products: truncated conjugate gradients.

A step is where the path of conjugate gradients on H p = −g leaves the region ‖p‖_M ≤ Δ, or meets negative
curvature (followed to the edge of the region), or meets its accuracy; M is the preconditioner. A shorter region
cuts the same path, so a step that failed costs no further product. While the decrement is large, products are
rough ones.

Sources: Steihaug (1983); Toint (1981); Conn, Gould and Toint, Trust-Region Methods (2000), 7.5 for norms in M.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from newtond.contract.result import Termination
from newtond.engine.hessians import Direction
from newtond.engine.hessians.conjugate_gradients import Operator
from newtond.engine.methods.descent import Place, Terrain, judge, leave, record_of, threshold, words
from newtond.engine.methods.stopping import STALLED, Stall, StoppingRule, exhausted
from newtond.engine.state import State, Step, Vector

MOST_PRODUCTS = 300
FAR, NEAR = 1e-1, 1e-3
CLOSE = 1e-4
"""Of √(2F): below such a √(gᵀM⁻¹g) products are no longer rough."""
FIRST_RADIUS = 4.0
"""Of √(gᵀM⁻¹g), the length of a step if M were H."""
POOR, GOOD = 0.25, 0.75
RADIUS = "radius"
"""In the scalars of a state which a trust region has made, or is to go on from."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A step p, ‖p‖_M, what the model promises of it, its products; whether an edge ended it, whether H p = −g."""

    vector: Vector
    length: float
    promised: float
    products: int
    edge: bool
    solved: bool


@dataclass
class Path:
    """The iterates of conjugate gradients from p = 0, made as far as they are asked for."""

    product: Operator
    precondition: Operator
    gradient: Vector
    accuracy: float
    _directions: list[Vector] = field(default_factory=list)
    _bends: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._residual = -self.gradient
        image = self.precondition(self._residual)
        self._direction, self._square = image, float(self._residual @ image)
        self._squares = [self._square]

    @property
    def size(self) -> float:
        """√(gᵀM⁻¹g)."""
        return float(np.sqrt(max(self._squares[0], 0.0)))

    def within(self, radius: float) -> Cut:
        """Return where the path leaves the region, or ends in it."""
        vector, promised = np.zeros_like(self.gradient), 0.0
        norm, cross, own = 0.0, 0.0, self._squares[0]
        goal = self.accuracy**2 * self._squares[0]
        for k in range(MOST_PRODUCTS):
            square = self._squares[k]
            if square <= goal or square <= 0.0:
                return Cut(vector, float(np.sqrt(norm)), promised, k, edge=False, solved=True)
            bend = self._bend(k)
            step = square / bend if bend > 0.0 else np.inf
            if norm + step * (2.0 * cross + step * own) >= radius**2:
                step = (float(np.sqrt(cross**2 + own * (radius**2 - norm))) - cross) / own
                vector = vector + step * self._directions[k]
                promised += step * (square - 0.5 * step * bend)
                return Cut(vector, radius, promised, k + 1, edge=True, solved=False)
            vector = vector + step * self._directions[k]
            promised += 0.5 * step * square
            share = self._after(k, step) / square
            norm += step * (2.0 * cross + step * own)
            cross, own = share * (cross + step * own), self._squares[k + 1] + share**2 * own
        return Cut(vector, float(np.sqrt(norm)), promised, MOST_PRODUCTS, edge=False, solved=False)

    def _bend(self, k: int) -> float:
        """Return sₖᵀHsₖ of the k-th direction."""
        if k == len(self._directions):
            self._image = self.product(self._direction)
            self._directions.append(self._direction)
            self._bends.append(float(self._direction @ self._image))
        return self._bends[k]

    def _after(self, k: int, step: float) -> float:
        """Return rᵀM⁻¹r after the k-th step."""
        if k + 1 == len(self._squares):
            self._residual = self._residual - step * self._image
            image = self.precondition(self._residual)
            square = float(self._residual @ image)
            self._direction = image + (square / self._squares[k]) * self._direction
            self._squares.append(square)
        return self._squares[k + 1]


@dataclass(frozen=True, slots=True)
class Region:
    """What an iteration needs to know of those before it, beside x; a radius of 0 is still to be chosen."""

    radius: float = 0.0
    stall: Stall = field(default_factory=Stall)

    @classmethod
    def of(cls, state: State) -> "Region":
        """Read what ``scalars`` wrote."""
        return cls(float(state.scalars[RADIUS]), Stall.of(state.scalars))

    def scalars(self) -> dict[str, float | int | str]:
        """Return the region as a state's scalars."""
        return {RADIUS: self.radius} | self.stall.scalars()


def trust_region(terrain: Terrain, rule: StoppingRule, here: Place, region: Region, k: int) -> Iterator[Step]:
    """Yield a step an iteration, one trial each, from iteration k at ``here`` until the rule or the limit."""
    since = perf_counter()
    path = _path(here)
    while True:
        if region.radius == 0.0:
            region = replace(region, radius=FIRST_RADIUS * path.size)
        cut = path.within(region.radius)
        phases = {"direction": perf_counter() - since}
        since = perf_counter()
        decrement = float(np.sqrt(max(-float(here.gradient @ cut.vector), 0.0)))
        direction = Direction(cut.vector, decrement, cut.solved, cut.products)
        termination, said = _verdict(rule, region, here, direction, k)
        there, note = None, None
        if termination == "converged" and (there := leave(terrain, here, rule)) is not None:
            note, termination, after = "left a saddle point", None, Region()
        if there is None and termination is None:
            there, after = _advance(terrain, here, cut, decrement, region)
        phases["trial"] = perf_counter() - since
        note = note or (None if there is not here else "the step did not decrease the loss: region cut")
        tried = None if termination else float(there is not here)
        record = record_of(k, here, direction, tried, note, phases)
        if termination is not None:
            yield Step(record, State(k, {"x": here.x}, region.scalars()), termination, said)
            return
        assert there is not None
        yield Step(record, State(k + 1, {"x": there.x}, after.scalars()))
        since = perf_counter()
        if there is not here:
            path = _path(there)
        here, region, k = there, after, k + 1


def _path(here: Place) -> Path:
    products = here.products
    assert products is not None
    path = Path(products.rough, products.precondition, here.gradient, FAR)
    share = path.size / np.sqrt(2.0 * here.value) if here.value > 0.0 else 0.0
    path.accuracy = float(np.clip(np.sqrt(share), NEAR, FAR))
    if share <= CLOSE:
        path.product = products.exact
    return path


def _verdict(
    rule: StoppingRule, region: Region, here: Place, direction: Direction, k: int
) -> tuple[Termination | None, str]:
    if direction.solved and direction.decrement <= threshold(rule, here):
        return "converged", words(rule, here)
    if region.stall.reached:
        return exhausted(here.value, direction.decrement) if direction.solved else STALLED
    return rule.spent(k) or (None, "")


def _advance(
    terrain: Terrain, here: Place, cut: Cut, decrement: float, region: Region
) -> tuple[Place, Region]:
    """Return the next place (or the same one, in a smaller region) and what was learnt on the way."""
    there = terrain.at(here.x + cut.vector)
    trial = judge(here, there, cut.promised, decrement, region.stall)
    if not trial.taken:
        return here, Region(POOR * cut.length, trial.stall)
    return there, Region(_adapted(region.radius, trial.ratio, cut), trial.stall)


def _adapted(radius: float, ratio: float, cut: Cut) -> float:
    if ratio < POOR:
        return POOR * cut.length
    return 2.0 * radius if ratio > GOOD and cut.edge else radius
