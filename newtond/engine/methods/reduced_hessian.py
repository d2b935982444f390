"""The Hessian of φ(X) = min over Y of F(X, Y) as a matrix, where d² is small enough for one.

With Tⱼ = A₃ᵀ diag(fⱼ) Mⱼ K (e, c), Uⱼ = YᵀTⱼ (m, c), Lⱼ = Kᵀ Mⱼᵀ diag(Gⱼ) Mⱼ K (c, c), Mⱼ = I − 1fⱼᵀ:

    H_xx = Σ qⱼqⱼᵀ ⊗ (UⱼᵀUⱼ + Lⱼ) + diag(λ)                                                                (1)
    H_yx[(a,b),(i,k)] = Σ qⱼᵢ (Zⱼₐ Uⱼ[b,k] + Rⱼ_b Tⱼ[a,k])                                                  (2)
    H = H_xx − H_xy ((ZᵀZ + μI)⁻¹ ⊗ I) H_yx                                                                (3)

Lⱼ and the second term of (2) are left out of the Gauss-Newton part. Cost: n·s·d² and n·d⁴ products.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from newtond.engine.methods.kronecker import outer_sum
from newtond.engine.state import Matrix

if TYPE_CHECKING:
    from newtond.engine.methods.variable_projection import Projection

GROUP_ENTRIES = 1 << 22


class ReducedHessian:
    """(3) at one place, in vec(X) row by row, or its Gauss-Newton part."""

    def __init__(self, here: "Projection", *, exact: bool) -> None:
        self.here, self.exact = here, exact
        r, c = here.layer.shape
        e, m = here.Y.shape
        self.xx, self.yx = np.zeros((r, r, c, c)), np.zeros((e, r, m, c))
        widest = max(e * c, c * c, m * c, r * r, e * r, m * r)
        for rows in here.layer.scores.groups(max(1, GROUP_ENTRIES // widest)):
            self._add(rows)
        H = self.xx.transpose(0, 2, 1, 3).reshape(r * c, r * c)
        cross = self.yx.transpose(0, 2, 1, 3).reshape(e, m * r * c)
        reduced = (here.fit.inverse_root.T @ cross).reshape(here.fit.rank * m, r * c)
        self.matrix: Matrix = H - reduced.T @ reduced
        self.matrix[np.diag_indices(r * c)] += here.layer.ridge.ravel()

    def _add(self, rows: slice) -> None:
        here = self.here
        q, Z, R = here.layer.queries[rows], here.Z[rows], here.R[rows]
        T, L = self._tensors(rows)
        U = np.matmul(here.Y.T, T)
        L += np.matmul(U.transpose(0, 2, 1), U)
        self.xx += outer_sum(q, q, L)
        self.yx += outer_sum(Z, q, U)
        if self.exact:
            self.yx += outer_sum(R, q, T).transpose(2, 1, 0, 3)

    def _tensors(self, rows: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Tⱼ (k, e, c) and Lⱼ (k, c, c), 0 unless exact, of these rows."""
        layer, keys, first = self.here.layer, self.here.layer.scores.keys, rows.start
        size, c, e = rows.stop - rows.start, keys.shape[1], layer.values.shape[1]
        T, L = np.empty((size, e, c)), np.zeros((size, c, c))

        def work(block: slice, seen: slice, P: Matrix) -> None:
            mine = slice(block.start - first, block.stop - first)
            for a in range(e):
                T[mine, a] = P @ (layer.values[seen, a, None] * keys[seen])
            T[mine] -= self.here.Z[block, :, None] * self.here.means[block, None, :]
            if self.exact:
                self._bend(block, seen, P, L[mine])

        layer.scores.each(self.here.queries, work, rows)
        return T, L

    def _bend(self, block: slice, seen: slice, P: Matrix, L: NDArray[np.float64]) -> None:
        keys, (pull, rho) = self.here.layer.scores.keys[seen], self.here.pull
        G = pull[block] @ self.here.layer.values[seen].T
        G -= rho[block, None]
        G *= P
        for k in range(keys.shape[1]):
            L[:, k] = G @ (keys[:, k, None] * keys)
        both = (G @ keys)[:, :, None] * self.here.means[block, None, :]
        L -= both + both.transpose(0, 2, 1)
