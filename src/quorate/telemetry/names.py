"""What is called how, so that the tools of those who watch know it?"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

FILE = "names.toml"


class MetricRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is counted or measured under a name."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets."""


class Names(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The published names of everything that is shown, by what we call it here."""

    span: dict[str, str]
    """Names of spans; `{name}` stands for the agent, model or tool."""
    operation: dict[str, str]
    """Values of `gen_ai.operation.name`."""
    attribute: dict[str, str]
    metric: dict[str, MetricRule]


def load_names() -> Names:
    """Load the names that come with the package.

    They are those of the GenAI semantic conventions as emitters send them today; a later release of the conventions
    is another table, and nothing else changes.
    """
    text = files(__package__ or "").joinpath(FILE).read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Names)
