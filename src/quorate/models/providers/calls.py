"""What may a tool call in a reply be like, whoever made it?"""

from __future__ import annotations

import msgspec

from quorate.errors import UpstreamError
from quorate.messages import ToolCall

MAX_CALLS = 128
MAX_NAME = 256
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
