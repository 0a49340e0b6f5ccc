"""How does each kind of model tell labels apart? As data that is reckoned with, and never run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.learning.encoding import Row

MOST_DEPTH = 64
"""Steps from the top of a tree to a leaf."""


class Bayes(Struct, frozen=True, kw_only=True, tag="bayes", tag_field="kind"):
    """Naive Bayes over words (multinomial) and numbers (Gaussian), a table for each label."""

    priors: tuple[float, ...]
    """Logarithms."""
    words: tuple[dict[str, float], ...]
    """Of each label, what a column adds to the score; what is not there adds `others`."""
    others: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    variances: tuple[tuple[float, ...], ...]
    sharpness: float = 1.0
    """What scores are multiplied by: words that go together would make it too sure of itself."""


class Logistic(Struct, frozen=True, kw_only=True, tag="logistic", tag_field="kind"):
    """Multinomial logistic regression: a weight for each column and label."""

    intercepts: tuple[float, ...]
    weights: tuple[dict[str, float], ...]
    """Of each label, by the number of the column; small ones are left out."""


class Tree(Struct, frozen=True, kw_only=True):
    """A decision tree; node 0 is the top, and a node without a left one is a leaf."""

    columns: tuple[int, ...]
    limits: tuple[float, ...]
    """Up to and with this value one goes left."""
    left: tuple[int, ...]
    right: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    """Of each leaf, how likely each label is; empty for other nodes."""


class Forest(Struct, frozen=True, kw_only=True, tag="forest", tag_field="kind"):
    """The mean of many trees."""

    trees: tuple[Tree, ...]


Classifier = Bayes | Logistic | Forest


def predict_shares(classifier: Classifier, row: Row, labels: int, numbers: int) -> list[float]:
    """Say how likely each label is.

    Args:
        classifier: What says so.
        row: The case.
        labels: How many labels there are.
        numbers: How many of the columns are numbers; the others are words.
    """
    if isinstance(classifier, Forest):
        return _ask_forest(classifier, row, labels)
    if isinstance(classifier, Logistic):
        scores = [
            intercept + sum(weights.get(str(at), 0.0) * value for at, value in row.items())
            for intercept, weights in zip(classifier.intercepts, classifier.weights, strict=True)
        ]
        return normalize(scores)
    return normalize([_score_bayes(classifier, row, label, numbers) for label in range(labels)])


def normalize(scores: Sequence[float]) -> list[float]:
    """Turn scores into shares that sum to 1."""
    most = max(scores)
    powers = [math.exp(max(-700.0, score - most)) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def check_classifier(classifier: Classifier, *, labels: int, width: int, numbers: int) -> None:
    """Raise `InvalidInput` where a model that was read does not hold together: none may run for ever."""
    if isinstance(classifier, Forest):
        faults = [fault for tree in classifier.trees if (fault := _find_tree_fault(tree, labels, width))]
        if not classifier.trees:
            faults.append("there are no trees")
    elif isinstance(classifier, Logistic):
        sizes = {len(classifier.intercepts), len(classifier.weights)}
        faults = [] if sizes == {labels} else ["there is not a row of weights for each label"]
    else:
        tables = (classifier.priors, classifier.words, classifier.others, classifier.means, classifier.variances)
        faults = [] if {len(table) for table in tables} == {labels} else ["there is not a table for each label"]
        rows = (*classifier.means, *classifier.variances)
        faults += [] if all(len(row) == numbers for row in rows) else ["there is not a mean for each number"]
        if any(value <= 0 for row in classifier.variances for value in row):
            faults.append("a variance is not above 0")
    if faults:
        raise InvalidInput(f"The model does not hold together: {faults[0]}.")


def _score_bayes(classifier: Bayes, row: Row, label: int, numbers: int) -> float:
    words, others = classifier.words[label], classifier.others[label]
    score = classifier.priors[label]
    for at, value in row.items():
        if at >= numbers:
            score += classifier.sharpness * value * words.get(str(at), others)
        else:
            variance = classifier.variances[label][at]
            away = (value - classifier.means[label][at]) ** 2 / variance
            score -= classifier.sharpness * 0.5 * (away + math.log(2 * math.pi * variance))
    return score


def _ask_forest(forest: Forest, row: Row, labels: int) -> list[float]:
    total = [0.0] * labels
    for tree in forest.trees:
        node = 0
        while tree.left[node] >= 0:
            is_left = row.get(tree.columns[node], 0.0) <= tree.limits[node]
            node = tree.left[node] if is_left else tree.right[node]
        total = [one + share for one, share in zip(total, tree.shares[node], strict=True)]
    return [one / len(forest.trees) for one in total]


def _find_tree_fault(tree: Tree, labels: int, width: int) -> str:
    sizes = {len(tree.columns), len(tree.limits), len(tree.left), len(tree.right), len(tree.shares)}
    if len(sizes) != 1 or not tree.left:
        return "a tree has lists of different lengths"
    for node, (left, right) in enumerate(zip(tree.left, tree.right, strict=True)):
        if left < 0:
            if len(tree.shares[node]) != labels:
                return "a leaf has not a share for each label"
        # Down only: no way through a tree leads back.
        elif not (node < left < len(tree.left) and node < right < len(tree.left)):
            return "a node leads back, or out of its tree"
        elif not 0 <= tree.columns[node] < width:
            return "a node asks for a column that there is not"
    return ""
