"""What does the model `scripted` say in a case, so that it can be gone through without any other model?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.catalog.evaluation.case import Case, Line, ScriptedCall
from quorate.errors import UpstreamError
from quorate.messages import ToolCall
from quorate.models.scripted import ScriptedModel, call
from quorate.specs import ModelProfile, Request

NAME = "scripted"
"""What the model is called."""


def build_scripted_model(cases: Sequence[Case]) -> ScriptedModel:
    """Build a model that says what the scripts of some cases say: which one, is told by who asks and by the request.

    It keeps no state between answers, so that cases run side by side, again, and are gone on with after a crash.
    What no script is for is refused.
    """
    own = {(case.agent, case.request): case.script for case in cases if case.script}
    others = sorted(
        ((agent, case.request, lines) for case in cases for agent, lines in case.scripts.items()),
        key=lambda one: -len(one[1]),  # the longest first: a request may be part of another one
    )

    def find(agent: str, asked: str) -> Sequence[Line]:
        """Find the script of who was asked this very thing, or of a voter or delegate, whose task holds the request."""
        found = own.get((agent, asked)) or own.get(("", asked))
        if found is None:
            lines = [lines for name, request, lines in others if name == agent and request in asked]
            lines += [lines for name, _, lines in others if name == agent] if len(cases) == 1 else []
            found = lines[0] if lines else ()
        return found

    def say(request: Request) -> str | ToolCall:
        asked = next((message.text for message in request.messages if message.role == "user"), "")
        lines = find(request.caller.agent, asked)
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn >= len(lines):
            what = f"has {len(lines)} turns" if lines else "is not there"
            raise UpstreamError(
                f"The script of agent {request.caller.agent!r} for this case {what}, and the model was asked "
                f"{turn + 1} times: add a turn to `script`, or to `scripts.{request.caller.agent}`."
            )
        line = lines[turn]
        return call(line.tool, **line.arguments) if isinstance(line, ScriptedCall) else line

    return ScriptedModel(say, name=NAME, profile=ModelProfile(name=NAME, provider=NAME, native_output=True))
