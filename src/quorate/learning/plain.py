"""How is a model trained without a library?"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from quorate.learning.classifiers import Bayes, Logistic, normalize
from quorate.learning.encoding import Row

HOW = "plain Python"
MOST_STEPS = 6_000_000
"""Products of rows, columns and labels that training may come to."""
EPOCHS = 40
LEAST_EPOCHS = 8
RATE = 0.5
DECAY = 1e-4
"""By how much a weight shrinks with each row that touches it."""
SMALL = 1e-6


def fit_bayes(rows: Sequence[Row], targets: Sequence[int], *, labels: int, numbers: int, sharpness: float) -> Bayes:
    """Count how often words and numbers come with each label.

    Args:
        rows: The cases.
        targets: The number of the label of each.
        labels: How many labels there are.
        numbers: How many columns are numbers.
        sharpness: What scores are multiplied by.
    """
    counts = [0] * labels
    words = [dict[int, float]() for _ in range(labels)]
    sums, squares = [[0.0] * numbers for _ in range(labels)], [[0.0] * numbers for _ in range(labels)]
    for row, label in zip(rows, targets, strict=True):
        counts[label] += 1
        for at, value in row.items():
            if at >= numbers:
                words[label][at] = words[label].get(at, 0.0) + value
            else:
                sums[label][at] += value
                squares[label][at] += value * value
    width = len({at for row in rows for at in row if at >= numbers}) or 1
    totals = [sum(found.values()) + width for found in words]
    means = [[total / count for total in found] for found, count in zip(sums, counts, strict=True)]
    variances = [
        # A variance that is guessed from few is drawn to that of all, which is 1 by the encoding.
        [(square - count * mean * mean + 1) / (count + 1) for square, mean in zip(row, middle, strict=True)]
        for row, middle, count in zip(squares, means, counts, strict=True)
    ]
    return Bayes(
        priors=tuple(math.log(count / len(rows)) for count in counts),
        words=tuple(
            {str(at): math.log((value + 1) / total) for at, value in sorted(found.items())}
            for found, total in zip(words, totals, strict=True)
        ),
        others=tuple(math.log(1 / total) for total in totals),
        means=tuple(map(tuple, means)),
        variances=tuple(tuple(max(1e-3, one) for one in row) for row in variances),
        sharpness=sharpness,
    )


def can_fit_logistic(rows: Sequence[Row], labels: int) -> bool:
    """Whether there are few enough rows, columns and labels to be trained in a moment."""
    return _count_steps(rows, labels) * LEAST_EPOCHS <= MOST_STEPS


def fit_logistic(rows: Sequence[Row], targets: Sequence[int], *, labels: int, seed: int) -> Logistic:
    """Find weights row by row, with steps that shrink for columns that come often (AdaGrad; Duchi et al., JMLR 2011).

    Args:
        rows: The cases.
        targets: The number of the label of each.
        labels: How many labels there are.
        seed: Of the order.
    """
    epochs = max(LEAST_EPOCHS, min(EPOCHS, MOST_STEPS // max(1, _count_steps(rows, labels))))
    weights, moved = [dict[int, float]() for _ in range(labels)], [dict[int, float]() for _ in range(labels)]
    intercepts, shifted = [0.0] * labels, [1e-6] * labels
    draw, order = random.Random(seed), list(range(len(rows)))
    for _ in range(epochs):
        draw.shuffle(order)
        for at in order:
            row = rows[at]
            shares = normalize(
                [
                    intercepts[label] + sum(weights[label].get(column, 0.0) * value for column, value in row.items())
                    for label in range(labels)
                ]
            )
            for label, share in enumerate(shares):
                error = share - (label == targets[at])
                shifted[label] += error * error
                intercepts[label] -= RATE * error / math.sqrt(shifted[label])
                own, past = weights[label], moved[label]
                for column, value in row.items():
                    before = own.get(column, 0.0)
                    slope = error * value + DECAY * before
                    past[column] = past.get(column, 1e-6) + slope * slope
                    own[column] = before - RATE * slope / math.sqrt(past[column])
    return Logistic(intercepts=tuple(intercepts), weights=tuple(map(drop_small, weights)))


def drop_small(weights: dict[int, float]) -> dict[str, float]:
    """Leave weights out that change nothing."""
    return {str(at): round(value, 9) for at, value in sorted(weights.items()) if abs(value) > SMALL}


def _count_steps(rows: Sequence[Row], labels: int) -> int:
    return sum(len(row) + 1 for row in rows) * labels
