"""What is asked where a response is wanted, and what of it is meant for a model or an agent here?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from quorate.server.openai.responses.wire import Content, FunctionTool, Item, NamedFunction, ResponsesRequest
from quorate.server.parts import build_aside, check_unset, read_body, read_document, read_picture, refuse, unseal
from quorate.specs import Caller, ModelSettings, OutputSpec, Request, ToolSpec

UNSERVED: dict[str, tuple[object, ...]] = {
    "truncation": ("disabled",),
    "top_logprobs": (0,),
    "max_tool_calls": (),
    "service_tier": ("auto", "default"),
    "conversation": (),
    "prompt": (),
    "context_management": ([],),
    "moderation": (),
    "access_programs": (),
    "background_options": (),
    "image": (),
}
"""What may be asked for and is not served here, with the values that ask for nothing."""
MODELS_OWN = (
    "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "presence_penalty", "frequency_penalty",
    "max_output_tokens", "reasoning", "prompt_cache_retention",
)  # fmt: skip
"""What a model is told, and an agent tells its model by itself."""
LOGPROBS = "message.output_text.logprobs"
_decoder = msgspec.json.Decoder(ResponsesRequest)


def read_asked(body: bytes) -> ResponsesRequest:
    """Read what is asked.

    Raises:
        InvalidInput: It is no request for a response, or asks for what is not done here; the field is in
            `context["param"]`.
    """
    asked = read_body(_decoder, body, what="request for a response")
    check_unset(asked, UNSERVED, why="this is not done here; leave it out.")
    if LOGPROBS in (asked.include or ()):
        raise refuse("include", f"asks for {LOGPROBS!r}, which is not done here.")
    return asked


def build_request(
    asked: ResponsesRequest,
    *,
    before: Sequence[Message],
    instructions: str,
    messages: Sequence[Message],
    caller: Caller,
) -> Request:
    """Build what a model is asked.

    Args:
        asked: What somebody wants.
        before: The conversation that it goes on with.
        instructions: What the model is told it is.
        messages: What is new.
        caller: For whom.

    Raises:
        InvalidInput: The form of the answer does not hold together.
    """
    output, extra = _read_form(asked)
    choice, cache = asked.tool_choice, asked.prompt_cache_retention
    settings = ModelSettings(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_output_tokens,
        reasoning=asked.reasoning.effort if asked.reasoning is not None else None,
        tool_choice="auto" if choice is None or isinstance(choice, NamedFunction) else choice,
        tool=choice.name if isinstance(choice, NamedFunction) else "",
        parallel_tool_calls=asked.parallel_tool_calls,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        prompt_cache=None if cache is None else "long" if cache == "24h" else "short",
        extra=extra,
    )
    return Request(
        messages=(*before, *messages),
        instructions=instructions,
        tools=tuple([_build_tool(tool) for tool in asked.tools or ()]),
        output=output,
        settings=settings,
        caller=caller,
    )


def read_conversation(asked: ResponsesRequest) -> tuple[str, tuple[Message, ...]]:
    """Read what is new: what stands before it as instructions, and its messages.

    Raises:
        InvalidInput: An item does not hold together, or is of a type that is not known here.
    """
    instructions = [asked.instructions] if asked.instructions else []
    if isinstance(asked.input, str):
        if not asked.input:
            raise refuse("input", "is empty: say something.")
        return "\n\n".join(instructions), (Message(role="user", parts=(Text(asked.input),)),)
    reader = _Reader(instructions)
    for place, item in enumerate(asked.input):
        reader.take(item, f"input[{place}]")
    messages = reader.finish()
    if not messages:
        raise InvalidInput("`input` holds instructions only: add what the user says.", param="input")
    return "\n\n".join(reader.instructions), messages


class _Reader:
    """Puts items together to messages: what one side said in a row is one."""

    def __init__(self, instructions: list[str]) -> None:
        self.instructions = instructions
        self._messages: list[Message] = []
        self._own: list[AnyPart] = []
        self._results: list[AnyPart] = []
        self._names: dict[str, str] = {}

    def take(self, item: Item, where: str) -> None:
        """Take an item."""
        kind = item.type or ("message" if item.role is not None else "")
        if kind == "function_call_output":
            self._end_own()
            self._results.append(self._read_result(item, where))
        elif kind == "message":
            self._take_message(item, where)
        elif kind in ("function_call", "reasoning"):
            self._end_results()
            part = _read_reasoning(item) if kind == "reasoning" else self._read_call(item, where)
            if part is not None:
                self._own.append(part)
        else:
            raise refuse(
                f"{where}.type", f"is {kind[:80]!r}, which is not known here: send messages, calls and results."
            )

    def finish(self) -> tuple[Message, ...]:
        """Return the messages."""
        self._end_own()
        self._end_results()
        return tuple(self._messages)

    def _take_message(self, item: Item, where: str) -> None:
        self._end_results()
        if item.role == "assistant":
            self._own += _read_contents(item.content, f"{where}.content")
            return
        self._end_own()
        parts = _read_contents(item.content, f"{where}.content")
        if item.role == "user":
            self._messages.append(Message(role="user", parts=tuple(parts)))
            return
        if not all(isinstance(part, Text) for part in parts):
            raise refuse(f"{where}.content", f"may hold text only, as its role is {item.role!r}.")
        text = "".join([part.text for part in parts if isinstance(part, Text)])
        if self._messages:
            self._messages.append(build_aside(text))
        else:
            self.instructions.append(text)

    def _read_call(self, item: Item, where: str) -> ToolCall:
        if not item.call_id or not item.name:
            raise refuse(f"{where}.{'name' if item.call_id else 'call_id'}", "is missing, which a call needs.")
        self._names[item.call_id] = item.name
        return ToolCall(id=item.call_id, name=item.name, arguments=item.arguments or "{}")

    def _read_result(self, item: Item, where: str) -> ToolResult:
        if not item.call_id:
            raise refuse(f"{where}.call_id", "is missing: say which call the output is of.")
        name, output = self._names.get(item.call_id, item.name or ""), item.output
        if output is None or isinstance(output, str):
            return ToolResult(call_id=item.call_id, name=name, content=output or "")
        parts = _read_contents(output, f"{where}.output")
        shown = tuple([part for part in parts if isinstance(part, (Text, Image, File))])
        return ToolResult(call_id=item.call_id, name=name, content=shown)

    def _end_own(self) -> None:
        if self._own:
            # Reasoning comes when it is whole, which may be behind the call that it led to: models want it before.
            thoughts = [part for part in self._own if isinstance(part, Thinking)]
            others = [part for part in self._own if not isinstance(part, Thinking)]
            self._messages.append(Message(role="assistant", parts=(*thoughts, *others)))
            self._own = []

    def _end_results(self) -> None:
        if self._results:
            self._messages.append(Message(role="tool", parts=tuple(self._results)))
            self._results = []


def _read_reasoning(item: Item) -> Thinking | None:
    """Read reasoning that comes back; what was not given out here is left out, as no provider would take it."""
    return unseal(item.encrypted_content or "", text="\n\n".join([one.text for one in item.summary]))


def _read_contents(given: str | tuple[Content, ...] | None, where: str) -> list[AnyPart]:
    if given is None or given == "":
        return []
    if isinstance(given, str):
        return [Text(given)]
    return [_read_content(one, f"{where}[{place}]") for place, one in enumerate(given)]


def _read_content(one: Content, where: str) -> AnyPart:
    if one.type in ("input_text", "output_text", "text"):
        return Text(one.text)
    if one.type == "refusal":
        return Text(one.refusal)
    if one.file_id is not None:
        raise refuse(f"{where}.file_id", "names a file, and none are kept here: send its bytes.")
    if one.type == "input_image" and one.image_url is not None:
        if one.detail not in (None, "auto"):
            raise refuse(f"{where}.detail", f"is {one.detail!r}: this is not done here; leave it out.")
        return read_picture(one.image_url, f"{where}.image_url")
    if one.type == "input_file" and one.file_data is not None:
        return read_document(one.file_data, one.filename or "", f"{where}.file_data")
    if one.type == "input_file" and one.file_url is not None:
        if not one.file_url.startswith("https://"):
            raise refuse(f"{where}.file_url", "is not an `https://` address.")
        return File(media_type="application/pdf", name=one.filename or "", url=one.file_url)
    raise refuse(f"{where}.type", f"is {one.type[:80]!r}, which is not known here, or holds nothing.")


def _read_form(asked: ResponsesRequest) -> tuple[OutputSpec | None, dict[str, object]]:
    form = asked.text.format if asked.text is not None else None
    if form is None or form.type == "text":
        return None, {}
    if form.type == "json_object":
        return None, {"response_format": {"type": "json_object"}}
    if form.schema is None:
        raise refuse("text.format.schema", "is missing, which the type `json_schema` needs.")
    return OutputSpec(name=form.name, json_schema=form.schema), {}


def _build_tool(tool: FunctionTool) -> ToolSpec:
    spec = ToolSpec(name=tool.name, description=tool.description or "")
    return spec if tool.parameters is None else msgspec.structs.replace(spec, parameters=tool.parameters)
