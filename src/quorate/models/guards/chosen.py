"""Which guards look at one side of a call, in what order, and what do they do about what they find?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from quorate.errors import BlockedByPolicy
from quorate.models.guards.guard import (
    Finding,
    Guard,
    Inspection,
    SizeGuard,
    SpanGuard,
    WholeGuard,
    build_error,
    build_failure,
)
from quorate.models.guards.rules import Rule, Side
from quorate.models.guards.spans import FinderFailed, Found, Scan
from quorate.specs import Request

SLICE = 32_768
"""Characters looked at before others have their turn."""
Action = Literal["blocked", "redacted", "noted", "failed"]


class Chosen:
    """The guards of one side, sorted by what they do."""

    def __init__(self, guards: Sequence[Guard], side: Side) -> None:
        guards = [guard for guard in guards if guard.rule.on in (side, "both")]
        spans = [guard for guard in guards if isinstance(guard, SpanGuard)]
        strict = [guard for guard in spans if guard.rule.mode == "strict"]
        self.side: Side = side
        self.acting = (*strict, *(guard for guard in spans if guard.rule.mode == "moderate"))
        """Those that find places and do something about it, the strict ones first."""
        self.strict = len(strict)
        self.noting = tuple(guard for guard in spans if guard.rule.mode == "lenient")
        self.sizes = tuple(guard for guard in guards if isinstance(guard, SizeGuard))
        self.whole = tuple(guard for guard in guards if isinstance(guard, WholeGuard))
        self.waits = any(guard.rule.mode == "strict" for guard in self.whole)
        """Whether nothing may be given out before everything was seen."""
        self.redacting = self.acting[len(strict) :]
        """Those that redact."""
        self._finders = tuple(guard.finder for guard in self.acting)

    def __bool__(self) -> bool:
        return bool(self.acting or self.noting or self.sizes or self.whole)

    def begin(self, *, json: bool = False, blocks: bool = True) -> Scan:
        """Begin to look at a text that arrives in pieces, with the guards that act, or only with those that redact."""
        if blocks:
            return Scan(self._finders, strict=self.strict, json=json)
        return Scan(self._finders[self.strict :], json=json)

    async def note(self, text: str, record: Record) -> None:
        """Look at a whole text with the guards that only take note.

        Raises:
            BlockedByPolicy: One of them failed.
        """
        for guard in self.noting:
            try:
                pieces = await look(Scan((guard.finder,)), text)
            except FinderFailed as error:
                raise record.fail(guard.rule, self.side, error.error) from None
            for piece in pieces:
                if isinstance(piece, Found):
                    record.count(guard.rule, self.side, describe(piece.label), "noted")


class Record:
    """What the guards of one call found: told to whoever listens, and noted in the reply."""

    def __init__(self, request: Request, report: Callable[[Finding], None] | None) -> None:
        self.request = request
        self._report = report
        self._counts: Counter[tuple[str, str, Side, Action]] = Counter()
        self._rules: dict[str, Rule] = {}

    def count(self, rule: Rule, side: Side, reason: str, action: Action) -> None:
        """Take note of something that is let pass, or redacted."""
        self._rules[rule.name] = rule
        self._counts[rule.name, reason, side, action] += 1

    def block(self, rule: Rule, side: Side, reason: str) -> BlockedByPolicy:
        """Tell that a guard blocks, and build the error."""
        self._tell(rule, side, reason, "blocked", 1)
        return build_error(rule, side, reason)

    def fail(self, rule: Rule, side: Side, error: str) -> BlockedByPolicy:
        """Tell that a guard failed, and build the error."""
        self._tell(rule, side, error, "failed", 1)
        return build_failure(rule, side, error)

    def fail_finder(self, guards: Sequence[SpanGuard], side: Side, error: FinderFailed) -> BlockedByPolicy:
        """Tell that a finder failed, and build the error."""
        return self.fail(guards[error.owner].rule, side, error.error)

    def finish(self) -> tuple[str, ...]:
        """Tell what was noted, and return it for the reply: `rule: reason`."""
        notes: list[str] = []
        for (name, reason, side, action), count in self._counts.items():
            self._tell(self._rules[name], side, reason, action, count)
            times = f"{count} × " if count > 1 else ""
            notes.append(f"{name}: {times}{reason} in the {side}, {'let pass' if action == 'noted' else action}")
        self._counts.clear()
        return tuple(notes)

    def _tell(self, rule: Rule, side: Side, reason: str, action: Action, count: int) -> None:
        if self._report is not None:
            self._report(
                Finding(
                    guard=rule.name,
                    side=side,
                    mode=rule.mode,
                    action=action,
                    reason=reason,
                    count=count,
                    caller=self.request.caller,
                    key=self.request.key,
                )
            )


async def look(scan: Scan, text: str) -> list[str | Found]:
    """Look at a whole text; others have their turn in between where it is long.

    Raises:
        FinderFailed: A finder raised something.
    """
    pieces: list[str | Found] = []
    begin = 0
    while len(text) - begin > SLICE:
        pieces += scan.feed(text[begin : begin + SLICE])
        begin += SLICE
        await asyncio.sleep(0)
    return pieces + scan.finish(text[begin:])


def describe(label: str) -> str:
    """What was found, in words: `PRIVATE_KEY` is a `private key`."""
    return label.lower().replace("_", " ")


async def check_whole(chosen: Chosen, seen: Inspection, record: Record) -> None:
    """Let the guards that must see everything look at it.

    Raises:
        BlockedByPolicy: A strict one found something, or any of them failed.
    """
    for guard in chosen.sizes:
        if len(seen.text) > guard.max_chars:
            settle(guard.rule, chosen.side, guard.reason, record)
    for guard in chosen.whole:
        try:
            reason = await guard.check(seen)
        except Exception as error:  # a guard that fails blocks, whatever it raised
            # What it raised may repeat the text, so it is named and not shown.
            raise record.fail(guard.rule, chosen.side, type(error).__name__) from None
        if reason is not None:
            settle(guard.rule, chosen.side, reason, record)


def settle(rule: Rule, side: Side, reason: str, record: Record) -> None:
    """Block, or take note of what cannot be redacted.

    Raises:
        BlockedByPolicy: The guard is strict.
    """
    if rule.mode == "strict":
        raise record.block(rule, side, reason)
    record.count(rule, side, reason, "noted")
