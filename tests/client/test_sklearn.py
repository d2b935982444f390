"""The estimators are scikit-learn's in every check, in pipelines and in searches; equal data go up once."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from newtond_client import sklearn as estimators
from newtond_client.sklearn import (
    ExponentialRegressor,
    SinhRegressor,
    SketchedLeastSquares,
    SoftmaxShareRegressor,
)
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.client.conftest import count, data
from tests.service.conftest import Service

A, B, X = data()
GROUPED = "the share of a row depends on the other rows of its group"
EXPECTED = {
    SoftmaxShareRegressor: {
        "check_methods_subset_invariance": GROUPED,
    }
}
pytestmark = pytest.mark.filterwarnings("ignore::newtond_client.NotConverged")


@pytest.fixture(autouse=True)
def server(working_service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let ``url=None`` mean the tests' own server: starting another is test_embedded's."""
    monkeypatch.setattr(estimators.embedded, "server_url", lambda: working_service.url)
    estimators._clients.clear()
    yield working_service.url
    estimators._clients.clear()


@parametrize_with_checks(
    [SketchedLeastSquares(), ExponentialRegressor(), SinhRegressor(), SoftmaxShareRegressor()],
    expected_failed_checks=lambda estimator: EXPECTED.get(type(estimator), {}),
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_what_is_fitted(server: str) -> None:
    model = ExponentialRegressor(url=server).fit(A, B)
    assert model.coef_ == pytest.approx(X, abs=0.2)
    assert model.score(A, B) > 0.9
    assert model.certificate_["statements"]
    assert pickle.loads(pickle.dumps(model)).predict(A).tolist() == model.predict(A).tolist()
    sparse = ExponentialRegressor(url=server).fit(scipy.sparse.csc_array(A), B)
    assert sparse.predict(scipy.sparse.coo_array(A)) == pytest.approx(model.predict(A), rel=1e-8)


def test_options_reach_the_solve(server: str) -> None:
    model = SketchedLeastSquares(url=server, hessian="sketch", sketch="srht", ridge=3.0, intercept=False)
    model.fit(A, B)
    expected = np.linalg.solve(A.T @ A + 3.0 * np.eye(6), A.T @ B)
    assert model.coef_ == pytest.approx(expected, rel=1e-8)
    assert model.intercept_ == 0.0
    result = estimators.shared_client(server).job(model.job_id_).result()
    assert result.result["plan"]["hessian"] == "sketch"


def test_a_search_uploads_each_fold_once(server: str) -> None:
    design, target, _ = data(seed=21)
    before, jobs = count(server, "POST", "/arrays"), count(server, "POST", "/solve")
    search = GridSearchCV(
        make_pipeline(StandardScaler(), ExponentialRegressor(url=server)),
        {
            "exponentialregressor__ridge": [0.0, 0.1, 1.0, 10.0],
            "exponentialregressor__intercept": [True, False],
        },
        cv=KFold(3),
    ).fit(design, target)
    assert count(server, "POST", "/solve") == jobs + 8 * 3 + 1
    assert count(server, "POST", "/arrays") == before + (3 + 1) * 2
    assert search.best_score_ > 0.8


def test_a_pipeline_from_a_table(server: str) -> None:
    generator = np.random.default_rng(2)
    table = pd.DataFrame({"size": generator.normal(size=200), "shop": generator.choice(["n", "s"], size=200)})
    target = np.exp(0.4 * table["size"] + (table["shop"] == "n"))
    columns = make_column_transformer((OneHotEncoder(), ["shop"]), remainder="passthrough")
    model = make_pipeline(columns, ExponentialRegressor(url=server)).fit(table, target)
    assert model.predict(table) == pytest.approx(target, rel=1e-6)


@pytest.mark.parametrize("group_column", ["week", -1, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_shares_within_the_groups_of_a_column(server: str, group_column: str | int, sparse: bool) -> None:
    generator = np.random.default_rng(4)
    table = pd.DataFrame(generator.normal(size=(60, 2)), columns=["price", "promotion"])
    table["week"] = np.repeat(np.arange(20.0), 3)
    u = np.exp(-table["price"] + 0.5 * table["promotion"])
    shares = u / u.groupby(table["week"]).transform("sum")
    given: Any = scipy.sparse.csr_array(table.to_numpy()) if sparse else table
    model = SoftmaxShareRegressor(url=server, group_column=group_column)
    if sparse and group_column == "week":
        with pytest.raises(ValueError, match="no column named 'week'"):
            model.fit(given, shares)
        return
    model.fit(given, shares)
    assert model.coef_ == pytest.approx([-1.0, 0.5], abs=1e-6)
    assert model.predict(given) == pytest.approx(shares, abs=1e-8)
    assert model.predict(given[:3]) == pytest.approx(shares[:3], abs=1e-8)


def test_a_group_column_that_is_not_there(server: str) -> None:
    with pytest.raises(ValueError, match="X has 6 columns, none numbered 6"):
        SoftmaxShareRegressor(url=server, group_column=6).fit(A, np.abs(B))
