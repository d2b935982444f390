"""Standard errors of X and Y of an attention layer, from the joint Hessian at one place (small layers only).

With q_j, z_j, r_j row j of Q, Z = PA₃ and R, Tⱼ and Uⱼ as in `reduced_hessian` and t_j row j of (P∘(E − ρ))K,

    JᵀJ = Σⱼ (qⱼ ⊗ Uⱼ; zⱼ ⊗ I)ᵀ(qⱼ ⊗ Uⱼ; zⱼ ⊗ I),     sⱼ = (qⱼ ⊗ tⱼ; zⱼ ⊗ rⱼ)                         (1)

A query's outputs share its row of P, so scores are summed over them: the parts of the sandwich are rows of A₁.
"""

import numpy as np
from scipy.linalg import block_diag

from newtond.engine.methods.matrix_softmax import MapFit
from newtond.engine.methods.reduced_hessian import ReducedHessian
from newtond.engine.methods.standard_errors import Moments
from newtond.engine.methods.variable_projection import Projection
from newtond.engine.state import Matrix, Vector

SUMS_TO_ONE = 1e-9


def layer_moments(here: Projection) -> Moments:
    """Return the moments of (vec X, vec Y), row by row."""
    layer, ridge = here.layer, here.layer.ridge.ravel()
    penalty = np.concatenate([ridge, np.full(here.Y.size, layer.ridge_y)])
    data = _joint(here, exact=False)
    scores = np.hstack(
        [_products(layer.queries, here.pulled(*here.pull)), _products(here.Z, here.R)],
    )
    own = here.Z.T @ here.R + layer.ridge_y * here.Y
    gradient = np.concatenate([here.gradient, own.ravel()])
    hessian = _joint(here, exact=True) + np.diag(penalty)
    return _moments(hessian, data, penalty, scores, gradient, here.R, here.R.size, here.noise)


def map_moments(here: MapFit) -> Moments:
    """Return the moments of vec X; entries that a causal mask hides are no data, nor is one of a row of shares."""
    maps = here.maps
    penalty = maps.ridge.ravel()
    R = here.fitted() - maps.target
    seen = np.tri(*R.shape) if maps.scores.causal else np.ones(R.shape)
    R *= seen
    shares = np.abs(np.sum(maps.target * seen, axis=1) - 1.0) <= SUMS_TO_ONE
    free = int(seen.sum()) - int(np.count_nonzero(shares))
    data = here.matrix(exact=False) - np.diag(penalty)
    scores = _products(maps.queries, here.pulled())
    return _moments(here.matrix(exact=True), data, penalty, scores, here.gradient, R, free, here.noise)


def outward(rows: Matrix, columns: Matrix, values: int) -> Matrix:
    """Return the map from (vec X̃, vec Y) to (vec(rows X̃ columnsᵀ), vec Y), Y of ``values`` entries."""
    return np.asarray(block_diag(np.kron(rows, columns), np.eye(values)))


def _moments(
    hessian: Matrix,
    data: Matrix,
    penalty: Vector,
    scores: Matrix,
    gradient: Vector,
    R: Matrix,
    free: int,
    noise: float,
) -> Moments:
    parts, p = scores.shape
    enough = parts > p
    return Moments(
        hessian=hessian,
        model=data + np.diag(penalty),
        data=data,
        scores=scores.T @ scores if enough else None,
        remark="" if enough else f"{parts} rows of A1 are no more than {p} unknowns",
        size=np.diag(data) + penalty,
        gradient=gradient,
        squares=float(np.sum(R**2)),
        rows=free,
        noise=noise,
    )


def _joint(here: Projection, *, exact: bool) -> Matrix:
    """Return JᵀJ, or the Hessian without its ridges, of (vec X, vec Y)."""
    parts, (r, c), (e, m) = ReducedHessian(here, exact=exact), here.layer.shape, here.Y.shape
    xx = parts.xx.transpose(0, 2, 1, 3).reshape(r * c, r * c)
    yx = parts.yx.transpose(0, 2, 1, 3).reshape(e * m, r * c)
    return np.block([[xx, yx.T], [yx, np.kron(here.Z.T @ here.Z, np.eye(m))]])


def _products(left: Matrix, right: Matrix) -> Matrix:
    """Return vec(leftᵢ rightᵢᵀ) of each row i."""
    return np.einsum("ia,ib->iab", left, right).reshape(len(left), -1)
