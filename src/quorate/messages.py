"""What do people, models and tools say to each other, and what did it use up?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct


class Part(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True, gc=False):
    """One piece of a message; the `type` field on the wire says which."""


class Text(Part, frozen=True, tag="text", gc=False):
    """Words."""

    text: str
    signature: str | None = None
    """What some providers want back with these very words."""


class Image(Part, frozen=True, tag="image", gc=False):
    """A picture: bytes, or a URL that the provider fetches."""

    media_type: str = "image/png"
    data: bytes | None = None
    url: str | None = None


class Audio(Part, frozen=True, tag="audio", gc=False):
    """Sound, as bytes or a URL."""

    media_type: str = "audio/wav"
    data: bytes | None = None
    url: str | None = None


class File(Part, frozen=True, tag="file", gc=False):
    """A document, as bytes or a URL."""

    media_type: str
    name: str = ""
    data: bytes | None = None
    url: str | None = None


class Thinking(Part, frozen=True, tag="thinking", gc=False):
    """A model's reasoning, with the signature that some providers want back unchanged."""

    text: str
    signature: str | None = None
    """Opaque; given back unchanged, and to the provider that gave it alone."""
    id: str = ""
    """The provider's own id for it, where there is one."""
    provider: str = ""
    """Whose it is, as OpenTelemetry spells it: others are not shown it."""
    redacted: bool = False
    """Whether the provider keeps the words to itself; only the signature is there then."""


class ToolCall(Part, frozen=True, tag="tool_call", gc=False):
    """A model's wish to call a tool."""

    id: str
    """The provider's own id for the call; it is part of the step's key in the log."""
    name: str
    arguments: str = "{}"
    """The arguments as the model wrote them: JSON text, perhaps malformed; the tool decodes and checks it once."""
    signature: str | None = None
    """What some providers want back with this very call."""


class ToolResult(Part, frozen=True, tag="tool_result", gc=False):
    """What a call gave, for the model to read."""

    call_id: str
    name: str
    content: str | tuple[Text | Image | Audio | File, ...] = ""
    """Text (JSON where the tool returns data), or parts where it returns pictures, sound or files."""
    is_error: bool = False
    """Whether the call failed in a way the model may mend."""
    code: str = ""
    """The error's code, where it failed."""


AnyPart = Text | Image | Audio | File | Thinking | ToolCall | ToolResult


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One turn of a conversation."""

    role: Literal["user", "assistant", "tool"]
    parts: tuple[AnyPart, ...]

    @property
    def text(self) -> str:
        """The message's words alone, joined; empty when it has none."""
        return "".join([part.text for part in self.parts if type(part) is Text])

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls this message asks for, in order."""
        return tuple([part for part in self.parts if type(part) is ToolCall])


def build_user_message(content: str | Message | tuple[AnyPart, ...]) -> Message:
    """Build the message a person sends, from plain text, parts, or a message as it is."""
    if isinstance(content, str):
        return Message(role="user", parts=(Text(text=content),))
    return content if isinstance(content, Message) else Message(role="user", parts=content)


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Tokens and calls used up; sums with `+`."""

    input_tokens: int = 0
    """All tokens read, cached ones included."""
    output_tokens: int = 0
    """All tokens written, reasoning included."""
    cached_tokens: int = 0
    """Of the input, those the provider read from its cache."""
    cache_write_tokens: int = 0
    """Of the input, those the provider wrote to its cache."""
    cache_write_long_tokens: int = 0
    """Of those written to the cache, the ones kept for an hour or more."""
    reasoning_tokens: int = 0
    """Of the output, those that were reasoning."""
    requests: int = 0
    """Model calls made."""
    tool_calls: int = 0
    """Tool calls made."""

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cache_write_long_tokens=self.cache_write_long_tokens + other.cache_write_long_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            requests=self.requests + other.requests,
            tool_calls=self.tool_calls + other.tool_calls,
        )


BUDGET_NOTE = "budget: "
"""How a reply's note begins that says why the budget gave it fewer tokens."""


class Route(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Which model was chosen for a call, and why."""

    model: str
    """The one that answered, named in full."""
    asked: str = ""
    """What was asked for: a model, an alias or a capability."""
    reason: str = ""
    tried: tuple[str, ...] = ()
    """Those that failed first, each with the error's code: `openai:gpt-5.2 upstream_error`."""


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a model answered."""

    message: Message
    usage: Usage = Usage(requests=1)
    model: str = ""
    """The model that answered, in the provider's words."""
    stop: Literal["end", "tool_calls", "length", "filtered"] = "end"
    """Why it stopped. `length` and `filtered` mean that the answer is not whole."""
    cost_usd: float | None = 0.0
    """What the call cost in US dollars; `None` when no price is known."""
    id: str = ""
    """The provider's id for the reply."""
    request_id: str = ""
    """The provider's id for the call, to quote when asking them about it."""
    estimated: bool = False
    """Whether the usage is our own estimate, as the provider gave none."""
    cached: bool = False
    """Whether it comes from our own cache; its usage and cost are then nothing."""
    route: Route | None = None
    """Which model was chosen and why, where there was a choice."""
    notes: tuple[str, ...] = ()
    """What guards noticed and let pass: `rule: reason`."""
    attempts: int = 1
    """Upstream calls it took."""


class Embeddings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Texts as vectors, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...]
    """One row for each text, all of the same length."""
    usage: Usage = Usage(requests=1)
    model: str = ""
    cost_usd: float | None = 0.0
    """What the call cost in US dollars; `None` when no price is known."""


class TextDelta(Struct, frozen=True, tag_field="kind", tag="text.delta", omit_defaults=True, gc=False):
    """A few more words of a reply under way."""

    text: str
    path: str = ""
    """The key path of the agent that speaks: empty for the run's own agent."""


class ThinkingDelta(Struct, frozen=True, tag_field="kind", tag="thinking.delta", omit_defaults=True, gc=False):
    """A little more of a model's reasoning."""

    text: str
    path: str = ""


class ToolCallDelta(Struct, frozen=True, tag_field="kind", tag="tool_call.delta", omit_defaults=True, gc=False):
    """A little more of a tool call's arguments."""

    call_id: str
    name: str
    arguments: str
    path: str = ""


class Progress(Struct, frozen=True, tag_field="kind", tag="progress", omit_defaults=True, gc=False):
    """Something a tool says while it works; streamed, not stored."""

    message: str
    fraction: float | None = None
    """How far it has come, 0 to 1, where that is known."""
    path: str = ""
    """The key of the call that reports."""


class ReplyDone(Struct, frozen=True, tag_field="kind", tag="reply.done", omit_defaults=True, gc=False):
    """The end of a model's stream: the whole reply. A stream without it was cut."""

    reply: Reply


Delta = TextDelta | ThinkingDelta | ToolCallDelta | Progress
"""What is streamed to whoever watches, best effort; the message in the log is the truth."""

StreamItem = TextDelta | ThinkingDelta | ToolCallDelta | ReplyDone
"""What a model's stream gives."""


def build_keys(turn: str, calls: Sequence[ToolCall]) -> list[str]:
    """Give each call of a turn its key: what it is, by the provider's id, told apart where a provider repeats one."""
    seen: set[str] = set()
    keys: list[str] = []
    for call in calls:
        # A `/` would make the id a path, such as a delegate's.
        name = bare = call.id.replace("/", "|") or "-"
        times = 1
        while name in seen:
            times += 1
            name = f"{bare}#{times}"
        seen.add(name)
        keys.append(f"{turn}/tool/{name}")
    return keys
