"""What is a model trained on, and how is it told apart from other data?"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from quorate.errors import InvalidInput, TooLarge

MOST_EXAMPLES = 200_000
MOST_TEXT = 20_000
"""Characters of an example's text."""
MOST_FEATURES = 256
Label = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=MOST_TEXT)]
MOST_NUMBER = 1e15
"""How large a feature may be."""
Features = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=100)], Annotated[float, Meta(ge=-MOST_NUMBER, le=MOST_NUMBER)]],
    Meta(max_length=MOST_FEATURES),
]


class Case(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Something to be told the label of: words, numbers, or both."""

    text: Text = ""
    features: Features = {}


class Example(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A case whose label is known."""

    label: Label
    text: Text = ""
    features: Features = {}
    source: Annotated[str, Meta(max_length=200)] = ""
    """What it comes from, such as a run's id."""

    @property
    def case(self) -> Case:
        """The case without its label."""
        return Case(text=self.text, features=self.features)


class Dataset(Struct, frozen=True, kw_only=True):
    """Examples, and what they were taken from."""

    source: str
    """Such as a file's name, or `runs`."""
    examples: tuple[Example, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the examples, in whatever order they come."""
        lines = sorted(msgspec.json.encode(example, order="sorted") for example in self.examples)
        return hashlib.sha256(b"\n".join(lines)).hexdigest()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels there are, sorted."""
        return tuple(sorted({example.label for example in self.examples}))


def read_examples(lines: Iterable[str | bytes], *, source: str) -> Dataset:
    """Read examples from JSON, one a line: `{"label": "dns", "text": "…", "features": {"x": 1}}`.

    Args:
        lines: The lines; empty ones are passed over.
        source: Where they are from.

    Raises:
        InvalidInput: A line is no example; the message says which.
        TooLarge: There are too many.
    """
    found = list(_read(lines, Example, source))
    return Dataset(source=source, examples=tuple(found))


def read_cases(lines: Iterable[str | bytes], *, source: str) -> list[Case]:
    """Read cases from JSON, one a line; what they are is left out where it is said.

    Raises what `read_examples` does.
    """
    return [one.case for one in _read(lines, _Unlabelled, source)]


class _Unlabelled(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Text = ""
    features: Features = {}
    label: str = ""
    source: str = ""

    @property
    def case(self) -> Case:
        return Case(text=self.text, features=self.features)


_Line = TypeVar("_Line", Example, _Unlabelled)


def _read(lines: Iterable[str | bytes], kind: type[_Line], source: str) -> Iterator[_Line]:
    count = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            one = msgspec.json.decode(line, type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidInput(f"{source}:{number}: this is no example: {error}.") from error
        count += 1
        if count > MOST_EXAMPLES:
            raise TooLarge(f"{source} has more than {MOST_EXAMPLES} examples: take a sample.")
        yield one


def split_folds(examples: Sequence[Example], folds: int, *, seed: int) -> list[list[int]]:
    """Split examples into folds with like shares of each label; return the numbers of those in each."""
    by_label: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        by_label.setdefault(example.label, []).append(number)
    draw, parts, at = random.Random(seed), [list[int]() for _ in range(folds)], 0
    for label in sorted(by_label):
        draw.shuffle(by_label[label])
        for number in by_label[label]:
            parts[at % folds].append(number)
            at += 1
    return parts


def check_trainable(dataset: Dataset) -> None:
    """Raise `InvalidInput` where nothing can be learnt: one label alone, or hardly an example of each."""
    counts = Counter(example.label for example in dataset.examples)
    for number, example in enumerate(dataset.examples):
        if not all(abs(value) <= MOST_NUMBER for value in example.features.values()):
            raise InvalidInput(f"Example {number} of {dataset.source} has a feature that is no number, or above 1e15.")
    if len(counts) < 2:
        raise InvalidInput(
            f"{dataset.source} has {len(dataset.examples)} examples of {len(counts)} labels: at least 2 labels are "
            "needed."
        )
    rare = sorted(label for label, count in counts.items() if count < 2)
    if rare:
        raise InvalidInput(
            f"{dataset.source} has one example only of {', '.join(map(repr, rare[:5]))}: at least 2 of each are needed."
        )
