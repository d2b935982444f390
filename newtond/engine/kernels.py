"""Compiled loops over one block of rows; every other module is ordinary numpy.

Kernels release the GIL and run on one thread; `design` runs one a block. A block is given by a slice of
``indptr`` (absolute positions), so blocks of one matrix share its arrays. ``shift`` is the coefficient of
an implicit column of ones.

A *separable* loss is known here only by its pointwise form

    pointwise(z, b) -> (value, first, second, model)

with f(z) = Σ vᵢ valueᵢ + ½ ωᵢ (zᵢ − z̄ᵢ)², derivatives in z, and ``model`` ≥ 0 the Gauss-Newton curvature.
``specialise`` makes the kernels of one such form. A form is bound as a global of a template with a
qualified name of its own, since numba's on-disk cache misses functions that are passed or closed over;
and the cache's directory carries a digest of the engine's sources, since numba does not see a changed
global.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

TILE = 256


def _cache_directory() -> str:
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    home = os.environ.get("NEWTOND_KERNEL_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return str(Path(home).expanduser() / "newtond" / "kernels" / digest)


numba.config.CACHE_DIR = _cache_directory()
OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}
kernel = numba.njit(**OPTIONS)
# What another kernel calls must be inlined: else one of several copies runs, which one depends on whether the
# caller was compiled in this process or loaded from the cache, and copies differ in which products are fused.
inner = numba.njit(**OPTIONS, forceinline=True)


@intrinsic
def _float_bits(typingctx: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def _bits_float(typingctx: Any, bits: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@inner
def exp(x: float) -> float:
    """Return e^x within 1.4 ulp for x ≥ −708, 0 below, inf above 709.78; branch-free, so it vectorises.

    Cody-Waite reduction x = k ln 2 + r and the Taylor polynomial of degree 13 on |r| ≤ ½ ln 2.
    """
    clamped = min(max(x, -708.0), 710.0)
    shifted = clamped * 1.4426950408889634 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    r = (clamped - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    tail = p * r * r
    scale = _bits_float((_float_bits(shifted) + 1022) << 52)
    grown = (scale + scale * (r + tail)) * 2.0
    if x < -708.0:
        grown = 0.0
    if x > 709.782712893384:
        grown = np.inf
    return grown if x == x else x


@inner
def mix(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return 64 bits that depend on the key a and the counter b (two rounds of splitmix64)."""
    h = a + np.uint64(0x9E3779B97F4A7C15) * (b + np.uint64(1))
    for _ in range(2):
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    return h


@kernel
def csr_matvec(indptr, indices, data, x, shift, out):
    """out = A x + shift."""
    for i in range(out.size):
        total = shift
        for k in range(indptr[i], indptr[i + 1]):
            total += data[k] * x[indices[k]]
        out[i] = total


@kernel
def csr_rmatvec(indptr, indices, data, g, out):
    """out += Aᵀ g."""
    for i in range(g.size):
        scale = g[i]
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += data[k] * scale


@kernel
def csr_normal(indptr, indices, data, p, shift, weights, out):
    """out += Aᵀ diag(weights) (A p + shift); return Σ weights (A p + shift)."""
    total = 0.0
    for i in range(weights.size):
        z = shift
        for k in range(indptr[i], indptr[i + 1]):
            z += data[k] * p[indices[k]]
        z *= weights[i]
        total += z
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += data[k] * z
    return total


@kernel
def csr_squares(indptr, indices, data, weights, out):
    """out += diag(Aᵀ diag(weights) A)."""
    for i in range(weights.size):
        w = weights[i]
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += w * data[k] * data[k]


@kernel
def csr_pairs(indptr, indices, out):
    """out[j] += the number of products that row j of the Gram's upper triangle takes."""
    for i in range(indptr.size - 1):
        stop = indptr[i + 1]
        for k in range(indptr[i], stop):
            out[indices[k]] += np.int64(stop - k)


@kernel
def csr_gram(indptr, indices, data, weights, low, high, out):
    """out[low:high] += the upper triangle of Aᵀ diag(weights) A in those rows."""
    for i in range(weights.size):
        w = weights[i]
        if w == 0.0:
            continue
        stop = indptr[i + 1]
        for k in range(indptr[i], stop):
            j = indices[k]
            if low <= j < high:
                scale = w * data[k]
                row = out[j]
                for m in range(k, stop):
                    row[indices[m]] += scale * data[m]


