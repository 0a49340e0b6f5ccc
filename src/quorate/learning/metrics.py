"""How good are predictions, and are they as sure as they should be?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

BINS = 10
LEAST = 1e-9


def measure(labels: Sequence[str], scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Measure predictions: how many are right, and how far their confidence can be believed.

    `accuracy` and `macro_f1` say how many are right, `baseline` how many would be if the commonest label were always
    said, `log_loss` and `calibration_error` how far confidence can be believed (Guo et al., *On calibration of modern
    neural networks*, ICML 2017), 0 being best.

    Args:
        labels: What cases are.
        scores: How likely each label was said to be.
    """
    if not labels:
        return {"examples": 0.0}
    said = [max(sorted(one), key=one.__getitem__) for one in scores]
    sure = [one[label] for one, label in zip(scores, said, strict=True)]
    right = [label == guess for label, guess in zip(labels, said, strict=True)]
    losses = [-math.log(max(LEAST, one.get(label, 0.0))) for one, label in zip(scores, labels, strict=True)]
    return {
        "examples": float(len(labels)),
        "accuracy": sum(right) / len(labels),
        "baseline": Counter(labels).most_common(1)[0][1] / len(labels),
        "macro_f1": _measure_f1(labels, said),
        "log_loss": math.fsum(losses) / len(losses),
        "calibration_error": _measure_calibration(sure, right),
    }


def _measure_f1(labels: Sequence[str], said: Sequence[str]) -> float:
    pairs, known = Counter(zip(labels, said, strict=True)), sorted(set(labels))
    given, guessed = Counter(labels), Counter(said)
    return sum(2 * pairs[name, name] / (given[name] + guessed[name]) for name in known) / len(known)


def _measure_calibration(sure: Sequence[float], right: Sequence[bool]) -> float:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for confidence, is_right in zip(sure, right, strict=True):
        bins.setdefault(min(BINS - 1, int(confidence * BINS)), []).append((confidence, is_right))
    return sum(abs(sum(one for one, _ in found) - sum(one for _, one in found)) for found in bins.values()) / len(sure)
