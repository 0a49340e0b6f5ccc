"""What is a trained model, what does it say of a case, and how is it kept as data?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput, TooLarge
from quorate.learning.classifiers import Classifier, check_classifier, predict_shares
from quorate.learning.drift import Reference
from quorate.learning.encoding import Encoder, Encoding
from quorate.learning.examples import Case

MOST_BYTES = 64 << 20
"""How large a model may be."""
FORMAT = 1


class Model(Struct, frozen=True, kw_only=True):
    """A trained model: all of it is data."""

    format: int = FORMAT
    labels: tuple[str, ...]
    encoding: Encoding
    classifier: Classifier
    reference: Reference
    """What it was trained on looked like: drift is told against it."""
    how: str
    """What it was trained by: `plain Python`, or the library with its version."""


class Prediction(Struct, frozen=True, kw_only=True):
    """What a model says of a case."""

    label: str
    confidence: float
    """How likely the label is by the model, 0 to 1."""
    scores: dict[str, float]
    """How likely each label is, the likeliest first."""
    model: str = ""
    version: int = 0


Predictor = Callable[[Case], Prediction]
"""Says the label of a case: a trained model, or whatever else does."""


class ModelPredictor:
    """A `Predictor` over a trained model.

    Args:
        model: The model.
        name: What it is called.
        version: Which version it is.
    """

    def __init__(self, model: Model, *, name: str = "", version: int = 0) -> None:
        self.model = model
        self.name = name
        self.version = version
        self._encoder = Encoder(model.encoding)

    def __call__(self, case: Case) -> Prediction:
        """Say what a case is, and how sure that is; of equally likely labels the first by name."""
        model = self.model
        row = self._encoder.encode(case)
        shares = predict_shares(model.classifier, row, len(model.labels), len(model.encoding.numbers))
        ranked = sorted(zip(model.labels, shares, strict=True), key=lambda one: (-one[1], one[0]))
        label, confidence = ranked[0]
        return Prediction(
            label=label, confidence=confidence, scores=dict(ranked), model=self.name, version=self.version
        )

    def predict_many(self, cases: Sequence[Case]) -> list[Prediction]:
        """Say what each of some cases is."""
        return [self(case) for case in cases]


def write_model(model: Model) -> bytes:
    """Write a model as JSON; the same model is the same bytes.

    Raises:
        TooLarge: It is larger than is kept.
    """
    data = msgspec.json.encode(model, order="sorted")
    if len(data) > MOST_BYTES:
        raise TooLarge(
            f"The model has {len(data)} bytes; at most {MOST_BYTES} are kept: train on fewer words or labels."
        )
    return data


def read_model(data: bytes) -> Model:
    """Read a model, and check that it holds together.

    Raises:
        InvalidInput: It is none.
    """
    try:
        check_depth(data, what="the model")
        model = msgspec.json.decode(data, type=Model)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidInput(f"This is no model: {error}.") from error
    if model.format != FORMAT:
        raise InvalidInput(f"The model has format {model.format}, and this version reads {FORMAT}: train it again.")
    encoding, count = model.encoding, len(model.encoding.numbers)
    if len(model.labels) < 2 or len(set(model.labels)) < len(model.labels):
        raise InvalidInput("The model does not hold together: it needs 2 different labels at least.")
    if {len(encoding.means), len(encoding.scales)} != {count} or len(encoding.words) != len(encoding.rarity):
        raise InvalidInput("The model does not hold together: its columns are not of one length.")
    if any(scale <= 0 for scale in encoding.scales):
        raise InvalidInput("The model does not hold together: a scale is not above 0.")
    check_classifier(model.classifier, labels=len(model.labels), width=encoding.width, numbers=count)
    return model


def digest(data: bytes) -> str:
    """Return the SHA-256 of a model's bytes."""
    return hashlib.sha256(data).hexdigest()
