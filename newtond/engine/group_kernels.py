"""Compiled loops over groups of rows whose loss couples them: value, gradient and curvature in z.

Every form here is ½ Σ vᵢ rᵢ², and its Hessian in z has, on each group, the shape

    B = Kᵀ diag(d) K + diag(h) − q aᵀ − a qᵀ,   K = diag(k) − l aᵀ                                      (1)

with a positive semidefinite model Kᵀ diag(m) K, m ≥ 0. ``expand`` fills all of it for the groups of ``edges``
(absolute positions), ``along`` gives the value on a ray, ``fit`` what is predicted and what is left over.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from newtond.engine.kernels import bind, exp, inner, kernel


class GroupKernels(NamedTuple):
    """The kernels of one loss of coupled rows; ``bends`` False where h = q = 0 for every z.

    ``of_data`` are those of ½ Σ v r² alone, where these add a term to it.
    """

    expand: Callable[..., float]
    along: Callable[..., float]
    fit: Callable[..., None]
    bends: bool = True
    of_data: "GroupKernels | None" = None


@kernel
def couple(y, edges, d, k, left, a, h, q, out):
    """out = B y, with B as in (1)."""
    for g in range(edges.size - 1):
        first, last = edges[g], edges[g + 1]
        along_a = along_q = 0.0
        for i in range(first, last):
            along_a += a[i] * y[i]
            along_q += q[i] * y[i]
        back = 0.0
        for i in range(first, last):
            w = d[i] * (k[i] * y[i] - left[i] * along_a)
            back += left[i] * w
            out[i] = k[i] * w + h[i] * y[i] - q[i] * along_a
        back += along_q
        for i in range(first, last):
            out[i] -= a[i] * back


@kernel
def spread_coupled(y, edges, k, left, a, out):
    """out = K y."""
    for g in range(edges.size - 1):
        along = 0.0
        for i in range(edges[g], edges[g + 1]):
            along += a[i] * y[i]
        for i in range(edges[g], edges[g + 1]):
            out[i] = k[i] * y[i] - left[i] * along


@kernel
def gather_coupled(y, edges, k, left, a, out):
    """out = Kᵀ y."""
    for g in range(edges.size - 1):
        along = 0.0
        for i in range(edges[g], edges[g + 1]):
            along += left[i] * y[i]
        for i in range(edges[g], edges[g + 1]):
            out[i] = k[i] * y[i] - a[i] * along


@inner
def _shares(z, step, direction, first, last, f):
    """f[first:last] = softmax of z + step · direction there; the largest entry is shifted to 0."""
    highest = -np.inf
    for i in range(first, last):
        f[i] = z[i] + step * direction[i]
        highest = max(highest, f[i])
    total = 0.0
    for i in range(first, last):
        f[i] = exp(f[i] - highest)
        total += f[i]
    for i in range(first, last):
        f[i] /= total


@kernel
def softmax_expand(z, target, scale, edges, gradient, d, m, k, left, a, h, q):
    """Fill gradient and curvature of ½ Σ v (f − b)², f = softmax(z); return the value.

    K = I − 1fᵀ centres the rows, so that what is constant on a group cancels before it is squared:
    with c = v∘(f − b), s = c − ⟨c, f⟩ and ∇ = f∘s, B = Kᵀ diag(v∘f² + f∘s) K.
    """
    value = 0.0
    for g in range(edges.size - 1):
        first, last = edges[g], edges[g + 1]
        _shares(z, 0.0, z, first, last, a)
        mean = 0.0
        for i in range(first, last):
            residual = a[i] - target[i]
            c = scale[i] * residual
            value += 0.5 * c * residual
            mean += c * a[i]
        for i in range(first, last):
            slope = a[i] * (scale[i] * (a[i] - target[i]) - mean)
            gradient[i] = slope
            m[i] = scale[i] * a[i] * a[i]
            d[i] = m[i] + slope
            k[i] = left[i] = 1.0
            h[i] = q[i] = 0.0
    return value


@kernel
def softmax_along(z, direction, step, target, scale, edges):
    """Return the value of the groups at z + step · direction."""
    value = 0.0
    origin = edges[0]
    shares = np.empty(edges[edges.size - 1] - origin)
    for g in range(edges.size - 1):
        first, last = edges[g], edges[g + 1]
        _shares(z[first:last], step, direction[first:last], 0, last - first, shares)
        for i in range(first, last):
            residual = shares[i - first] - target[i]
            value += 0.5 * scale[i] * residual * residual
    return value


@kernel
def softmax_fit(z, target, edges, fitted, residual):
    """Fill f and f − b."""
    for g in range(edges.size - 1):
        _shares(z, 0.0, z, edges[g], edges[g + 1], fitted)
    for i in range(edges[0], edges[edges.size - 1]):
        residual[i] = fitted[i] - target[i]


@kernel
def cross_entropy_expand(z, target, scale, edges, gradient, d, m, k, left, a, h, q):
    """As ``softmax_expand``, of −Σ v b log f = v (Σb · log Σe^z − ⟨b, z⟩), v one a group: d = m = v Σb f."""
    value = 0.0
    for g in range(edges.size - 1):
        first, last = edges[g], edges[g + 1]
        _shares(z, 0.0, z, first, last, a)
        mass = 0.0
        for i in range(first, last):
            mass += target[i]
        for i in range(first, last):
            gradient[i] = scale[i] * (mass * a[i] - target[i])
            d[i] = m[i] = scale[i] * mass * a[i]
            k[i] = left[i] = 1.0
            h[i] = q[i] = 0.0
        value += scale[first] * _surprise(z, 0.0, z, target, first, last)
    return value


@inner
def _surprise(z, step, direction, target, first, last):
    """Return Σ b (log Σe^z − z) of one group, at z + step · direction."""
    highest = -np.inf
    for i in range(first, last):
        highest = max(highest, z[i] + step * direction[i])
    total = mass = along = 0.0
    for i in range(first, last):
        y = z[i] + step * direction[i] - highest
        total += exp(y)
        mass += target[i]
        along += target[i] * y
    return mass * np.log(total) - along


@kernel
def cross_entropy_along(z, direction, step, target, scale, edges):
    """Return the value of the groups at z + step · direction."""
    value = 0.0
    for g in range(edges.size - 1):
        first = edges[g]
        value += scale[first] * _surprise(z, step, direction, target, first, edges[g + 1])
    return value


def _normalised_expand(z, target, scale, edges, gradient, d, m, k, left, a, h, q, parameter):
    """As ``softmax_expand``, of f = u / ⟨u, 1⟩: K = diag(a) − f aᵀ, d = m = v, q = a∘s, h = u″∘s/⟨u, 1⟩, a = u′/⟨u, 1⟩.

    u, u′ and u″ come at a scale common to the group, which cancels.
    """
    value = 0.0
    for g in range(edges.size - 1):
        first, last = edges[g], edges[g + 1]
        low, high = np.inf, -np.inf
        for i in range(first, last):
            low, high = min(low, z[i]), max(high, z[i])
        level = shift(low, high)  # noqa: F821
        total = 0.0
        for i in range(first, last):
            left[i], k[i], h[i] = row(z[i], level, parameter)  # noqa: F821
            total += left[i]
        if not admissible(total, level, last - first):  # noqa: F821
            total = np.nan
        mean = 0.0
        for i in range(first, last):
            left[i] /= total
            residual = left[i] - target[i]
            c = scale[i] * residual
            value += 0.5 * c * residual
            mean += c * left[i]
        for i in range(first, last):
            s = scale[i] * (left[i] - target[i]) - mean
            k[i] /= total
            a[i] = k[i]
            h[i] *= s / total
            q[i] = gradient[i] = a[i] * s
            d[i] = m[i] = scale[i]
    return value


def _normalised_along(z, direction, step, target, scale, edges, parameter):
    """Return the value of the groups at z + step · direction; not a number where ⟨u, 1⟩ is not admissible."""
    value = 0.0
    for g in range(edges.size - 1):
        first, last = edges[g], edges[g + 1]
        low, high = np.inf, -np.inf
        for i in range(first, last):
            y = z[i] + step * direction[i]
            low, high = min(low, y), max(high, y)
        level = shift(low, high)  # noqa: F821
        total = 0.0
        for i in range(first, last):
            total += row(z[i] + step * direction[i], level, parameter)[0]  # noqa: F821
        if not admissible(total, level, last - first):  # noqa: F821
            return np.nan
        for i in range(first, last):
            y = z[i] + step * direction[i]
            residual = row(y, level, parameter)[0] / total - target[i]  # noqa: F821
            value += 0.5 * scale[i] * residual * residual
    return value


def _normalised_fit(z, target, edges, fitted, residual, parameter):
    """Fill f and f − b."""
    for g in range(edges.size - 1):
        first, last = edges[g], edges[g + 1]
        low, high = np.inf, -np.inf
        for i in range(first, last):
            low, high = min(low, z[i]), max(high, z[i])
        level = shift(low, high)  # noqa: F821
        total = 0.0
        for i in range(first, last):
            fitted[i] = row(z[i], level, parameter)[0]  # noqa: F821
            total += fitted[i]
        for i in range(first, last):
            fitted[i] /= total
            residual[i] = fitted[i] - target[i]


def normalised(shift: Any, row: Any, admissible: Any, parameter: float = 0.0) -> GroupKernels:
    """Return the kernels of ½ Σ v (u/⟨u, 1⟩ − b)², u given by three compiled functions.

    ``shift`` (low, high) of a group's z is a level, ``row`` (z, level, parameter) are u, u′ and u″ at the scale
    of that level, and ``admissible`` (⟨u, 1⟩ at that scale, level, rows) says whether the loss is defined.
    """
    names = {"shift": shift, "row": row, "admissible": admissible}
    templates = (_normalised_expand, _normalised_along, _normalised_fit)
    return _at(parameter, *(bind(template, row, **names) for template in templates))


def _rescaled_expand(z, target, scale, edges, gradient, d, m, k, left, a, h, q, parameter):
    """As ``softmax_expand``, of r = u − ⟨u, 1⟩b: K = diag(u′) − b u′ᵀ, d = m = v, q = 0, h = u″∘κ.

    κ = v∘r − ⟨b, v∘r⟩1 and ∇ = u′∘κ. Nothing is divided, so large z overflow, and such points are rejected.
    """
    value = 0.0
    for g in range(edges.size - 1):
        first, last = edges[g], edges[g + 1]
        total = 0.0
        for i in range(first, last):
            left[i], k[i], h[i] = row(z[i], 0.0, parameter)  # noqa: F821
            total += left[i]
        along = 0.0
        for i in range(first, last):
            left[i] -= total * target[i]
            value += 0.5 * scale[i] * left[i] * left[i]
            along += target[i] * scale[i] * left[i]
        for i in range(first, last):
            bent = scale[i] * left[i] - along
            gradient[i] = k[i] * bent
            h[i] *= bent
            q[i] = 0.0
            a[i] = k[i]
            d[i] = m[i] = scale[i]
            left[i] = target[i]
    return value


def _rescaled_along(z, direction, step, target, scale, edges, parameter):
    """Return the value of the groups at z + step · direction."""
    value = 0.0
    for g in range(edges.size - 1):
        total = 0.0
        for i in range(edges[g], edges[g + 1]):
            total += row(z[i] + step * direction[i], 0.0, parameter)[0]  # noqa: F821
        for i in range(edges[g], edges[g + 1]):
            r = row(z[i] + step * direction[i], 0.0, parameter)[0] - total * target[i]  # noqa: F821
            value += 0.5 * scale[i] * r * r
    return value


def _rescaled_fit(z, target, edges, fitted, residual, parameter):
    """Fill u and u − ⟨u, 1⟩b."""
    for g in range(edges.size - 1):
        total = 0.0
        for i in range(edges[g], edges[g + 1]):
            fitted[i] = row(z[i], 0.0, parameter)[0]  # noqa: F821
            total += fitted[i]
        for i in range(edges[g], edges[g + 1]):
            residual[i] = fitted[i] - total * target[i]


def rescaled(row: Any) -> GroupKernels:
    """Return the kernels of ½ Σ v (u − ⟨u, 1⟩b)², u given by ``row`` at level 0 as in ``normalised``."""
    templates = (_rescaled_expand, _rescaled_along, _rescaled_fit)
    return _at(0.0, *(bind(template, row, row=row) for template in templates))


def _at(parameter: float, expand: Any, along: Any, fit: Any) -> GroupKernels:
    return GroupKernels(
        lambda *given: expand(*given, parameter),
        lambda *given: along(*given, parameter),
        lambda *given: fit(*given, parameter),
    )


SOFTMAX = GroupKernels(softmax_expand, softmax_along, softmax_fit, bends=False)
CROSS_ENTROPY = GroupKernels(cross_entropy_expand, cross_entropy_along, softmax_fit, bends=False)

__all__ = [
    "CROSS_ENTROPY",
    "SOFTMAX",
    "GroupKernels",
    "couple",
    "gather_coupled",
    "normalised",
    "rescaled",
    "spread_coupled",
]
