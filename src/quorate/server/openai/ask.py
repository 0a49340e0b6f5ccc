"""What is asked in a chat completion, and what of it is meant for a model or an agent here?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import structs

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, Message, Text, ToolCall, ToolResult
from quorate.server.openai.wire import ChatMessage, ChatRequest, Content, FunctionSpec, ResponseFormat, ToolChoice
from quorate.server.parts import build_aside, check_unset, read_body, read_document, read_picture, read_sound, refuse
from quorate.specs import Caller, ModelSettings, OutputSpec, Request, ToolSpec

UNSERVED: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "functions": ((), []),
    "function_call": (),
    "audio": (),
    "modalities": (("text",),),
    "prediction": (),
    "web_search_options": (),
    "moderation": (),
    "store": (False,),
    "verbosity": ("medium",),
    "service_tier": ("auto", "default"),
}
"""What chat completions may ask for and is not served here, with the values that ask for nothing."""
MODELS_OWN = (
    "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "max_tokens", "max_completion_tokens",
    "seed", "stop", "frequency_penalty", "presence_penalty", "reasoning_effort",
)  # fmt: skip
"""What a model is told, and an agent tells its model by itself."""
_decoder = msgspec.json.Decoder(ChatRequest)


def read_chat(body: bytes) -> ChatRequest:
    """Read a chat completion.

    Raises:
        InvalidInput: It is none, or asks for something that is not done here, such as several answers; the field is in
            `context["param"]`.
    """
    asked = read_body(_decoder, body, what="chat completion")
    check_unset(asked, UNSERVED, why="this is not done here; leave it out.")
    return asked


def build_request(asked: ChatRequest, caller: Caller) -> Request:
    """Build what a model is asked.

    Raises:
        InvalidInput: A message does not hold together.
    """
    instructions, messages = read_messages(asked.messages)
    output, extra = _read_form(asked.response_format)
    choice = asked.tool_choice
    stop = (asked.stop,) if isinstance(asked.stop, str) else asked.stop or ()
    cache = asked.prompt_cache_retention
    settings = ModelSettings(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        seed=asked.seed,
        stop=stop,
        reasoning=asked.reasoning_effort,
        tool_choice="auto" if choice is None or isinstance(choice, ToolChoice) else choice,
        tool=choice.function.name if isinstance(choice, ToolChoice) else "",
        parallel_tool_calls=asked.parallel_tool_calls,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        prompt_cache=None if cache is None else "long" if cache == "24h" else "short",
        extra=extra,
    )
    tools = tuple([_build_tool(tool.function) for tool in asked.tools or ()])
    return Request(
        messages=messages, instructions=instructions, tools=tools, output=output, settings=settings, caller=caller
    )


def _read_form(form: ResponseFormat | None) -> tuple[OutputSpec | None, dict[str, object]]:
    if form is None or form.type == "text":
        return None, {}
    if form.type == "json_object":
        return None, {"response_format": {"type": "json_object"}}
    if form.json_schema is None:
        raise refuse("response_format.json_schema", "is missing, which the type `json_schema` needs.")
    return OutputSpec(name=form.json_schema.name, json_schema=form.json_schema.schema), {}


def read_messages(given: Sequence[ChatMessage]) -> tuple[str, tuple[Message, ...]]:
    """Read a conversation: what stands before it as instructions, and its messages.

    Raises:
        InvalidInput: A message does not hold together.
    """
    instructions: list[str] = []
    messages: list[Message] = []
    results: list[AnyPart] = []
    names: dict[str, str] = {}
    for place, message in enumerate(given):
        if message.role == "tool":
            results.append(_read_result(message, place, names))
            continue
        if results:
            messages.append(Message(role="tool", parts=tuple(results)))
            results = []
        if message.role in ("system", "developer"):
            text = _read_text(message, place)
            if messages:
                messages.append(build_aside(text))
            else:
                instructions.append(text)
        elif message.role == "user":
            messages.append(Message(role="user", parts=_read_parts(message, place)))
        else:
            parts = _read_own(message, place, names)
            if parts:
                messages.append(Message(role="assistant", parts=parts))
    if results:
        messages.append(Message(role="tool", parts=tuple(results)))
    if not messages:
        raise InvalidInput("`messages` holds instructions only: add what the user says.", param="messages")
    return "\n\n".join(instructions), tuple(messages)


def _read_result(message: ChatMessage, place: int, names: dict[str, str]) -> ToolResult:
    if not message.tool_call_id:
        raise refuse(f"messages[{place}].tool_call_id", "is missing: say which call the result is of.")
    name = names.get(message.tool_call_id, message.name)
    return ToolResult(call_id=message.tool_call_id, name=name, content=_read_text(message, place))


def _read_own(message: ChatMessage, place: int, names: dict[str, str]) -> tuple[AnyPart, ...]:
    """Read what a model said: its words, then its calls."""
    parts: list[AnyPart] = [*_read_parts(message, place)]
    if message.refusal:
        parts.append(Text(text=message.refusal))
    for one in message.tool_calls or ():
        names[one.id] = one.function.name
        signature = one.extra_content.quorate.signature
        parts.append(ToolCall(id=one.id, name=one.function.name, arguments=one.function.arguments, signature=signature))
    return tuple(parts)


def _read_text(message: ChatMessage, place: int) -> str:
    """Read the words of a message that can hold nothing else."""
    parts = _read_parts(message, place)
    if not all(isinstance(part, Text) for part in parts):
        raise refuse(f"messages[{place}].content", f"may hold text only, as its role is {message.role!r}.")
    return "".join([part.text for part in parts if isinstance(part, Text)])


def _read_parts(message: ChatMessage, place: int) -> tuple[AnyPart, ...]:
    if message.content is None:
        return ()
    if isinstance(message.content, str):
        return (Text(text=message.content),) if message.content else ()
    return tuple([_read_part(part, f"messages[{place}].content[{at}]") for at, part in enumerate(message.content)])


def _read_part(part: Content, where: str) -> AnyPart:
    if part.type == "image_url" and part.image_url is not None:
        return read_picture(part.image_url.url, f"{where}.image_url.url")
    if part.type == "input_audio" and part.input_audio is not None:
        return read_sound(part.input_audio.data, part.input_audio.format, f"{where}.input_audio")
    if part.type == "file" and part.file is not None:
        if part.file.file_id is not None:
            raise refuse(f"{where}.file.file_id", "names a file, and none are kept here: send it as `file_data`.")
        return read_document(part.file.file_data, part.file.filename, f"{where}.file.file_data")
    if part.type in ("text", "refusal"):
        return Text(text=part.text or part.refusal)
    raise refuse(f"{where}.{part.type}", f"is missing, which the type {part.type!r} needs.")


def _build_tool(function: FunctionSpec) -> ToolSpec:
    spec = ToolSpec(name=function.name, description=function.description)
    return spec if function.parameters is None else structs.replace(spec, parameters=function.parameters)
