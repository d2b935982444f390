"""Predictions by the server, batches, and starts from a fit, as the client asks for them."""

import numpy as np
import pytest
from newtond_client import Client
from newtond_client.errors import InvalidSpec, NonFinite

from tests.client.conftest import data


def test_a_prediction_by_the_server_is_the_one_made_here(client: Client) -> None:
    A, b, _ = data(rows=60)
    fit = client.solve("hyperbolic", A, b, function="exp", intercept=True)
    for job in (fit, fit.id, client.job(fit.id)):
        np.testing.assert_allclose(client.predict(job, A[:7]), fit.predict(A[:7]), rtol=1e-12)
    with pytest.raises(InvalidSpec, match="A has 2 columns"):
        client.predict(fit, A[:, :2])
    with pytest.raises(NonFinite):
        client.predict(fit, 1e300 * A[:1])


def test_kinds_that_have_no_formula_here_are_predicted_there(client: Client) -> None:
    A, _, _ = data(rows=30, columns=2)
    fit = client.solve("attention_kernel", A, A[:, 0], ridge=0.1, outputs=["fitted"])
    np.testing.assert_allclose(client.predict(fit, A), fit["fitted"], rtol=1e-10)


def test_a_path_of_ridges(client: Client) -> None:
    A, b, _ = data(rows=60)
    fits = [job.wait() for job in client.batch("hyperbolic", A, b, function="exp", ridges=[10.0, 1.0])]
    first = client.solve("hyperbolic", A, b, function="exp", ridge=10.0)
    second = client.solve("hyperbolic", A, b, function="exp", ridge=1.0, warm_start=first)
    assert fits[0].x.tobytes() == first.x.tobytes()
    assert fits[1].x.tobytes() == second.x.tobytes()


def test_many_targets(client: Client) -> None:
    A, b, _ = data(rows=60)
    jobs = client.batch("least_squares", A, targets=[b, 2.0 * b])
    one, two = (job.wait() for job in jobs)
    np.testing.assert_allclose(two.x, 2.0 * one.x, rtol=1e-12)


def test_a_fit_of_attention_is_a_start_too(client: Client) -> None:
    rng = np.random.default_rng(1)
    A1, B = rng.normal(size=(12, 2)), rng.normal(size=(12, 2))
    fit = client.solve("attention", A1=A1, B=B, starts=1, ridge_x=0.1, ridge_y=0.1)
    again = client.solve("attention", A1=A1, B=B, starts=1, ridge_x=0.1, ridge_y=0.1, warm_start=fit)
    assert again.job["inputs"]["X0"] == fit.result["arrays"]["X"]["id"]
