"""What is a guard at work, built from its rule?"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, cast

from msgspec import Struct

from quorate.errors import BlockedByPolicy, InvalidInput, UnknownName
from quorate.messages import Reply
from quorate.models.guards.answers import AnswerSchema
from quorate.models.guards.patterns import PatternFinder
from quorate.models.guards.pii import find_pii
from quorate.models.guards.rules import (
    FunctionRule,
    GuardRule,
    Mode,
    PatternsRule,
    PiiRule,
    Rule,
    SchemaRule,
    SecretsRule,
    Side,
    SizeRule,
    WordsRule,
)
from quorate.models.guards.secrets import find_secrets
from quorate.models.guards.spans import Finder
from quorate.models.guards.words import WordFinder
from quorate.specs import Caller, Request

LONGEST_REASON = 200


class Inspection(Struct, frozen=True, kw_only=True):
    """What a guard that is a function looks at."""

    side: Side
    text: str
    """All words of what goes to the model and was not said by it, or of its answer and its calls' arguments."""
    request: Request
    reply: Reply | None = None
    """The answer, where it is looked at."""


GuardFunction = Callable[[Inspection], str | Awaitable[str | None] | None]
"""Says what is wrong, or `None`; its words are shown, so they do not repeat the text. A plain one runs in a thread."""


class Finding(Struct, frozen=True, kw_only=True):
    """That a guard found something: what a listener hears. It never holds the text."""

    guard: str
    side: Side
    mode: Mode
    action: Literal["blocked", "redacted", "noted", "failed"]
    reason: str
    """What was found, such as `email`, or what a function said."""
    count: int = 1
    caller: Caller = Caller()
    key: str = ""
    """The step's key in its run's log."""


class SpanGuard(Struct, frozen=True, kw_only=True):
    """A guard that finds places in a text, so that they can be redacted."""

    rule: Rule
    finder: Finder
    restore: bool = False
    """Whether what was redacted on its way to the model stands again in what comes from it."""


class SizeGuard(Struct, frozen=True, kw_only=True):
    """A guard that counts characters."""

    rule: Rule
    max_chars: int

    @property
    def reason(self) -> str:
        """What is wrong with a longer one."""
        return f"more than {self.max_chars} characters"


class WholeGuard(Struct, frozen=True, kw_only=True):
    """A guard that must see everything before it can tell."""

    rule: Rule
    check: Callable[[Inspection], Awaitable[str | None]]
    """Says what is wrong, or `None`."""


Guard = SpanGuard | SizeGuard | WholeGuard


def build_guards(
    rules: Sequence[GuardRule], *, functions: Mapping[str, GuardFunction] | None = None
) -> tuple[Guard, ...]:
    """Build guards from their rules.

    Args:
        rules: What there is to be, in the order of a file.
        functions: The program's own, by the names that rules call them; nothing is ever imported by name.

    Raises:
        InvalidInput: Two have one name, or a word, an expression or a schema is not sound.
        UnknownName: There is no such function.
        MissingExtra: The extra `guards` is not installed, and a rule has expressions.
    """
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"Two guards are named {name!r}: a block must say which it was.")
    return tuple(_BUILDERS[type(rule)](rule, functions or {}) for rule in rules)


def build_error(rule: Rule, side: Side, reason: str) -> BlockedByPolicy:
    """Say that a guard blocked, and which: never the text."""
    return BlockedByPolicy(
        f"The guard {rule.name!r} blocked the {side}: {reason}.", guard=rule.name, side=side, reason=reason
    )


def build_failure(rule: Rule, side: Side, error: str) -> BlockedByPolicy:
    """Say that a guard failed, and so blocked: there is no weaker path behind it."""
    reason = f"the guard failed with {error}"
    return BlockedByPolicy(
        f"The guard {rule.name!r} could not look at the {side} ({error}), so it is blocked: mend the guard.",
        guard=rule.name,
        side=side,
        reason=reason,
        failed=True,
    )


def _build_pii(rule: PiiRule, _: Mapping[str, GuardFunction]) -> Guard:
    return SpanGuard(rule=rule, finder=find_pii(rule.entities), restore=rule.restore)


def _build_secrets(rule: SecretsRule, _: Mapping[str, GuardFunction]) -> Guard:
    return SpanGuard(rule=rule, finder=find_secrets(rule.entities), restore=rule.restore)


def _build_words(rule: WordsRule, _: Mapping[str, GuardFunction]) -> Guard:
    return SpanGuard(rule=rule, finder=WordFinder(rule.words, whole_words=rule.whole_words))


def _build_patterns(rule: PatternsRule, _: Mapping[str, GuardFunction]) -> Guard:
    return SpanGuard(rule=rule, finder=PatternFinder(rule.patterns, ignore_case=rule.ignore_case))


def _build_size(rule: SizeRule, _: Mapping[str, GuardFunction]) -> Guard:
    return SizeGuard(rule=rule, max_chars=rule.max_chars)


def _build_schema(rule: SchemaRule, _: Mapping[str, GuardFunction]) -> Guard:
    schema = AnswerSchema(rule.json_schema)

    async def check(seen: Inspection) -> str | None:
        if seen.reply is None or seen.reply.stop == "tool_calls":  # a step on the way is no answer yet
            return None
        fault = schema.find_fault(seen.reply.message.text)
        return None if fault is None else f"the answer does not fit its schema, as {fault}"

    return WholeGuard(rule=rule, check=check)


def _build_function(rule: FunctionRule, functions: Mapping[str, GuardFunction]) -> Guard:
    function = functions.get(rule.function)
    if function is None:
        raise UnknownName("guard function", rule.function, functions, "Give it to the program that builds the gateway.")
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004

    async def check(seen: Inspection) -> str | None:
        async with asyncio.timeout(rule.timeout_s):
            said = function(seen) if is_async else await asyncio.to_thread(function, seen)
            if inspect.isawaitable(said):
                said = await said
        if said is not None and not isinstance(said, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # anybody's code
            raise TypeError(f"a guard says why, or None; it said {type(said).__name__}")
        return None if said is None else clean_reason(said)

    return WholeGuard(rule=rule, check=check)


def clean_reason(text: str) -> str:
    """Make one short line of what a function said."""
    line = "".join(character if character.isprintable() else " " for character in text[: 2 * LONGEST_REASON])
    return " ".join(line.split())[:LONGEST_REASON].rstrip(".") or "no reason given"


_Builder = Callable[[Rule, Mapping[str, GuardFunction]], Guard]
# Each builder takes its own kind of rule, under which alone it is found.
_BUILDERS = cast(
    "Mapping[type[Rule], _Builder]",
    {
        PiiRule: _build_pii,
        SecretsRule: _build_secrets,
        WordsRule: _build_words,
        PatternsRule: _build_patterns,
        SizeRule: _build_size,
        SchemaRule: _build_schema,
        FunctionRule: _build_function,
    },
)
