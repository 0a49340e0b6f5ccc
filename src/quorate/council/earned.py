"""How does a run read what trust its members have earned, the same when it is resumed or replayed?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from msgspec import Meta

from quorate.council.ledger import DEFAULT_RULES, ROOM, TrustLedger
from quorate.council.trust import TrustRules, check_rules, check_topic
from quorate.ports import RunContext
from quorate.tools.define import AnyTool, tool

READ = "read_trust"
"""The tool by which a procedure reads trust: what it gave is in the log."""
ReadWeights = Callable[[RunContext[object], Sequence[str], str], Awaitable[dict[str, float]]]
"""Reads how far some members are trusted in a topic."""


def build_reader(rules: TrustRules = DEFAULT_RULES) -> ReadWeights:
    """Build what reads trust for a run, of the tenant whose run it is.

    Args:
        rules: How it is reckoned.

    Raises:
        InvalidInput: The rules do not hold together.
    """
    check_rules(rules)

    async def read_weights(context: RunContext[object], names: Sequence[str], topic: str) -> dict[str, float]:
        ledger = TrustLedger(context.open_values(ROOM), rules=rules, clock=context.clock)
        return await ledger.read_weights(names, topic)

    return read_weights


def build_trust_tool(read_weights: ReadWeights, *, topic: str = "") -> AnyTool:
    """Build the tool that a procedure reads trust with; give it to the procedure's agent, and call it by `READ`.

    Args:
        read_weights: Reads trust.
        topic: In which topic.

    Raises:
        InvalidInput: The topic is none.
    """
    check_topic(topic)

    @tool(effect="idempotent", name=READ)
    async def read_trust(
        context: RunContext[object], names: Annotated[list[str], Meta(max_length=10_000)]
    ) -> dict[str, float]:
        """Read how far some members are trusted, 0 to 1."""
        return await read_weights(context, names, topic)

    return read_trust
