"""Regressions of newtond as scikit-learn estimators, for pipelines and searches.

Each fit is one job; equal data are uploaded once, by digest. ``url=None`` starts a server for this process, and
every estimator shares it. The key is read from NEWTOND_KEY: a parameter would be printed with the estimator.
"""

import os
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from newtond_client import embedded
from newtond_client.canonical import canonical
from newtond_client.client import Client
from newtond_client.models import DEFAULTS
from newtond_client.optional import needed
from newtond_client.predict import predicted

needed("sklearn", "for its estimators")
from sklearn.base import BaseEstimator, RegressorMixin  # noqa: E402
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data  # noqa: E402

SPARSE = ("csr", "csc", "coo")
_clients: dict[tuple[int, str], Client] = {}


def shared_client(url: str | None) -> Client:
    """Return this process's client of a server: its connections and what it knows to be uploaded are shared."""
    place = (os.getpid(), url or embedded.server_url())  # an own server that was stopped is started anew
    if place not in _clients:
        _clients[place] = Client(place[1], progress=False)
    return _clients[place]


class _Regressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """What the estimators share: coefficients of a linear predictor, found by one job."""

    kind: ClassVar[str]
    problem: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        *,
        ridge: float = DEFAULTS["ridge"],
        tolerance: float = DEFAULTS["tolerance"],
        max_iterations: int = DEFAULTS["max_iterations"],
        time_limit: float = DEFAULTS["time_limit"],
        seed: int = DEFAULTS["seed"],
        url: str | None = None,
    ) -> None:
        self.ridge = ridge
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.time_limit = time_limit
        self.seed = seed
        self.url = url

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _solve(self, X: Any, y: Any, **options: Any) -> None:
        fit = shared_client(self.url).solve(
            self.kind,
            X,
            y,
            ridge=self.ridge,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
            time_limit=self.time_limit,
            seed=self.seed,
            **self.problem,
            **options,
        )
        self.coef_ = fit.x
        self.intercept_ = fit.intercept
        self.n_iter_ = fit.result["iterations"]
        self.certificate_ = fit.certificate
        self.job_id_ = fit.id

    def _predicted(self, X: Any, groups: Any = None) -> NDArray[np.float64]:
        z = canonical(X, "X").dot(self.coef_) + self.intercept_
        return predicted({"kind": self.kind, **self.problem}, z, groups)


class _RowRegressor(_Regressor):
    """A regression whose rows are predicted one by one: with an intercept and row weights."""

    def __init__(
        self,
        *,
        intercept: bool = True,
        ridge: float = DEFAULTS["ridge"],
        tolerance: float = DEFAULTS["tolerance"],
        max_iterations: int = DEFAULTS["max_iterations"],
        time_limit: float = DEFAULTS["time_limit"],
        seed: int = DEFAULTS["seed"],
        url: str | None = None,
    ) -> None:
        super().__init__(
            ridge=ridge,
            tolerance=tolerance,
            max_iterations=max_iterations,
            time_limit=time_limit,
            seed=seed,
            url=url,
        )
        self.intercept = intercept

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to X (n, d), dense or sparse, and y (n,); raises the server's refusals and SolveError."""
        X, y = validate_data(self, X, y, accept_sparse=SPARSE, dtype=np.float64, y_numeric=True)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        self._solve(X, y, row_weights=weights, intercept=self.intercept, **self._options())
        return self

    def _options(self) -> dict[str, Any]:
        return {}

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the predictions (n,) for X (n, d)."""
        check_is_fitted(self)
        return self._predicted(validate_data(self, X, accept_sparse=SPARSE, dtype=np.float64, reset=False))


class ExponentialRegressor(_RowRegressor):
    """y = exp(X·coef + intercept), by least squares of y itself."""

    kind = "hyperbolic"
    problem: ClassVar[dict[str, Any]] = {"function": "exp"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


class SinhRegressor(_RowRegressor):
    """y = sinh(X·coef + intercept), by least squares of y itself: for targets of both signs that grow like exp."""

    kind = "hyperbolic"
    problem: ClassVar[dict[str, Any]] = {"function": "sinh"}


class SketchedLeastSquares(_RowRegressor):
    """y = X·coef + intercept by least squares; ``hessian`` and ``sketch`` choose the way, else the server does."""

    kind = "least_squares"

    def __init__(
        self,
        *,
        hessian: Literal["auto", "exact", "sketch", "paper"] = DEFAULTS["hessian"],
        sketch: str = DEFAULTS["sketch"]["kind"],
        intercept: bool = True,
        ridge: float = DEFAULTS["ridge"],
        tolerance: float = DEFAULTS["tolerance"],
        max_iterations: int = DEFAULTS["max_iterations"],
        time_limit: float = DEFAULTS["time_limit"],
        seed: int = DEFAULTS["seed"],
        url: str | None = None,
    ) -> None:
        super().__init__(
            intercept=intercept,
            ridge=ridge,
            tolerance=tolerance,
            max_iterations=max_iterations,
            time_limit=time_limit,
            seed=seed,
            url=url,
        )
        self.hessian = hessian
        self.sketch = sketch

    def _options(self) -> dict[str, Any]:
        return {"hessian": self.hessian, "sketch": {"kind": self.sketch}}


class SoftmaxShareRegressor(_Regressor):
    """Shares of a group's rows: y = exp(X·coef) divided by its sum over the group.

    ``group_column`` is the column of X, by name or number, that tells the groups apart (by equal values); without
    one all rows are one group. A row's share depends on the other rows of its group, in a prediction too.
    """

    kind = "softmax"

    def __init__(
        self,
        *,
        group_column: str | int | None = None,
        ridge: float = DEFAULTS["ridge"],
        tolerance: float = DEFAULTS["tolerance"],
        max_iterations: int = DEFAULTS["max_iterations"],
        time_limit: float = DEFAULTS["time_limit"],
        seed: int = DEFAULTS["seed"],
        url: str | None = None,
    ) -> None:
        super().__init__(
            ridge=ridge,
            tolerance=tolerance,
            max_iterations=max_iterations,
            time_limit=time_limit,
            seed=seed,
            url=url,
        )
        self.group_column = group_column

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        tags.regressor_tags.poor_score = True  # scikit-learn's checks fit targets that are no shares
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to X (n, d), dense or sparse, and the shares y (n,)."""
        X, y = validate_data(self, X, y, accept_sparse=SPARSE, dtype=np.float64, y_numeric=True)
        design, groups = self._split(X)
        self._solve(design, y, groups=groups)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the share of each row in its group (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=SPARSE, dtype=np.float64, reset=False)
        return self._predicted(*self._split(X))

    def _split(self, X: Any) -> tuple[Any, NDArray[np.float64] | None]:
        """Return X without its column of groups, and the groups."""
        if self.group_column is None:
            return X, None
        place = self._place()
        columns = X.tocsc() if hasattr(X, "tocsc") else X
        groups = columns[:, [place]]
        kept = np.delete(np.arange(X.shape[1]), place)
        return columns[:, kept], np.ravel(groups.toarray() if hasattr(groups, "toarray") else groups)

    def _place(self) -> int:
        if isinstance(self.group_column, str):
            names = list(getattr(self, "feature_names_in_", ()))
            if self.group_column not in names:
                raise ValueError(f"group_column: X has no column named {self.group_column!r}.")
            return names.index(self.group_column)
        place = int(self.group_column or 0)
        if not -self.n_features_in_ <= place < self.n_features_in_:
            raise ValueError(f"group_column: X has {self.n_features_in_} columns, none numbered {place}.")
        return place % int(self.n_features_in_)
