"""Clients of a real service, over a real Valkey and real workers."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from newtond_client import Client

from tests.service.conftest import (  # noqa: F401 (fixtures)
    Service,
    own_service,
    service_root,
    working_service,
)

ROWS, COLUMNS = 400, 6
SLOW_ROWS, SLOW_COLUMNS = 120_000, 20
SLOW: dict[str, Any] = {
    "function": "exp",
    "weights": "convex",
    "margin": 0.1,
    "hessian": "paper",
    "tolerance": 1e-12,
    "sketch": {"kind": "leverage", "rows": 100},
}
"""Some fifty iterations and several seconds: the papers' own method, of a small sample."""


def data(rows: int = ROWS, columns: int = COLUMNS, seed: int = 0) -> tuple[Any, Any, Any]:
    """Return a design, a target exp(A x) with some noise, and x."""
    generator = np.random.default_rng(seed)
    A = generator.normal(size=(rows, columns)) / columns**0.5
    x = generator.normal(size=columns)
    return A, np.exp(A @ x) + 0.1 * generator.normal(size=rows), x


def slow_data() -> tuple[Any, Any, Any]:
    return data(SLOW_ROWS, SLOW_COLUMNS, seed=7)


@pytest.fixture
def client(working_service: Service) -> Iterator[Client]:  # noqa: F811
    with Client(working_service.url, progress=False) as client:
        yield client


def count(url: str, method: str, route: str) -> int:
    """Return how often the service has answered a route, as its own metrics have it."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    wanted = (f'method="{method}"', f'route="{route}"')
    found = [line for line in lines if "requests_total{" in line and all(word in line for word in wanted)]
    return int(sum(float(line.rpartition(" ")[2]) for line in found))
