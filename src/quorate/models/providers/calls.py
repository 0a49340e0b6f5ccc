"""What may a tool call in a reply be like, whoever made it?"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import msgspec

from quorate.errors import UpstreamError
from quorate.messages import ToolCall
from quorate.specs import ToolSpec

MAX_CALLS = 128
MAX_NAME = 256
MAX_WRITTEN_NAME = 64
_UNFIT_NAME = re.compile(r"[^A-Za-z0-9_-]")
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def build_call(id_: str, name: str, arguments: str, *, place: int, signature: str | None = None) -> ToolCall:
    """Build a tool call, with an id of our own where the provider gave none.

    Raises:
        UpstreamError: It names no tool.
    """
    if not name or len(name) > MAX_NAME or len(id_) > MAX_NAME:
        raise UpstreamError("The model's reply is garbled: a tool call has no usable name.", retryable=True)
    arguments = arguments if arguments.strip() else "{}"
    return ToolCall(id=id_ or f"call-{place}", name=name, arguments=arguments, signature=signature)


class CallIds:
    """Writes the ids of a conversation's calls and of their results, so that no two calls have the same one.

    A provider that gives no ids, or counts them anew in each reply, repeats them; another one that the conversation
    goes on with refuses it for that.

    Args:
        fit: Writes an id with the letters and the length that the format takes.
    """

    __slots__ = ("_fit", "_last", "_open", "_used")

    def __init__(self, fit: Callable[[str], str]) -> None:
        self._fit = fit
        self._used: set[str] = set()
        self._open: dict[str, list[str]] = {}
        """By the id that was given, what is written for the calls that have no result yet."""
        self._last: dict[str, str] = {}

    def write_call(self, id_: str) -> str:
        """Write the id of a call."""
        fit = written = self._fit(id_)
        times = 1
        while written in self._used:
            times += 1
            written = self._fit(f"{fit}_{times}")
        self._used.add(written)
        self._open.setdefault(id_, []).append(written)
        return written

    def write_result(self, id_: str) -> str:
        """Write the id of the call that a result is for: the first of that id which has none yet."""
        waiting = self._open.get(id_)
        if waiting:
            self._last[id_] = waiting.pop(0)
        return self._last.get(id_) or self._fit(id_)


def fit_name(name: str, tools: Collection[str]) -> str:
    """Write the name of a call that was made: that of a tool as it is, any other so that all formats take it.

    A model may make a name up, and is told that there is no such tool; its provider would refuse the conversation.
    """
    if name in tools:
        return name
    fit = _UNFIT_NAME.sub("_", name)[:MAX_WRITTEN_NAME]
    return fit if fit[:1].isalpha() else f"_{fit}"[:MAX_WRITTEN_NAME]


def write_parameters(tool: ToolSpec) -> dict[str, object]:
    """Write the schema of a tool's arguments: as an object with properties, also where the tool takes none."""
    schema = tool.parameters
    if "properties" in schema and "type" in schema:
        return schema
    whole: dict[str, object] = {"type": "object", "properties": {}}
    return whole | schema


def check_count(count: int) -> None:
    """Raise `UpstreamError` when a reply asks for more calls than any should."""
    if count > MAX_CALLS:
        raise UpstreamError(f"The model asks for more than {MAX_CALLS} calls at once.", limit=MAX_CALLS)


def read_raw(raw: msgspec.Raw) -> str:
    """Read arguments that stand in a reply as JSON.

    Raises:
        UpstreamError: They are no text.
    """
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise UpstreamError("The model's reply is garbled: a call's arguments are no text.", retryable=True) from error


def read_arguments(arguments: str) -> dict[str, msgspec.Raw] | None:
    """Read a call's arguments as an object, or return `None` when the model wrote none."""
    try:
        return _decode_object(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
