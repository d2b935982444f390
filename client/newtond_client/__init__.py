"""Regressions solved by a newtond server: ``Client().solve("hyperbolic", A, b, function="exp")``."""

from newtond_client.client import AsyncClient, Client
from newtond_client.errors import ApiError, ClientError, Interrupted, NotConverged
from newtond_client.fit import Fit
from newtond_client.job import AsyncJob, Job

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ClientError",
    "Fit",
    "Interrupted",
    "Job",
    "NotConverged",
]
