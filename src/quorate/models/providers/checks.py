"""Can a model be told to think that hard, and which fields may a caller add to a request?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from quorate.errors import InvalidInput
from quorate.messages import AnyPart
from quorate.models.target import Target
from quorate.specs import ModelSettings

Json = dict[str, object]
RESERVED = frozenset({"model", "stream", "messages", "contents"})
"""What a caller never writes into a body, also where a format has no such field."""


def check_effort(target: Target, reasoning: str, *, known: Iterable[str]) -> None:
    """Check that a model can be told to think that hard; `known` is what its format has words for.

    Raises:
        InvalidInput: It cannot.
    """
    facts = target.facts
    if facts is not None and not facts.reasoning:
        raise InvalidInput(f"`{target.name}` cannot be told how hard to think: leave `reasoning` out.")
    words = tuple(known) if facts is None or not facts.efforts else facts.efforts
    if reasoning not in words:
        shown = ", ".join(f"`{word}`" for word in words)
        raise InvalidInput(f"`{target.name}` does not know {reasoning!r} as `reasoning`; it knows {shown}.")


def refuse_settings(target: Target, settings: ModelSettings, *names: str, why: str) -> None:
    """Raise `InvalidInput` if one of these settings is there."""
    for name in names:
        if getattr(settings, name) is not None:
            raise InvalidInput(f"`{target.name}` takes no `{name}`: {why}. Leave it out.")


def refuse_part(part: AnyPart, *, what: str, place: str) -> InvalidInput:
    """Say that a part has no place in a message."""
    return InvalidInput(f"{what} cannot carry {type(part).__name__} {place}.")


def add_extra(body: Json, extra: Mapping[str, object]) -> None:
    """Add a caller's own fields to a body; a table joins a table that is there.

    Raises:
        InvalidInput: A field is there already.
    """
    for name, value in extra.items():
        there = body.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            add_extra(cast("Json", there), cast("Json", value))
        elif name in body:
            raise InvalidInput(f"`{name}` cannot be set by `extra`: it is written from the request itself.")
        else:
            body[name] = value
