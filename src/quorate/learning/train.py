"""Which model does best on some examples, and how good is it on those it has not seen?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from msgspec import Struct

from quorate.errors import InvalidInput, UnknownName
from quorate.learning import plain, sharp
from quorate.learning.classifiers import Classifier, predict_shares
from quorate.learning.drift import build_reference
from quorate.learning.encoding import Encoder, Row, build_encoding
from quorate.learning.examples import Dataset, Example, check_trainable, split_folds
from quorate.learning.metrics import measure
from quorate.learning.model import Model, digest, write_model

Algorithm = Literal["auto", "bayes", "logistic", "forest"]
FOLDS = 5
SHARPNESS = (0.5, 1.0, 2.0, 4.0, 8.0)
STRENGTHS = (1.0, 10.0)
MOST_FOREST = 30_000_000
"""Rows times columns that a forest is grown on."""


class Training(Struct, frozen=True, kw_only=True):
    """A model that was trained, and what it was chosen by."""

    model: Model
    algorithm: str
    parameters: dict[str, float]
    metrics: dict[str, float]
    """On examples that were left out when those were predicted (cross-validation)."""
    tried: dict[str, float]
    """The `log_loss` of everything that was tried."""


class _Candidate(Struct, frozen=True, kw_only=True):
    algorithm: str
    parameters: dict[str, float]
    fit: Callable[[Sequence[Row], Sequence[int], _Shape], Classifier]

    @property
    def name(self) -> str:
        told = " ".join(f"{key}={value:g}" for key, value in self.parameters.items())
        return f"{self.algorithm} {told}".strip()


class _Shape(Struct, frozen=True, kw_only=True):
    labels: int
    numbers: int
    width: int
    seed: int


def train(
    dataset: Dataset, *, algorithm: str = "auto", seed: int = 0, folds: int = FOLDS, sharper: bool | None = None
) -> Training:
    """Train on examples: each candidate is tried on what it has not seen, and the best is trained on all.

    It takes a while, and should run in a thread.

    Args:
        dataset: The examples.
        algorithm: `bayes`, `logistic`, `forest` (needs the extra `ml`), or `auto`: all that can be trained.
        seed: Of the folds and draws: the same examples and seed give the same model.
        folds: Into how many parts examples are split.
        sharper: Whether to use scikit-learn; where it is installed when not given.

    Raises:
        InvalidInput: Nothing can be learnt from the examples.
        UnknownName: There is no such algorithm.
        MissingExtra: It needs scikit-learn.
    """
    if algorithm not in get_args(Algorithm):
        raise UnknownName("algorithm", algorithm, get_args(Algorithm))
    check_trainable(dataset)
    examples, labels = dataset.examples, dataset.labels
    uses_library = algorithm != "bayes" and (sharp.is_there() if sharper is None else sharper)
    if uses_library or algorithm == "forest":
        sharp.name_library()
    candidates = _list_candidates(examples, labels, algorithm=algorithm, sharper=uses_library)
    parts = split_folds(examples, max(2, min(folds, len(examples))), seed=seed)
    tried: dict[str, float] = {}
    found: dict[str, dict[str, float]] = {}
    for candidate in candidates:
        found[candidate.name] = _validate(candidate, examples, labels, parts=parts, seed=seed)
        tried[candidate.name] = found[candidate.name]["log_loss"]
    best = min(candidates, key=lambda one: tried[one.name])
    encoding = build_encoding([example.case for example in examples])
    encoder = Encoder(encoding)
    shape = _Shape(labels=len(labels), numbers=len(encoding.numbers), width=encoding.width, seed=seed)
    rows = [encoder.encode(example.case) for example in examples]
    is_plain = best.algorithm == "bayes" or not (uses_library or best.algorithm == "forest")
    model = Model(
        labels=labels,
        encoding=encoding,
        classifier=best.fit(rows, [labels.index(example.label) for example in examples], shape),
        reference=build_reference([example.case for example in examples], [example.label for example in examples]),
        how=plain.HOW if is_plain else sharp.name_library(),
    )
    return Training(
        model=model, algorithm=best.algorithm, parameters=best.parameters, metrics=found[best.name], tried=tried
    )


def describe(training: Training) -> str:
    """Say in a line what was trained, and how good it is."""
    metrics = training.metrics
    return (
        f"{training.algorithm} by {training.model.how}: {metrics['accuracy'] * 100:.1f} % right "
        f"(always the commonest: {metrics['baseline'] * 100:.1f} %), {digest(write_model(training.model))[:12]}"
    )


def _validate(
    candidate: _Candidate, examples: Sequence[Example], labels: Sequence[str], *, parts: list[list[int]], seed: int
) -> dict[str, float]:
    """Predict each fold by a model, and an encoding, that have not seen it."""
    given, scores = list[str](), list[dict[str, float]]()
    for part in parts:
        left_out = set(part)
        seen = [example for at, example in enumerate(examples) if at not in left_out]
        encoding = build_encoding([example.case for example in seen])
        encoder = Encoder(encoding)
        shape = _Shape(labels=len(labels), numbers=len(encoding.numbers), width=encoding.width, seed=seed)
        targets = [labels.index(example.label) for example in seen]
        classifier = candidate.fit([encoder.encode(example.case) for example in seen], targets, shape)
        for at in part:
            row = encoder.encode(examples[at].case)
            shares = predict_shares(classifier, row, len(labels), shape.numbers)
            given.append(examples[at].label)
            scores.append(dict(zip(labels, shares, strict=True)))
    return measure(given, scores)


def _list_candidates(
    examples: Sequence[Example], labels: Sequence[str], *, algorithm: str, sharper: bool
) -> list[_Candidate]:
    encoding = build_encoding([example.case for example in examples])
    if not encoding.width:
        raise InvalidInput(
            "The examples have neither numbers nor words that come twice: nothing can be learnt of them."
        )
    found: list[_Candidate] = []
    if algorithm in ("auto", "bayes"):
        found += [_build_bayes(sharpness) for sharpness in SHARPNESS]
    if algorithm in ("auto", "logistic") and sharper:
        found += [_build_logistic(strength) for strength in STRENGTHS]
    elif algorithm in ("auto", "logistic"):
        encoder = Encoder(encoding)
        rows = [encoder.encode(example.case) for example in examples]
        if algorithm == "logistic" or plain.can_fit_logistic(rows, len(labels)):
            found.append(_Candidate(algorithm="logistic", parameters={}, fit=_fit_plain_logistic))
    fits = len(examples) * encoding.width <= MOST_FOREST
    if algorithm == "forest" or (algorithm == "auto" and sharper and encoding.numbers and fits):
        found.append(_Candidate(algorithm="forest", parameters={"trees": sharp.TREES}, fit=_fit_forest))
    return found


def _build_bayes(sharpness: float) -> _Candidate:
    def fit(rows: Sequence[Row], targets: Sequence[int], shape: _Shape) -> Classifier:
        return plain.fit_bayes(rows, targets, labels=shape.labels, numbers=shape.numbers, sharpness=sharpness)

    return _Candidate(algorithm="bayes", parameters={"sharpness": sharpness}, fit=fit)


def _build_logistic(strength: float) -> _Candidate:
    def fit(rows: Sequence[Row], targets: Sequence[int], shape: _Shape) -> Classifier:
        return sharp.fit_logistic(rows, targets, labels=shape.labels, width=shape.width, strength=strength)

    return _Candidate(algorithm="logistic", parameters={"strength": strength}, fit=fit)


def _fit_plain_logistic(rows: Sequence[Row], targets: Sequence[int], shape: _Shape) -> Classifier:
    return plain.fit_logistic(rows, targets, labels=shape.labels, seed=shape.seed)


def _fit_forest(rows: Sequence[Row], targets: Sequence[int], shape: _Shape) -> Classifier:
    return sharp.fit_forest(rows, targets, width=shape.width, seed=shape.seed)
