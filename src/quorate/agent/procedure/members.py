"""How does a procedure ask an agent that is named only when it runs?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.delegate import AgentTask
from quorate.agent.procedure.work import MEMBER
from quorate.codec.json import encode_text
from quorate.errors import QuorateError
from quorate.messages import ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import Limits, ToolSpec
from quorate.tools.define import fail

_PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"agent": {"type": "string"}, "task": {"type": "string"}},
    "required": ["agent", "task"],
    "additionalProperties": False,
}


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    agent: str
    task: str


class AnyMember:
    """A toolset of one tool that asks whichever agent is named; what that does is recorded below the call.

    Args:
        find_agent: Finds an agent by its name.
        timeout_s: How long one may take.
    """

    def __init__(self, find_agent: Callable[[str], AnyAgent], *, timeout_s: float = Limits().seconds) -> None:
        self._find_agent = find_agent
        self._spec = ToolSpec(
            name=MEMBER,
            description="Ask an agent by its name.",
            parameters=_PARAMETERS,
            effect="idempotent",
            timeout_s=timeout_s,
        )

    def specs(self) -> Sequence[ToolSpec]:
        """List the one tool there is."""
        return (self._spec,)

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Let the agent do the task, and return its answer or why there is none.

        Raises:
            Waiting: Somebody must answer first.
        """
        try:
            asked = msgspec.json.decode(call.arguments, type=_Asked)
            member = self._find_agent(asked.agent)
        except (msgspec.DecodeError, ValueError) as error:
            return fail(call, f"the arguments are not valid: {error}")
        except QuorateError as error:  # an agent that is gone is this step's fault, and nobody else's
            return fail(call, error.message, error.code)
        given = ToolCall(id=call.id, name=call.name, arguments=encode_text(AgentTask(asked.task)))
        return await member.as_tool().call(given, context)
