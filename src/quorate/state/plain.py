"""What may be stored, and what does it become?

Text, numbers, truth values, nothing, lists and mappings stay what they are; structs, dataclasses, dates, enumerations
and the like become what JSON has for them. All else is refused before anything is written.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Literal, cast
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct

from quorate.errors import InvalidInput, TooLarge
from quorate.state.leaks import HIDDEN, NameKind, classify_name, is_like_key, is_secret_under, is_typed_secret

SecretPolicy = Literal["refuse", "redact"]
"""What becomes of a secret that somebody stores: an error, or stars in its place."""

MAX_BYTES = 256 << 10
MOST_BYTES = 1 << 20
MAX_DEPTH = 32
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1


class Rules(Struct, frozen=True, kw_only=True, gc=False):
    """What is refused."""

    max_bytes: int = MAX_BYTES
    max_depth: int = MAX_DEPTH
    secrets: SecretPolicy = "refuse"


def to_plain(value: object, *, name: str, where: str, rules: Rules) -> object:
    """Return what a value is as JSON data, a copy through and through.

    Args:
        value: What somebody wants to store.
        name: What it is called; `password` makes a secret of any text.
        where: What to call it in messages.
        rules: What is refused.

    Raises:
        InvalidInput: It holds itself, a secret, NaN, or what JSON has nothing for; the message says where.
        TooLarge: It is over its size.
    """
    return _Walk(where, rules).flatten(value, name.rpartition("/")[2])


class _Walk:
    """One pass through a value; each part is visited once, and a part that is reached again from below is a cycle."""

    __slots__ = ("_above", "_kinds", "_left", "_path", "_rules", "_where")

    def __init__(self, where: str, rules: Rules) -> None:
        self._where = where
        self._rules = rules
        self._left = rules.max_bytes
        self._path: list[object] = []
        self._above: set[int] = set()
        self._kinds: dict[str, NameKind] = {}

    def flatten(self, value: object, name: str) -> object:
        """Flatten a part that stands under `name`."""
        self._pay(1)
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Enum):
            return self.flatten(cast("object", value.value), name)
        if isinstance(value, str):
            return self._flatten_text(str.__str__(value), name)
        if isinstance(value, int):
            if not _LEAST <= value <= _MOST:
                raise self._refuse("is a whole number of more than 64 bits: store it as text")
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise self._refuse(f"is {float(value)!r}, which JSON has no word for: store `None` or text")
            return float(value)
        if isinstance(value, bytes | bytearray | date | time | timedelta | UUID | Decimal):
            return self._flatten_leaf(value, name)
        if is_typed_secret(value):
            return self._hide("is a secret")
        return self._flatten_holder(value, name)

    def _flatten_text(self, text: str, name: str) -> str:
        self._pay(len(text))
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds[name] = classify_name(name)
        if kind and is_secret_under(name, text, kind=kind):
            return self._hide(f"stands under {name!r}, so it is a secret")
        if is_like_key(text):
            return self._hide("looks like a key, a token or a login")
        return text

    def _flatten_leaf(self, value: bytes | bytearray | date | time | timedelta | UUID | Decimal, name: str) -> object:
        if isinstance(value, Decimal) and not value.is_finite():
            raise self._refuse(f"is {value!r}, which JSON has no word for: store `None` or text")
        if isinstance(value, bytes | bytearray):
            text = value.decode("latin-1")
            if self._flatten_text(text, name) != text:
                return HIDDEN
        return msgspec.to_builtins(value)

    def _flatten_holder(self, value: object, name: str) -> object:
        """Flatten what holds other values."""
        place = id(value)
        if place in self._above:
            raise self._refuse("holds itself: store what it refers to by a name or an id")
        if len(self._above) >= self._rules.max_depth:
            raise self._refuse(f"nests deeper than {self._rules.max_depth} levels")
        self._above.add(place)
        try:
            if isinstance(value, Mapping):
                return self._flatten_mapping(cast("Mapping[object, object]", value))
            if isinstance(value, list | tuple):
                return self._flatten_items(cast("Iterable[object]", value), name)
            if isinstance(value, set | frozenset):
                items = self._flatten_items(cast("Iterable[object]", value), name)
                return sorted(items, key=msgspec.json.encode)
            if isinstance(value, Struct):
                return self._flatten_struct(value)
            if dataclasses.is_dataclass(value) and not isinstance(value, type):
                names = [field.name for field in dataclasses.fields(value)]
                return self._flatten_mapping({one: getattr(value, one) for one in names})
        finally:
            self._above.discard(place)
        raise self._refuse(
            f"is a `{type(value).__name__}`, which cannot be stored: give text, numbers, lists, mappings or structs"
        )

    def _flatten_mapping(self, value: Mapping[object, object]) -> dict[str, object]:
        plain: dict[str, object] = {}
        for given, item in value.items():
            key = cast("object", given.value) if isinstance(given, Enum) else given
            self._path.append(key)
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise self._refuse(f"has a key that is a `{type(key).__name__}`: keys are text or whole numbers")
            text = str(key)
            self._pay(len(text))
            if is_like_key(text):
                self._path.pop()  # the message must not show it
                raise self._refuse("has a key that looks like a secret: store what names it instead")
            if text in plain:
                raise self._refuse("has two keys that are the same as text")
            plain[text] = self.flatten(item, text)
            self._path.pop()
        return plain

    def _flatten_items(self, value: Iterable[object], name: str) -> list[object]:
        plain: list[object] = []
        for place, item in enumerate(value):
            self._path.append(place)
            plain.append(self.flatten(item, name))
            self._path.pop()
        return plain

    def _flatten_struct(self, value: Struct) -> object:
        config, names = (
            value.__struct_config__,
            zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True),
        )
        given = {encoded: getattr(value, field) for field, encoded in names}
        tag = {config.tag_field: config.tag} if config.tag_field is not None else {}
        if config.array_like:
            return self._flatten_items([*tag.values(), *given.values()], "")
        return self._flatten_mapping({**tag, **{key: item for key, item in given.items() if item is not UNSET}})

    def _hide(self, why: str) -> str:
        if self._rules.secrets == "refuse":
            raise self._refuse(f"{why}: secrets are not stored. Keep it in the environment, and store its name")
        return HIDDEN

    def _pay(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge(
                f"{self._where} has more than {self._rules.max_bytes} bytes as JSON: save it as an artifact and store "
                "the handle."
            )

    def _refuse(self, why: str) -> InvalidInput:
        spelled = "".join(_spell(part) for part in self._path[-8:])
        skipped = "…" if len(self._path) > 8 else ""
        return InvalidInput(f"{self._where}: `${skipped}{spelled[:200]}` {why}.")


def _spell(part: object) -> str:
    return f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]"
