"""How is a model trained with scikit-learn, so that what is kept of it is data?

Nothing of the library is stored: coefficients and trees are copied out, and predictions are reckoned here.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Protocol, cast

from quorate.errors import MissingExtra
from quorate.learning.classifiers import Forest, Logistic, Tree
from quorate.learning.encoding import Row
from quorate.learning.plain import drop_small

TREES = 60
MOST_DEPTH = 14
LEAST_LEAF = 2


class _Numbers(Protocol):
    def tolist(self) -> list[object]: ...


class _Inner(Protocol):
    feature: _Numbers
    threshold: _Numbers
    children_left: _Numbers
    children_right: _Numbers
    value: _Numbers


class _OneTree(Protocol):
    tree_: _Inner


class _Fitted(Protocol):
    coef_: _Numbers
    intercept_: _Numbers
    estimators_: Sequence[_OneTree]

    def fit(self, rows: object, targets: object) -> _Fitted: ...

    def score_samples(self, rows: object) -> _Numbers: ...


class _Maker(Protocol):
    def __call__(self, **options: object) -> _Fitted: ...


def is_there() -> bool:
    """Whether scikit-learn is installed."""
    return importlib.util.find_spec("sklearn") is not None


def name_library() -> str:
    """Return the library's name and version.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        from importlib.metadata import version

        importlib.import_module("sklearn")
        return f"scikit-learn {version('scikit-learn')}"
    except ImportError as error:
        raise MissingExtra("Sharper training", "ml") from error


def fit_logistic(rows: Sequence[Row], targets: Sequence[int], *, labels: int, width: int, strength: float) -> Logistic:
    """Find the weights of a multinomial logistic regression.

    Args:
        rows: The cases.
        targets: The number of the label of each.
        labels: How many labels there are.
        width: How many columns there are.
        strength: The inverse of how much large weights cost.
    """
    make = _find("sklearn.linear_model", "LogisticRegression")
    fitted = make(C=strength, max_iter=500).fit(_build_matrix(rows, width), list(targets))
    weights = cast("list[list[float]]", fitted.coef_.tolist())
    intercepts = cast("list[float]", fitted.intercept_.tolist())
    if labels == 2:  # one row says how much more likely the second label is
        weights, intercepts = [[0.0] * width, *weights], [0.0, *intercepts]
    return Logistic(intercepts=tuple(intercepts), weights=tuple(drop_small(dict(enumerate(row))) for row in weights))


def fit_forest(rows: Sequence[Row], targets: Sequence[int], *, width: int, seed: int) -> Forest:
    """Grow a random forest (L. Breiman, *Random forests*, Machine Learning 45, 2001), and copy its trees.

    Args:
        rows: The cases.
        targets: The number of the label of each.
        width: How many columns there are.
        seed: Of the draws.
    """
    make = _find("sklearn.ensemble", "RandomForestClassifier")
    grown = make(
        n_estimators=TREES, max_depth=MOST_DEPTH, min_samples_leaf=LEAST_LEAF, random_state=seed, n_jobs=1
    ).fit(_build_matrix(rows, width), list(targets))
    return Forest(trees=tuple(_copy_tree(one.tree_) for one in grown.estimators_))


def score_isolation(rows: Sequence[Sequence[float]], *, seed: int) -> list[float]:
    """Say how easily each of some points is told apart from the others: 0 to 1, the odd ones above 0.5.

    An isolation forest (Liu, Ting & Zhou, *Isolation forest*, ICDM 2008).

    Raises:
        MissingExtra: The extra `ml` is not installed.
    """
    make = _find("sklearn.ensemble", "IsolationForest")
    points = [list(row) for row in rows]
    grown = make(n_estimators=100, random_state=seed, n_jobs=1).fit(points, None)
    return [-score for score in cast("list[float]", grown.score_samples(points).tolist())]


def _find(module: str, name: str) -> _Maker:
    name_library()
    # The library has no type stubs; what is used of it is in the protocols above.
    return cast("_Maker", getattr(importlib.import_module(module), name))


def _build_matrix(rows: Sequence[Row], width: int) -> object:
    values, columns, places = list[float](), list[int](), [0]
    for row in rows:
        columns += row.keys()
        values += row.values()
        places.append(len(values))
    make = getattr(importlib.import_module("scipy.sparse"), "csr_matrix")  # noqa: B009  # it has no type stubs
    return cast("object", make((values, columns, places), shape=(len(rows), width)))


def _copy_tree(inner: _Inner) -> Tree:
    values = cast("list[list[list[float]]]", inner.value.tolist())
    left = cast("list[int]", inner.children_left.tolist())
    shares: list[tuple[float, ...]] = []
    for node, (row,) in enumerate(values):
        total = sum(row) or 1.0
        shares.append(tuple(round(one / total, 9) for one in row) if left[node] < 0 else ())
    return Tree(
        columns=tuple(max(0, one) for one in cast("list[int]", inner.feature.tolist())),
        limits=tuple(cast("list[float]", inner.threshold.tolist())),
        left=tuple(left),
        right=tuple(cast("list[int]", inner.children_right.tolist())),
        shares=tuple(shares),
    )
