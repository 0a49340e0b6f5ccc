"""Which guards are there, as data that a file can hold?

Every kind is a struct of its own, told apart by `kind`. What a guard does about what it finds is its `mode`:

- `strict`: the call ends with `BlockedByPolicy`, which names the guard and never the text;
- `moderate`: words and data are redacted, anything else is let pass with a note in the reply;
- `lenient`: everything is let pass with a note in the reply.

A guard that fails blocks in every mode.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Mode = Literal["strict", "moderate", "lenient"]
Side = Literal["input", "output"]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
PiiEntity = Literal["email", "phone", "card", "iban", "ssn", "ip"]
SecretEntity = Literal["key", "private_key", "token", "login", "assigned", "random"]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all guards have in common."""

    name: Name
    """What a block, a note and a record call it."""
    on: Literal["input", "output", "both"] = "both"
    """Whether it looks at what goes to the model, at what comes from it, or at both."""
    mode: Mode = "moderate"
    tenants: tuple[str, ...] = ()
    """For whom it stands; for everybody when nobody is named."""


class PiiRule(Rule, frozen=True, kw_only=True, tag="pii"):
    """Data about persons: what it is, is checked where there is a checksum."""

    entities: tuple[PiiEntity, ...] = ("email", "phone", "card", "iban", "ssn")
    restore: bool = True
    """Whether the person's own data stands again where the model repeats its placeholder."""


class SecretsRule(Rule, frozen=True, kw_only=True, tag="secrets"):
    """Keys and tokens of known makers, private keys, logins in addresses, and what stands behind `password =`.

    `random` finds any long text of high entropy: useful for code, wrong about many ids.
    """

    entities: tuple[SecretEntity, ...] = ("key", "private_key", "token", "login", "assigned")
    restore: bool = True


class WordsRule(Rule, frozen=True, kw_only=True, tag="words"):
    """Words that may not be said, in any case and width of letters, and with invisible characters between them."""

    words: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(min_length=1, max_length=20_000)
    ]
    whole_words: bool = True
    """Whether `art` is let pass in `party`; scripts without spaces have no such borders."""


class PatternsRule(Rule, frozen=True, kw_only=True, tag="patterns"):
    """Expressions in RE2's language, which takes time that only grows with the text; needs the extra `guards`.

    An expression whose matches may have any length, such as `a.*b`, holds a stream back to its end: write `.{0,80}`.
    """

    patterns: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1000)], ...], Meta(min_length=1, max_length=200)
    ]
    ignore_case: bool = True


class SizeRule(Rule, frozen=True, kw_only=True, tag="size"):
    """How much may be said."""

    max_chars: Annotated[int, Meta(gt=0)]
    """Of all words of a request, or of an answer."""


class SchemaRule(Rule, frozen=True, kw_only=True, tag="schema"):
    """An answer must be JSON of this schema; looks at output alone, and `strict` holds a stream back to its end."""

    json_schema: dict[str, object]


class FunctionRule(Rule, frozen=True, kw_only=True, tag="function"):
    """A function that the program gave under a name; `strict` holds a stream back to its end."""

    function: str
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0


GuardRule = PiiRule | SecretsRule | WordsRule | PatternsRule | SizeRule | SchemaRule | FunctionRule
"""Every kind there is, as `[[guard]]` of a gateway file reads it."""
