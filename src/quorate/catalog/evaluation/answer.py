"""What came of a case, as graders and conditions read it?"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput

NAMES = (
    "agent", "calls", "cost_usd", "decision", "output", "request", "route", "seconds", "status", "text", "tokens",
)  # fmt: skip
"""What conditions may read."""
MOST_READ = 200_000
"""Characters of an answer that graders read."""


class Verdict(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a decision came to."""

    status: str
    winner: str | None = None
    why: str = ""


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run gave, and what it took."""

    agent: str
    """Who answered."""
    status: str = "completed"
    """How the run stands: only what is `completed` is an answer."""
    reason: str = ""
    """Why it is not completed."""
    text: str = ""
    value: object = None
    """The answer as plain data, where it is more than text."""
    calls: tuple[str, ...] = ()
    """The tools that were called, in order."""
    tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    route: tuple[str, ...] = ()
    """The agents that the request would go to, best first; none where it was refused."""
    decision: Verdict | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the work was done."""
        return self.status == "completed"


def read_value(answer: Answer) -> object:
    """Return the answer as plain data: what it is, what its JSON holds, or its text."""
    if answer.value is not None and not isinstance(answer.value, str):
        return answer.value
    text = strip_fence(answer.text)
    if text[:1] not in "{[" or len(text) > MOST_READ:
        return answer.text
    try:
        check_depth(text, what="the answer")
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, InvalidInput, UnicodeError):
        return answer.text


def build_variables(answer: Answer, request: str) -> dict[str, object]:
    """Build what conditions read of an answer, and of what was asked."""
    decision = answer.decision
    return {
        "agent": answer.agent,
        "calls": list(answer.calls),
        "cost_usd": answer.cost_usd or 0.0,
        "decision": {} if decision is None else {"status": decision.status, "winner": decision.winner or ""},
        "output": read_value(answer),
        "request": request,
        "route": list(answer.route),
        "seconds": answer.seconds,
        "status": answer.status,
        "text": answer.text[:MOST_READ],
        "tokens": answer.tokens,
    }


def strip_fence(text: str) -> str:
    """Return a text without the fence that models put around JSON."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        bare = bare[bare.index("\n") + 1 : -3]
    return bare.strip()
