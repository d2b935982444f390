"""Counts what a solve by newtond's engine does to the whole design matrix, and how long each kind of it takes.

A *pass* reads all of A's entries once: a fused sweep, a product by A or Aᵀ, both in one, a diagonal. A *Gram*
is AᵀDA, or its arrow; ``gram_rows`` is how many rows' worth of it (a partial Hessian takes those of the heaviest
rows alone). What is done to a sample of the rows is not counted: it is time, and no pass.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np

from newtond.engine.design import DesignMatrix
from newtond.engine.hessians import dense, frozen

PASSES = ("sweep", "slope", "matvec", "shares", "normal", "squares")
GRAMS = ("gram", "arrow_gram")
OTHERS = ("sparse_sign", "group_sums")
FACTORS = ((dense, "dpotrf"), (frozen, "spotrf"))


@dataclass
class Operations:
    """How often each operation on a matrix of this shape was called, and for how many seconds in all."""

    shape: tuple[int, int]
    calls: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    gram_rows: float = 0.0
    factorisations: int = 0
    _inside: bool = False

    @property
    def passes(self) -> int:
        """How often all of A was read by one of ``PASSES``."""
        return sum(self.calls[name] for name in PASSES)

    @property
    def grams(self) -> int:
        return sum(self.calls[name] for name in GRAMS)

    def summary(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        return {
            "passes": self.passes,
            "grams": self.grams,
            "gram_rows": self.gram_rows,
            "sketches": self.calls["sparse_sign"],
            "factorisations": self.factorisations,
            "calls": dict(self.calls),
            "seconds": dict(self.seconds),
        }

    def count(self, name: str, method: Callable[..., Any], design: DesignMatrix, *given: Any) -> Any:
        """Call the method; count it unless it is part of another, or of another matrix."""
        if self._inside or (design.rows, design.columns) != self.shape:
            return method(design, *given)
        self._inside, since = True, perf_counter()
        try:
            return method(design, *given)
        finally:
            self._inside = False
            self.calls[name] += 1
            self.seconds[name] += perf_counter() - since
            if name in GRAMS:
                self.gram_rows += np.count_nonzero(given[0]) / design.rows


@contextmanager
def counted(shape: tuple[int, int]) -> Iterator[Operations]:
    """Count what is done to matrices of this shape until the block ends."""
    found = Operations(shape)
    patches = [patch.object(DesignMatrix, name, _counting(found, name)) for name in PASSES + GRAMS + OTHERS]
    patches += [patch.object(module, name, _factorising(found, module, name)) for module, name in FACTORS]
    for each in patches:
        each.start()
    try:
        yield found
    finally:
        for each in patches:
            each.stop()


def _counting(found: Operations, name: str) -> Callable[..., Any]:
    method = getattr(DesignMatrix, name)

    def call(design: DesignMatrix, *given: Any) -> Any:
        return found.count(name, method, design, *given)

    return call


def _factorising(found: Operations, module: Any, name: str) -> Callable[..., Any]:
    routine = getattr(module, name)

    def call(*given: Any, **options: Any) -> Any:
        found.factorisations += 1
        return routine(*given, **options)

    return call
