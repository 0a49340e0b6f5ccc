"""How is a certain person asked for a ballot, or for a ruling?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from quorate.errors import Forbidden, InvalidInput, Waiting
from quorate.events import InputGiven
from quorate.messages import ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import ToolSpec
from quorate.tools.define import fail
from quorate.tools.waits import check_question

ASK = "ask_voter"
_PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {
        "principal": {"type": "string"},
        "question": {"type": "string"},
        "choices": {"type": "array", "items": {"type": "string"}},
        "until": {"type": ["number", "null"]},
        "expires_s": {"type": ["number", "null"]},
    },
    "required": ["question"],
    "additionalProperties": False,
}


class _Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    question: str
    principal: str = ""
    """Who alone may answer; whoever may answer at all when empty."""
    choices: tuple[str, ...] = ()
    until: float | None = None
    expires_s: float | None = None


class AskVoter:
    """A toolset of one tool by which a council asks a person; the run rests until the answer is there."""

    def specs(self) -> Sequence[ToolSpec]:
        """List the one tool there is."""
        return (ToolSpec(name=ASK, description="Ask a person.", parameters=_PARAMETERS, effect="idempotent"),)

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Return the answer: one of the choices, or a ballot as JSON where there are none.

        Raises:
            Waiting: Nobody has answered yet.
        """
        try:
            asked = msgspec.json.decode(call.arguments, type=_Asked)
            check_question(asked.question, asked.choices)
        except (msgspec.DecodeError, ValueError) as error:
            return fail(call, f"the arguments are not valid: {error}")
        except InvalidInput as error:
            return fail(call, error.message)
        given = context.owner.find(f"{context.key}/input")
        if isinstance(given, InputGiven):
            if asked.principal and given.by != asked.principal:
                told = f"{given.by!r:.80} answered for {asked.principal!r:.80}, which does not count"
                return fail(call, told, Forbidden.code)
            return ToolResult(call_id=call.id, name=call.name, content=given.text)
        ends = [asked.until] if asked.until is not None else []
        if asked.expires_s is not None:
            ends.append(context.clock.now() + asked.expires_s)
        raise Waiting(
            f"The council waits for {asked.principal or 'somebody'}.",
            slot="input",
            question=asked.question,
            choices=asked.choices,
            expires=min(ends, default=None),
            of=asked.principal,
        )
