"""How does a playbook answer as a model does?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from quorate.codec.json import encode_text
from quorate.errors import InvalidInput
from quorate.messages import AnyPart, Message, Reply, ReplyDone, StreamItem, Text, TextDelta, ToolCallDelta, Usage
from quorate.models.playbook.define import Playbook
from quorate.models.playbook.judge import judge, refuse
from quorate.models.playbook.plan import State, advance, begin, read_request
from quorate.models.playbook.report import Diagnosis, render_markdown
from quorate.models.playbook.scope import Expressions
from quorate.specs import ModelProfile, Request

PIECE = 120
"""Characters of a streamed piece, about."""


class PlaybookModel:
    """A model that follows a playbook: it calls the tools the playbook names and states what they measured.

    You would use it where there is no LLM, or where the same question must always get the same treatment. It keeps
    nothing between calls: what it does next follows from the messages alone, so a run can be resumed and replayed.
    """

    def __init__(self, playbook: Playbook, *, name: str = "playbook") -> None:
        self.playbook = playbook
        self._profile = ModelProfile(name=name, provider="quorate")
        self._expressions = Expressions()

    @property
    def profile(self) -> ModelProfile:
        """What it can do."""
        return self._profile

    async def complete(self, request: Request) -> Reply:
        """Make the next calls, or give the diagnosis: JSON where a schema is asked for, else Markdown.

        Raises:
            InvalidInput: Another schema than that of a diagnosis is asked for, or an expression is not CEL.
            MissingExtra: The extra `cel` is not installed.
        """
        if request.output is not None and request.output.name != Diagnosis.__name__:
            raise InvalidInput(
                f"A playbook answers with a `Diagnosis`, not with a {request.output.name!r}: "
                "set the agent's output to `Diagnosis` or to text, or choose another model."
            )
        await self._expressions.open()
        text, answers = read_request(request.messages)
        state, applies = begin(self.playbook, self._expressions, text)
        if not applies:
            return self._answer(refuse(self.playbook, state), request)
        offered = {tool.name for tool in request.tools}
        state = advance(self.playbook, self._expressions, state, answers=answers, offered=offered)
        if state.pending:
            return self._call(state)
        return self._answer(judge(self.playbook, self._expressions, state), request)

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Give the same, piece by piece."""
        reply = await self.complete(request)
        for call in reply.message.tool_calls:
            yield ToolCallDelta(call.id, call.name, call.arguments)
        for piece in _cut(reply.message.text):
            yield TextDelta(piece)
        yield ReplyDone(reply)

    def _call(self, state: State) -> Reply:
        about = {step.id: step.about for step in self.playbook.steps}
        doing = dict.fromkeys(about.get(call.id.split("-", 1)[0], "") for call in state.pending)
        words = ", ".join(word for word in doing if word)
        parts: list[AnyPart] = [Text(text=f"Measuring: {words}.")] if words else []
        message = Message(role="assistant", parts=(*parts, *state.pending))
        return Reply(message=message, usage=Usage(requests=1), model=self._profile.name, stop="tool_calls")

    def _answer(self, diagnosis: Diagnosis, request: Request) -> Reply:
        text = encode_text(diagnosis) if request.output is not None else render_markdown(diagnosis)
        message = Message(role="assistant", parts=(Text(text=text),))
        return Reply(message=message, usage=Usage(requests=1), model=self._profile.name)


def _cut(text: str) -> list[str]:
    """Cut a text at spaces into pieces that are shown one after the other."""
    pieces: list[str] = []
    while len(text) > PIECE:
        place = text.rfind(" ", 1, PIECE) + 1 or PIECE
        pieces.append(text[:place])
        text = text[place:]
    return [*pieces, text] if text else pieces
