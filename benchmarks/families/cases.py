"""One case a family: the request to newtond and the same objective for SciPy, from where it would start."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, lsmr

from benchmarks.adapters.newtond import ID, csr
from benchmarks.families.objectives import (
    Attention,
    Quadratic,
    Rescaled,
    Rows,
    Shares,
    TwoLayers,
    Vector,
    cosine,
    exponential,
    fourth_power,
    residual_connection,
)
from benchmarks.instances.sparse_rows import scattered
from newtond.contract.solve import SolveSpec

GROUP = 20


@dataclass(frozen=True)
class Case:
    """``objective`` is F and ∇F for minimisers; ``solve`` a peer of its own kind, which returns x."""

    name: str
    title: str
    spec: SolveSpec
    inputs: dict[str, Any]
    objective: Callable[[Vector], tuple[float, Vector]]
    start: Vector
    answer: Callable[[dict[str, Any]], Vector] = lambda arrays: arrays["x"]
    own: dict[str, Callable[[], Vector]] = field(default_factory=dict)


def spec(problem: dict[str, Any], inputs: dict[str, Any], **rest: Any) -> SolveSpec:
    """Return the request for these arrays."""
    return SolveSpec.model_validate({"problem": problem, **dict.fromkeys(inputs, ID), **rest})


def shares(
    name: str, problem: dict[str, Any], rows: Rows, scale: float, seed: int, mean: float = 0.0
) -> Case:
    """Return a case of shares in groups of 20 rows; for ``rescaled`` the loss without division."""
    rng = np.random.default_rng(seed)
    n, d = GROUP * max(int(10_000 * scale), 50), 100
    A = scattered(rng, (n, d), 10, mean=mean)
    truth = np.abs(rng.standard_normal(d)) if mean else rng.standard_normal(d)
    z = A @ truth
    truth *= 0.6 / z.std()
    u = np.abs(rows((A @ truth).reshape(-1, GROUP))[0])
    noisy = u * np.exp(0.05 * rng.standard_normal(u.shape))
    b = (noisy / noisy.sum(axis=1, keepdims=True)).ravel()
    inputs = {"A": csr(A), "b": b, "groups": np.repeat(np.arange(n // GROUP, dtype=np.float64), GROUP)}
    ridge = 0.0 if problem["kind"] == "power" else 1e-6
    regulariser = {"regulariser": {"ridge": ridge}} if ridge else {}
    whole = spec(problem, inputs, **regulariser)
    kinds = {"rescaled": Rescaled(A, b, GROUP, rows, ridge)}
    objective = kinds.get(problem["kind"], Shares(A, b, GROUP, rows, ridge, problem["kind"] == "power"))
    even = problem["kind"] in ("rescaled", "power")
    start = 0.5 * truth * rng.uniform(0.5, 1.5, d) if even else np.zeros(d)
    return Case(name, f"{n:,} rows in groups of {GROUP}, d = {d}", whole, inputs, objective, start)


def softmax(scale: float, seed: int) -> Case:
    return shares("softmax", {"kind": "softmax"}, exponential, scale, seed)


def softmax_resnet(scale: float, seed: int) -> Case:
    return shares("softmax_resnet", {"kind": "softmax_resnet"}, residual_connection, scale, seed)


def rescaled(scale: float, seed: int) -> Case:
    return shares("rescaled", {"kind": "rescaled", "function": "cosh"}, cosine, scale, seed)


def power(scale: float, seed: int) -> Case:
    return shares("power", {"kind": "power", "degree": 4}, fourth_power, scale, seed, mean=1.0)


def two_layer(scale: float, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    m, n, d = max(int(5_000 * scale), 100), 200, 30
    first, second = rng.standard_normal((n, d)), rng.standard_normal((m, n))
    b = TwoLayers(first, second, np.zeros(m), 0.0)
    z = first @ rng.standard_normal(d)
    p = np.exp(z - z.max())
    target = np.logaddexp(0.0, second @ (p / p.sum())) + 0.01 * rng.standard_normal(m)
    ridge = 1e-4
    problem = {"kind": "two_layer", "order": "softmax_first", "activation": "softplus", "starts": 1}
    inputs = {"A1": first, "A2": second, "b": target}
    objective = TwoLayers(b.first, b.second, target, ridge)
    whole = spec(problem, inputs, regulariser={"ridge": ridge})
    return Case("two_layer", f"m = {m:,}, n = {n}, d = {d}, one start", whole, inputs, objective, np.zeros(d))


def attention(scale: float, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n, d = max(int(500 * scale), 60), 8
    A, X, Y = rng.standard_normal((n, d)), 0.3 * rng.standard_normal((d, d)), rng.standard_normal((d, d))
    scores = A @ X @ A.T
    P = np.exp(scores - scores.max(axis=1, keepdims=True))
    B = P / P.sum(axis=1, keepdims=True) @ A @ Y + 0.05 * rng.standard_normal((n, d))
    ridge = 1e-3
    problem = {"kind": "attention", "ridge_x": ridge, "ridge_y": ridge, "starts": 1}
    inputs = {"A1": A, "B": B}
    start = np.concatenate([0.1 * rng.standard_normal(d * d), np.zeros(d * d)])
    return Case(
        "attention",
        f"n = {n}, d = {d}, one start",
        spec(problem, inputs),
        inputs,
        Attention(A, B, ridge),
        start,
        lambda arrays: np.concatenate([arrays["X"].ravel(), arrays["Y"].ravel()]),
    )


def attention_kernel(scale: float, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n, d = max(int(4_000 * scale), 200), 4
    A, b, ridge = 0.5 * rng.standard_normal((n, d)), rng.standard_normal(n), 1e-4 * n
    M = np.exp(A @ A.T)
    M[np.diag_indices(n)] += ridge
    inputs = {"A": A, "b": b}

    def cholesky() -> Vector:
        from scipy.linalg import solve

        whole = np.exp(A @ A.T)
        whole[np.diag_indices(n)] += ridge
        return solve(whole, b, assume_a="pos", overwrite_a=True)

    return Case(
        "attention_kernel",
        f"n = {n:,} points of {d} columns, ridge 1e-4 n",
        spec({"kind": "attention_kernel"}, inputs, regulariser={"ridge": ridge}),
        inputs,
        Quadratic(lambda x: M @ x, b),
        np.zeros(n),
        own={"scipy.linalg.solve": cholesky},
    )


def gram_power(scale: float, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n, d = max(int(200_000 * scale), 2_000), 200
    A = scattered(rng, (n, d), 10)
    A = A / np.sqrt(float((A * A).sum()) / d)
    b = rng.standard_normal(n)
    inputs = {"A": csr(A), "b": b}

    def product(x: Vector) -> Vector:
        return A.T @ (A @ x)

    def power(x: Vector) -> Vector:
        return A @ product(x)

    def adjoint(y: Vector) -> Vector:
        return product(A.T @ y)

    def by_lsmr() -> Vector:
        operator = LinearOperator((n, d), matvec=power, rmatvec=adjoint, dtype=np.float64)
        return np.asarray(lsmr(operator, b, atol=1e-14, btol=1e-14, maxiter=500)[0])

    return Case(
        "gram_power",
        f"A (AᵀA) x = b, n = {n:,}, d = {d}, 10 entries a row",
        spec({"kind": "gram_power", "power": 1, "form": "design"}, inputs),
        inputs,
        Quadratic(lambda x: adjoint(power(x)), adjoint(b)),
        np.zeros(d),
        own={"scipy lsmr": by_lsmr},
    )


def least_squares(scale: float, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n, d = max(int(200_000 * scale), 2_000), 200
    A = scattered(rng, (n, d), 10)
    b = A @ rng.standard_normal(d) + rng.standard_normal(n)
    inputs = {"A": csr(A), "b": b}
    return Case(
        "least_squares",
        f"n = {n:,}, d = {d}, 10 entries a row",
        spec({"kind": "least_squares"}, inputs),
        inputs,
        Quadratic(lambda x: A.T @ (A @ x), A.T @ b),
        np.zeros(d),
        own={"scipy lsmr": lambda: np.asarray(lsmr(A, b, atol=1e-12, btol=1e-12)[0])},
    )


CASES = (
    softmax,
    softmax_resnet,
    rescaled,
    power,
    two_layer,
    attention,
    attention_kernel,
    gram_power,
    least_squares,
)
