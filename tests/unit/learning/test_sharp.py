"""Is learning sharper with scikit-learn, by the same interface, and is what is kept of it data that says the same?"""

from __future__ import annotations

import random

import pytest

from quorate.learning import sharp
from quorate.learning.anomalies import find_isolated
from quorate.learning.classifiers import Forest, predict_shares
from quorate.learning.encoding import Encoder
from quorate.learning.examples import Case, Dataset, Example
from quorate.learning.model import ModelPredictor, read_model, write_model
from quorate.learning.train import train

pytestmark = pytest.mark.skipif(not sharp.is_there(), reason="needs the extra ml")


def test_words_are_learnt_by_the_same_interface() -> None:
    """The model says which it was."""
    texts = {"storage": "the disk is full", "network": "the port is closed", "logs": "the log has a traceback"}
    examples = tuple(Example(label=label, text=f"{text} {at % 4}") for label, text in texts.items() for at in range(12))
    training = train(Dataset(source="words", examples=examples), algorithm="logistic", sharper=True)
    assert training.model.how.startswith("scikit-learn ")
    assert training.metrics["accuracy"] == 1.0
    found = ModelPredictor(read_model(write_model(training.model)))(Case(text="my disk"))
    assert (found.label, found.confidence > 0.4) == ("storage", True)


def test_the_library_is_sharper_where_lines_do_not_do() -> None:
    """A forest tells what depends on two numbers together; what is kept of it says what the library says."""
    chance = random.Random(1)
    points = [(chance.uniform(-1, 1), chance.uniform(-1, 1)) for _ in range(240)]
    data = Dataset(
        source="board",
        examples=tuple(Example(label="same" if x * y > 0 else "other", features={"x": x, "y": y}) for x, y in points),
    )
    trained = train(data, sharper=True)
    assert (trained.algorithm, trained.model.how.startswith("scikit-learn ")) == ("forest", True)
    assert trained.metrics["accuracy"] > 0.85
    assert train(data, sharper=False).metrics["accuracy"] < 0.7
    again = read_model(write_model(trained.model))
    assert isinstance(again.classifier, Forest)
    from sklearn.ensemble import RandomForestClassifier

    encoder = Encoder(again.encoding)
    rows = [encoder.encode(example.case) for example in data.examples]
    dense = [[row.get(0, 0.0), row.get(1, 0.0)] for row in rows]
    grown = RandomForestClassifier(
        n_estimators=sharp.TREES, max_depth=sharp.MOST_DEPTH, min_samples_leaf=sharp.LEAST_LEAF, random_state=0
    ).fit(dense, [example.label for example in data.examples])
    theirs = grown.predict_proba(dense).tolist()
    ours = [predict_shares(again.classifier, row, 2, 2) for row in rows]
    assert all(one == pytest.approx(other, abs=1e-6) for one, other in zip(ours, theirs, strict=True))


def test_a_point_that_is_odd_in_both_columns_is_found() -> None:
    """Neither of its values is odd by itself: only together they are."""
    chance = random.Random(3)
    rows = [(at, at + chance.gauss(0, 0.2)) for at in (chance.gauss(0, 1) for _ in range(300))]
    rows[100] = (2.5, -2.5)
    report = find_isolated(rows, seed=1)
    assert (report.method, report.note) == ("isolation_forest", "")
    assert 100 in {one.index for one in report.anomalies}
    assert len(report.anomalies) <= 8