@kernel
def csr_conflicts(indptr, indices, out):
    """Set bit k of out[j] for all columns j ≠ k of which some row holds both (words of 64 bits)."""
    for i in range(indptr.size - 1):
        for m in range(indptr[i], indptr[i + 1]):
            j = indices[m]
            for q in range(indptr[i], indptr[i + 1]):
                if q != m:
                    k = indices[q]
                    out[j, k >> 6] |= np.uint64(1) << np.uint64(k & 63)


@kernel
def independent(conflicts, order, chosen):
    """Mark in ``chosen`` (columns, False) the columns that conflict with none before them in ``order``."""
    blocked = np.zeros(conflicts.shape[1], np.uint64)
    for j in order:
        if not blocked[j >> 6] & (np.uint64(1) << np.uint64(j & 63)):
            chosen[j] = True
            for word in range(blocked.size):
                blocked[word] |= conflicts[j, word]


@kernel
def csr_arrow(indptr, indices, data, weights, place, low, high, first, last, head, border, tail):
    """Add the blocks of Aᵀ diag(weights) A: columns with place p ≥ 0 are head p, else tail −1 − p.

    Only heads low … high − 1 (with their rows of the border) and the tail's rows first … last − 1 are filled.
    """
    for i in range(weights.size):
        w = weights[i]
        start, stop = indptr[i], indptr[i + 1]
        for k in range(start, stop):
            p = place[indices[k]]
            if p >= 0:
                if low <= p < high:
                    scale = w * data[k]
                    head[p] += scale * data[k]
                    for m in range(start, stop):
                        q = -1 - place[indices[m]]
                        if q >= 0:
                            border[p, q] += scale * data[m]
            elif first <= -1 - p < last:
                row, scale = tail[-1 - p], w * data[k]
                for m in range(k, stop):
                    q = -1 - place[indices[m]]
                    if q >= 0:
                        row[q] += scale * data[m]


@kernel
def csr_segment(indptr, indices, data, root, first, key, segment, segments, height, scale, shift, out):
    """out += one segment of a sparse-sign sketch of diag(root) [A, 1]: a row lands on one of them."""
    for i in range(root.size):
        h = mix(key, np.uint64((first + i) * segments + segment))
        row = out[segment * height + np.int64(((h >> np.uint64(32)) * np.uint64(height)) >> np.uint64(32))]
        sign = scale * root[i] if h & np.uint64(1) else -scale * root[i]
        for k in range(indptr[i], indptr[i + 1]):
            row[indices[k]] += sign * data[k]
        if shift:
            row[row.size - 1] += sign


@kernel
def dense_segment(rows, root, first, key, segment, segments, height, scale, shift, out):
    """As ``csr_segment``, of dense rows."""
    for i in range(root.size):
        h = mix(key, np.uint64((first + i) * segments + segment))
        row = out[segment * height + np.int64(((h >> np.uint64(32)) * np.uint64(height)) >> np.uint64(32))]
        sign = scale * root[i] if h & np.uint64(1) else -scale * root[i]
        for k in range(rows.shape[1]):
            row[k] += sign * rows[i, k]
        if shift:
            row[row.size - 1] += sign


@kernel
def csr_project(indptr, indices, data, first, weights, of_row, low, start, stop, out):
    """out[s, g] += weights[s, first + i] times row i, g = of_row[first + i] − low, where start ≤ g < stop.

    A is read from memory once for all s.
    """
    for i in range(indptr.size - 1):
        g = of_row[first + i] - low
        if start <= g < stop:
            for s in range(out.shape[0]):
                row, scale = out[s, g], weights[s, first + i]
                for k in range(indptr[i], indptr[i + 1]):
                    row[indices[k]] += scale * data[k]


@kernel
def dense_project(rows, first, weights, of_row, low, start, stop, out):
    """As ``csr_project``, of dense rows."""
    for i in range(rows.shape[0]):
        g = of_row[first + i] - low
        if start <= g < stop:
            for s in range(out.shape[0]):
                row, scale = out[s, g], weights[s, first + i]
                for k in range(rows.shape[1]):
                    row[k] += scale * rows[i, k]


