"""What does the test server answer, and what was it asked?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from quorate.messages import ToolCall, Usage

Json = dict[str, object]


class Answer(Struct, frozen=True, kw_only=True):
    """One answer of the script, whole, slow, cut or refused."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    thinking: str = ""
    refusal: str = ""
    stop: Literal["", "length", "filtered"] = ""
    """Why it stopped before its end, in our words; each format has its own."""
    finish: str | None = ""
    """The reason given for stopping, in the format's words; worked out when empty, left out when `None`."""
    usage: Usage | None = Usage(input_tokens=12, output_tokens=7)
    status: int = 200
    """Anything but a success is answered as an error."""
    code: str = "server_error"
    """The error's word, with a `status` that is no success."""
    headers: Mapping[str, str] = {}
    delay_s: float = 0.0
    """Before anything is sent."""
    pause_s: float = 0.0
    """Before each piece of a stream but the first."""
    piece: int = 8
    """Characters in a piece of a stream."""
    cut_at: int | None = None
    """How many bytes of the body are sent before it ends."""
    cut: Literal["end", "abort"] = "end"
    """Whether a cut body ends as if it were whole, or its connection breaks."""
    raw: bytes | None = None
    """Sent as the body, instead of everything above."""
    content_type: str = ""
    """Said to be sent, instead of what is."""
    drip: int | None = None
    """How many bytes are written at a time, `pause_s` apart; without it, a frame of the stream."""
    repeat: int | None = None
    """Which frame of a stream is sent twice."""
    drop: int | None = None
    """Which frame of a stream is left out."""
    garble: int | None = None
    """Which frame of a stream is spoilt; of a body in one piece, its second half is."""
    fail_at: int | None = None
    """In whose place, of a stream's frames, the provider says that it failed (with `code`), and says no more."""
    vectors: tuple[tuple[float, ...], ...] = ()
    """What is answered to a request for vectors; worked out from the texts when there are none."""
    models: tuple[str, ...] = ("test-model",)
    """What is answered when the models are listed."""
    signature: str | None = None
    """What goes with `thinking`, for formats that sign it."""


class Sent(Struct, frozen=True, kw_only=True):
    """A request the server received."""

    path: str
    headers: Mapping[str, str]
    """Their names in lower case."""
    body: Json

    query: str = ""
    method: str = "POST"
    is_stream: bool = False
    """Whether a stream was asked for."""


Scripted = str | ToolCall | Answer | Sequence[ToolCall]
Script = Sequence[Scripted] | Callable[[Sent], Scripted]


def build_answer(scripted: Scripted) -> Answer:
    """Build an answer from its short forms."""
    if isinstance(scripted, Answer):
        return scripted
    if isinstance(scripted, str):
        return Answer(text=scripted)
    return Answer(calls=(scripted,) if isinstance(scripted, ToolCall) else tuple(scripted))


def split(text: str, size: int) -> Iterator[str]:
    """Split a text into pieces of a stream."""
    return (text[start : start + size] for start in range(0, len(text), size))


def spoil(frame: bytes) -> bytes:
    """Spoil the second half of a frame, all but what ends it."""
    half = len(frame) // 2
    return frame[:half] + b"\xff" * (len(frame) - half - 2) + frame[-2:]


def choose_vectors(answer: Answer, texts: Sequence[str]) -> Sequence[Sequence[float]]:
    """Choose what is answered to a request for vectors: what the script says, or the same for the same text."""
    if answer.vectors:
        return answer.vectors
    return [(float(len(text)), float(sum(text.encode()) % 251), 0.5) for text in texts]
