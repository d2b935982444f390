"""f(M) b for a symmetric positive semidefinite M that is only multiplied by: Lanczos, fully reorthogonalised.

After k products f(M) b ≈ ‖b‖ Q_k f(T_k) e₁, T_k = Q_kᵀ M Q_k tridiagonal. Ends where the coefficients have moved by
less than the tolerance for two rounds, or Q_k spans an invariant subspace. Source: Druskin, Knizhnerman (1989);
Hochbruck, Lubich (1997): for exp it converges faster than any power once k passes the root of ‖M‖.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from scipy.linalg import eigh_tridiagonal

from newtond.contract.result import Termination
from newtond.contract.trace import Iteration
from newtond.engine.hessians.conjugate_gradients import Operator
from newtond.engine.state import Matrix, State, Step, Vector

ROUND = 10
AGREEMENTS = 2
ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Krylov:
    """Q (k + 1, d), whose last row is not yet multiplied, the diagonals of T_k, and whether that is all there is."""

    basis: Matrix
    diagonal: Vector
    beside: Vector
    whole: bool

    @classmethod
    def start(cls, b: Vector) -> "Krylov":
        """Return the space of no products."""
        length = float(np.linalg.norm(b))
        first = b / length if length > 0.0 else b
        return cls(first[None, :], np.empty(0), np.empty(0), length == 0.0)

    @property
    def size(self) -> int:
        return len(self.diagonal)

    def grown(self, product: Operator) -> "Krylov":
        """Return the space after one more product."""
        basis, k = self.basis, self.size
        image = product(basis[k])
        diagonal = np.append(self.diagonal, basis[k] @ image)
        for _ in range(2):
            image = image - (basis @ image) @ basis
        length = float(np.linalg.norm(image))
        scale = float(np.abs(diagonal).max() + np.abs(self.beside).max(initial=0.0))
        if k + 1 == basis.shape[1] or length <= 10.0 * ROUNDING * scale:
            return Krylov(basis, diagonal, self.beside, True)
        return Krylov(np.vstack([basis, image / length]), diagonal, np.append(self.beside, length), False)

    def ritz(self) -> tuple[Vector, Matrix]:
        """Return the eigenvalues (at least 0) and eigenvectors of T_k."""
        values, vectors = eigh_tridiagonal(self.diagonal, self.beside[: max(self.size - 1, 0)])
        return np.maximum(values, 0.0), np.asarray(vectors, np.float64)


@dataclass(frozen=True)
class Problem:
    """What is computed: M, b, f of eigenvalues, and the loss that a vector w of b's coordinates along them has."""

    product: Operator
    b: Vector
    function: Callable[[Vector], Vector]
    loss: Callable[[Vector, Vector], float]
    tolerance: float
    max_iterations: int

    def coefficients(self, krylov: Krylov) -> tuple[Vector, float]:
        """Return the coefficients of f(M) b in Q_k, and the loss there."""
        length = float(np.linalg.norm(self.b))
        if krylov.size == 0:
            return np.empty(0), 0.5 * length * length
        values, vectors = krylov.ritz()
        along = length * vectors[0]
        return vectors @ (self.function(values) * along), self.loss(values, along)


def solve(problem: Problem, state: State | None) -> Iterator[Step]:
    """Yield a step for every ten products; the record's gradient_norm is how far they moved the answer."""
    if state is None:
        krylov, agreed, k = Krylov.start(problem.b), 0, 0
    else:
        krylov, agreed, k = _read(state), int(state.scalars["agreed"]), state.iteration
    here, loss = problem.coefficients(krylov)
    while True:
        since = perf_counter()
        termination, words = _verdict(problem, krylov, agreed, k)
        if termination is not None:
            record = Iteration(iteration=k, loss=loss, gradient_norm=0.0)
            yield Step(record, _state(k, krylov, here, agreed), termination, words)
            return
        products = 0
        while products < ROUND and not krylov.whole:
            krylov, products = krylov.grown(problem.product), products + 1
        ahead, next_loss = problem.coefficients(krylov)
        moved = np.linalg.norm(ahead - np.pad(here, (0, len(ahead) - len(here))))
        agreed = agreed + 1 if moved <= problem.tolerance * np.linalg.norm(ahead) else 0
        record = Iteration(
            iteration=k,
            loss=loss,
            gradient_norm=float(moved),
            cg_iterations=products,
            phases={"lanczos": perf_counter() - since},
        )
        here, loss, k = ahead, next_loss, k + 1
        yield Step(record, _state(k, krylov, here, agreed))


def _verdict(problem: Problem, krylov: Krylov, agreed: int, k: int) -> tuple[Termination | None, str]:
    if krylov.whole:
        return "converged", f"the Krylov space of {krylov.size} vectors is invariant: f of it is exact"
    if agreed >= AGREEMENTS:
        said = f"{AGREEMENTS * ROUND} further products moved x by ≤ {problem.tolerance:g} of it"
        return "converged", said
    if k >= problem.max_iterations:
        return "max_iterations", f"{problem.max_iterations} iterations of {ROUND} products"
    return None, ""


def vector(state: State) -> Vector:
    """Return f(M) b as a state has it."""
    coefficients = state.arrays["coefficients"]
    return np.asarray(coefficients @ state.arrays["basis"][: len(coefficients)])


def _state(k: int, krylov: Krylov, coefficients: Vector, agreed: int) -> State:
    arrays = {
        "basis": krylov.basis,
        "diagonal": krylov.diagonal,
        "beside": krylov.beside,
        "coefficients": coefficients,
    }
    return State(k, arrays, {"agreed": agreed, "whole": int(krylov.whole)})


def _read(state: State) -> Krylov:
    arrays = state.arrays
    return Krylov(arrays["basis"], arrays["diagonal"], arrays["beside"], bool(state.scalars["whole"]))