@kernel
def group_segment(means, low, of_row, root, first, key, segment, segments, height, scale, out):
    """out −= one segment of a sparse-sign sketch of the rows root[i] · means[of_row[i] − low].

    The rows of a group meet in few rows of the sketch: where they are many, their coefficients are summed first.
    """
    total = np.zeros(height)
    i = 0
    while i < root.size:
        stop = i
        while stop < root.size and of_row[stop] == of_row[i]:
            stop += 1
        mean = means[of_row[i] - low]
        if stop - i >= height:
            total[:] = 0.0
        for j in range(i, stop):
            h = mix(key, np.uint64((first + j) * segments + segment))
            place = np.int64(((h >> np.uint64(32)) * np.uint64(height)) >> np.uint64(32))
            sign = scale * root[j] if h & np.uint64(1) else -scale * root[j]
            if stop - i >= height:
                total[place] += sign
            else:
                row = out[segment * height + place]
                for k in range(row.size):
                    row[k] -= sign * mean[k]
        if stop - i >= height:
            for place in range(height):
                row = out[segment * height + place]
                for k in range(row.size):
                    row[k] -= total[place] * mean[k]
        i = stop


@kernel
def group_sums(values, edges, out):
    """out[g] = the sum of ``values`` over group g."""
    for g in range(out.size):
        total = 0.0
        for i in range(edges[g], edges[g + 1]):
            total += values[i]
        out[g] = total


@kernel
def csr_take(indptr, indices, data, rows, out):
    """out[i] = row rows[i] of the block (out is zero on entry)."""
    for i in range(rows.size):
        for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
            out[i, indices[k]] = data[k]


@kernel
def hadamard(columns):
    """Replace each column (length a power of two) by its unnormalised Walsh-Hadamard transform."""
    n = columns.shape[0]
    half = 1
    while half < n:
        for start in range(0, n, 2 * half):
            for i in range(start, start + half):
                for j in range(columns.shape[1]):
                    a = columns[i, j]
                    b = columns[i + half, j]
                    columns[i, j] = a + b
                    columns[i + half, j] = a - b
        half *= 2


@inner
def _fill(tile, values, start, rows):
    """tile[:rows] = values[start:start + rows], or the one value there is, which the first tile's filling leaves."""
    if values.size == 1:
        if start == 0:
            for t in range(rows):
                tile[t] = values[0]
    else:
        for t in range(rows):
            tile[t] = values[start + t]


def _tile(z, rows, target, scale, omega, offset, value, first, second, model):
    """Fill value, derivatives and model of a tile; all arguments are arrays of TILE entries."""
    for t in range(rows):
        a, b, c, d = pointwise(z[t], target[t])  # noqa: F821
        v, w = scale[t], omega[t]
        away = z[t] - offset[t]
        value[t] = v * a + 0.5 * w * away * away
        first[t] = v * b + w * away
        second[t] = v * c + w
        model[t] = v * d + w


def _expand(z, target, scale, omega, offset, gradient, weights, model):
    """Fill gradient, weights and model of the rows with predictor z; return the value."""
    tiles = np.empty((9, TILE))
    total = 0.0
    for start in range(0, z.size, TILE):
        rows = min(TILE, z.size - start)
        _fill(tiles[0], z, start, rows)
        _fill(tiles[1], target, start, rows)
        _fill(tiles[2], scale, start, rows)
        _fill(tiles[3], omega, start, rows)
        _fill(tiles[4], offset, start, rows)
        tile(  # noqa: F821
            tiles[0], rows, tiles[1], tiles[2], tiles[3], tiles[4], tiles[5], tiles[6], tiles[7], tiles[8]
        )
        for t in range(rows):
            total += tiles[5, t]
            gradient[start + t] = tiles[6, t]
            weights[start + t] = tiles[7, t]
            model[start + t] = tiles[8, t]
    return total


def _csr_sweep(
    indptr, indices, data, x, shift, target, scale, omega, offset, predictor, weights, model, gradient
):
    """One pass over the block: z, its value, gradient += Aᵀ∇f, weights and model; return (value, Σ∇f)."""
    tiles = np.empty((9, TILE))
    total = slope_sum = 0.0
    for start in range(0, predictor.size, TILE):
        rows = min(TILE, predictor.size - start)
        for t in range(rows):
            z = shift
            for k in range(indptr[start + t], indptr[start + t + 1]):
                z += data[k] * x[indices[k]]
            tiles[0, t] = z
        _fill(tiles[1], target, start, rows)
        _fill(tiles[2], scale, start, rows)
        _fill(tiles[3], omega, start, rows)
        _fill(tiles[4], offset, start, rows)
        tile(  # noqa: F821
            tiles[0], rows, tiles[1], tiles[2], tiles[3], tiles[4], tiles[5], tiles[6], tiles[7], tiles[8]
        )
        for t in range(rows):
            slope = tiles[6, t]
            total += tiles[5, t]
            slope_sum += slope
            predictor[start + t] = tiles[0, t]
            weights[start + t] = tiles[7, t]
            model[start + t] = tiles[8, t]
            for k in range(indptr[start + t], indptr[start + t + 1]):
                gradient[indices[k]] += data[k] * slope
    return total, slope_sum


