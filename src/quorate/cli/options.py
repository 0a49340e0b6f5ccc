"""Which options do several commands share, and how are their values read?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar, cast

import msgspec
import typer
from msgspec import structs

from quorate.errors import InvalidInput, UnknownName
from quorate.specs import Limits

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]
"""Print JSON instead of words."""
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress while it works.")]
"""Show no progress."""
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="MODEL", help="Such as openai:gpt-5.2, or playbook: procedures without a model."
    ),
]
"""Which model to use."""
LimitOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        "-l",
        metavar="KEY=VALUE",
        help="A bound of the run, such as seconds=60, steps=10 or cost_usd=0.5; may be given several times.",
    ),
]
"""Bounds of a run."""
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]
"""Overwrite a file."""
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
"""Change nothing."""
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
"""Do not ask."""
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
"""Which run."""


def read_word(what: str, word: str | None, choices: Sequence[T]) -> T | None:
    """Read one of a few words; `None` when none was given.

    Raises:
        UnknownName: It is none of them.
    """
    for known in choices:
        if known == word:
            return known
    if word is not None:
        raise UnknownName(what, word, [str(choice) for choice in choices])
    return None


def read_limits(given: Sequence[str], *, base: Limits) -> Limits:
    """Read limits written as `key=value` over those in `base`.

    Raises:
        UnknownName: There is no such limit.
        InvalidInput: A value does not fit.
    """
    types = {field.name: cast("object", field.type) for field in structs.fields(Limits)}
    values: dict[str, object] = {}
    for item in given:
        key, equals, text = item.partition("=")
        if not equals:
            raise InvalidInput(f"`--limit {item}` has no value: write it like `--limit seconds=60`.")
        if key not in types:
            raise UnknownName("limit", key, types)
        try:
            value = msgspec.convert(text, types[key], strict=False)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"`--limit {item}`: {text!r} is not a number: write `{key}=10`, for example.") from error
        if not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise InvalidInput(f"`--limit {item}`: a limit is a number above 0.")
        values[key] = value
    return structs.replace(base, **values)


def read_arguments(given: Sequence[str], whole: str | None) -> str:
    """Read a tool's arguments, written as `key=value` or as one JSON object, into JSON text.

    A value that reads as JSON is taken so (`5`, `true`, `["a"]`); everything else is text.

    Raises:
        InvalidInput: They cannot be read.
    """
    if whole is not None:
        if given:
            raise InvalidInput("`--arg` and `--json-args` exclude each other: give all arguments in one of them.")
        return whole
    values: dict[str, object] = {}
    for item in given:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise InvalidInput(f"`--arg {item}` has no value: write it like `--arg host=localhost`.")
        try:
            values[key] = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            values[key] = text
    return msgspec.json.encode(values).decode()
