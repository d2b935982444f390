"""Newton in a trust region: a curved valley, a saddle, a path that is cut, and states to go on from."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from newtond.engine.hessians import Direction
from newtond.engine.methods.descent import Products
from newtond.engine.methods.stopping import StoppingRule
from newtond.engine.methods.trust_region import Path, Region, trust_region
from newtond.engine.state import State, Step, Vector
from tests.engine.conftest import bits

RULE = StoppingRule(1e-10, 300, 0.0)


@dataclass
class Valley:
    """½ + Σ over pairs of 50 (x₂ − x₁²)² + ½ (1 − x₁)², Rosenbrock's; ``asked`` counts products with its Hessian."""

    asked: list[int] = field(default_factory=lambda: [0])

    def at(self, x: Vector) -> "Spot":
        return Spot(x, self)


@dataclass
class Spot:
    x: Vector
    valley: Valley
    kink = ""
    noise = 0.0

    @property
    def value(self) -> float:
        u, v = self.x[::2], self.x[1::2]
        return 0.5 + float(np.sum(50.0 * (v - u**2) ** 2 + 0.5 * (1.0 - u) ** 2))

    @property
    def gradient(self) -> Vector:
        u, v = self.x[::2], self.x[1::2]
        g = np.empty_like(self.x)
        g[::2], g[1::2] = -200.0 * u * (v - u**2) - (1.0 - u), 100.0 * (v - u**2)
        return g

    @property
    def hessian(self) -> Vector:
        H = np.zeros((self.x.size, self.x.size))
        for i in range(0, self.x.size, 2):
            u, v = self.x[i : i + 2]
            H[i : i + 2, i : i + 2] = [[600.0 * u * u - 200.0 * v + 1.0, -200.0 * u], [-200.0 * u, 100.0]]
        return H

    @property
    def products(self) -> Products:
        def product(d: Vector) -> Vector:
            self.valley.asked[0] += 1
            return self.hessian @ d

        return Products(product, product, lambda d: d / np.tile([200.0, 100.0], self.x.size // 2))

    def step(self, damping: float, exact: bool, accuracy: float) -> Direction | None:
        raise NotImplementedError

    def drag(self, vector: Vector, damping: float) -> float:
        raise NotImplementedError

    def bend(self) -> Vector | None:
        values, vectors = np.linalg.eigh(self.hessian)
        return vectors[:, 0] if values[0] < 0.0 else None


def run(valley: Valley, state: State) -> list[Step]:
    here = valley.at(state.arrays["x"])
    return list(trust_region(valley, RULE, here, Region.of(state), state.iteration))


def ran(x: Vector, valley: Valley | None = None) -> list[Step]:
    return run(valley or Valley(), State(0, {"x": x}, Region().scalars()))


def test_it_follows_a_curved_valley_to_its_end() -> None:
    *_, last = ran(np.tile([-1.2, 1.0], 20))
    assert last.termination == "converged"
    assert np.allclose(last.state.arrays["x"], 1.0, atol=1e-9)
    assert last.record.iteration < 100


def test_it_goes_down_from_where_the_hessian_is_indefinite() -> None:
    here = Valley().at(np.tile([0.1, 3.0], 3))
    assert np.linalg.eigvalsh(here.hessian)[0] < 0.0
    assert ran(here.x)[-1].termination == "converged"


def test_a_start_of_no_gradient_is_left_where_it_is_a_saddle() -> None:
    @dataclass
    class Saddle(Spot):
        @property
        def value(self) -> float:
            return float(1.0 + np.sum(self.x**4 / 4.0 - self.x**2 / 2.0))

        @property
        def gradient(self) -> Vector:
            return self.x**3 - self.x

        @property
        def hessian(self) -> Vector:
            return np.diag(3.0 * self.x**2 - 1.0)

    class Hills(Valley):
        def at(self, x: Vector) -> Spot:
            return Saddle(x, self)

    steps = ran(np.zeros(2), Hills())
    assert steps[0].record.note == "left a saddle point"
    assert steps[-1].termination == "converged"
    assert np.allclose(np.abs(steps[-1].state.arrays["x"]), 1.0)


def test_a_smaller_region_cuts_the_same_path_without_a_product() -> None:
    valley = Valley()
    here = valley.at(np.tile([-1.2, 1.0], 20) + np.random.default_rng(0).normal(size=40))
    path = Path(here.products.exact, here.products.precondition, here.gradient, 1e-3)
    path.within(10.0 * path.size)
    for share in (1.0, 0.3, 0.01):
        cut = path.within(share * path.size)
        fresh = Path(here.products.exact, here.products.precondition, here.gradient, 1e-3)
        again = fresh.within(share * path.size)
        assert cut.vector.tobytes() == again.vector.tobytes()
        assert (cut.promised, cut.products) == (again.promised, again.products)
        M = np.tile([200.0, 100.0], 20)
        assert np.sqrt(np.sum(M * cut.vector**2)) == pytest.approx(cut.length, rel=1e-9)
        model = here.gradient @ cut.vector + 0.5 * cut.vector @ here.hessian @ cut.vector
        assert cut.promised == pytest.approx(-model, rel=1e-9)
    before = valley.asked[0]
    path.within(0.5 * path.size)
    assert valley.asked[0] == before


@pytest.mark.parametrize("taken", [1, 4, 9])
def test_it_goes_on_from_any_state_with_the_same_bits(taken: int) -> None:
    whole = ran(np.tile([-1.2, 1.0], 20))
    rejected = [step for step in whole if step.record.step_size == 0.0]
    assert rejected, "nothing was tried and not taken"
    for step in (whole[taken], rejected[0]):
        assert bits(run(Valley(), step.state)) == bits(whole)[step.state.iteration :]