def _slope(z, target, scale, omega, offset, gradient):
    """Fill the gradient of the rows with predictor z; return the value and the least second derivative."""
    tiles = np.empty((9, TILE))
    total, least = 0.0, np.inf
    for start in range(0, z.size, TILE):
        rows = min(TILE, z.size - start)
        _fill(tiles[0], z, start, rows)
        _fill(tiles[1], target, start, rows)
        _fill(tiles[2], scale, start, rows)
        _fill(tiles[3], omega, start, rows)
        _fill(tiles[4], offset, start, rows)
        tile(  # noqa: F821
            tiles[0], rows, tiles[1], tiles[2], tiles[3], tiles[4], tiles[5], tiles[6], tiles[7], tiles[8]
        )
        for t in range(rows):
            total += tiles[5, t]
            gradient[start + t] = tiles[6, t]
            least = min(least, tiles[7, t])
    return total, least


def _csr_slope(indptr, indices, data, x, shift, target, scale, omega, offset, gradient):
    """One pass over the block: gradient += Aᵀ∇f; return (value, Σ∇f, least second derivative)."""
    tiles = np.empty((9, TILE))
    total = slope_sum = 0.0
    least = np.inf
    for start in range(0, indptr.size - 1, TILE):
        rows = min(TILE, indptr.size - 1 - start)
        for t in range(rows):
            z = shift
            for k in range(indptr[start + t], indptr[start + t + 1]):
                z += data[k] * x[indices[k]]
            tiles[0, t] = z
        _fill(tiles[1], target, start, rows)
        _fill(tiles[2], scale, start, rows)
        _fill(tiles[3], omega, start, rows)
        _fill(tiles[4], offset, start, rows)
        tile(  # noqa: F821
            tiles[0], rows, tiles[1], tiles[2], tiles[3], tiles[4], tiles[5], tiles[6], tiles[7], tiles[8]
        )
        for t in range(rows):
            slope = tiles[6, t]
            total += tiles[5, t]
            slope_sum += slope
            least = min(least, tiles[7, t])
            for k in range(indptr[start + t], indptr[start + t + 1]):
                gradient[indices[k]] += data[k] * slope
    return total, slope_sum, least


def _along(z, direction, step, target, scale, omega, offset):
    """Return the value of the rows at z + step · direction."""
    tiles = np.empty((9, TILE))
    total = 0.0
    for start in range(0, z.size, TILE):
        rows = min(TILE, z.size - start)
        for t in range(rows):
            tiles[0, t] = z[start + t] + step * direction[start + t]
        _fill(tiles[1], target, start, rows)
        _fill(tiles[2], scale, start, rows)
        _fill(tiles[3], omega, start, rows)
        _fill(tiles[4], offset, start, rows)
        tile(  # noqa: F821
            tiles[0], rows, tiles[1], tiles[2], tiles[3], tiles[4], tiles[5], tiles[6], tiles[7], tiles[8]
        )
        for t in range(rows):
            total += tiles[5, t]
    return total


class PointwiseKernels(NamedTuple):
    """The kernels of one separable loss."""

    expand: Callable[..., float]
    csr_sweep: Callable[..., tuple[float, float]]
    slope: Callable[..., tuple[float, float]]
    csr_slope: Callable[..., tuple[float, float, float]]
    along: Callable[..., float]


def bind(template: Callable[..., Any], form: Any, compile: Any = kernel, **names: Any) -> Any:
    """Return ``template`` compiled with ``names`` as its globals, under a name of ``form``'s own."""
    name = f"{template.__name__.strip('_')}_{form.__name__.strip('_')}"
    bound = FunctionType(template.__code__, {**template.__globals__, **names}, name)
    bound.__qualname__, bound.__module__ = f"{name}_of_{form.__module__}", template.__module__
    return compile(bound)


def specialise(pointwise: Any) -> PointwiseKernels:
    """Return the kernels of the pointwise form ``pointwise``, itself a compiled function."""
    tile = bind(_tile, pointwise, inner, pointwise=pointwise)
    templates = (_expand, _csr_sweep, _slope, _csr_slope, _along)
    return PointwiseKernels(*(bind(template, pointwise, tile=tile) for template in templates))
