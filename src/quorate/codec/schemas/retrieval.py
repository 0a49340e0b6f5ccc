"""What is kept to be found, asked for, and found?"""

from __future__ import annotations

from msgspec import Struct, field


class RagDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document, or a piece of one."""

    id: str
    text: str
    title: str = ""
    source: str = ""
    """Where it is from: a path or a URL."""
    parent: str = ""
    """The document it is a piece of."""
    position: int = 0
    """Which piece it is, counted from 0."""
    media_type: str = "text/plain"
    created: float = 0.0
    """Wall time in seconds since 1970 (UTC)."""
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    vector: tuple[float, ...] = ()


class RagQuery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to an index."""

    id: str
    text: str
    index: str = ""
    limit: int = 10
    min_score: float = 0.0
    filters: dict[str, str] = field(default_factory=dict[str, str])
    """What the metadata must be equal to."""


class RagHit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece that was found."""

    document: RagDocument
    score: float
    reason: str = ""


class RagResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found, best first."""

    id: str
    """The id of the query."""
    hits: tuple[RagHit, ...] = ()
    answer: str = ""
    """What a model made of it, where it was asked."""
    seconds: float = 0.0
